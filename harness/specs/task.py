"""What a task YAML may say. Frozen; unknown keys are refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.specs.answers import Answers
from harness.specs.ask import Ask
from harness.specs.data import Data, GymData, TextData
from harness.specs.explaining import Explaining
from harness.specs.reasoning import Reasoning, Vocabulary
from harness.specs.rewards import RewardControl
from harness.specs.steering import Steering
from harness.specs.strict import Count, Level, Name, Names, Role, Seed, Share, Strict, each_once
from harness.specs.worlds import Drawn


class Site(Strict):
    """Where activations are read and edited: the output of one block."""

    at: Literal["resid_post"] = "resid_post"
    depth: Share | None = Field(default=None, description="share of the blocks run, so the task fits any model")
    layer: Annotated[int, Field(ge=0)] | None = Field(default=None, description="exact block, from 0")
    depths: Annotated[tuple[Share, ...], Field(min_length=1), AfterValidator(each_once)] | None = Field(
        default=None, description="several shares of the blocks, read at once"
    )
    step: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="what ends a step, e.g. a line break: methods then meet the mean of each step"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Site:
        if sum(given is not None for given in (self.depth, self.layer, self.depths)) != 1:
            raise ValueError(
                "give exactly one of 'depth' (a share of the blocks), 'layer' (a block, from 0) and 'depths' (several)"
            )
        return self


class Mask(Strict):
    """Which tokens count; padding and BOS never do."""

    first: Literal["drop", "keep"] = Field(default="drop", description="position 0 carries the attention sink")
    outliers: Literal["drop", "keep"] = Field(default="keep", description="tokens of more than 10 x the median norm")


class Budget(Strict):
    """What every method of the task gets alike. Counts are tokens that pass the mask, except ``context``."""

    context: Annotated[int, Field(ge=8)] = Field(
        default=8, description="tokens per sequence at most; every task that has sequences gives it"
    )
    packing: Literal["truncate", "pack"] = Field(
        default="truncate",
        description="truncate: one document a sequence, cut there; pack: documents joined by EOS into full sequences",
    )
    train_tokens: Count | None = Field(default=None, description="tokens in the train split")
    val_tokens: Count | None = Field(default=None, description="tokens in the validation split")
    passes: Count | None = Field(default=None, description="how often training may go over them")
    latents: Count | None = Field(default=None, description="size of a dictionary")
    l0: Count | None = Field(default=None, description="active latents per token to aim for")
    test_tokens: Count | None = Field(default=None, description="tokens every metric sees")
    splice_tokens: Count | None = Field(default=None, description="tokens on which the model is continued from an edit")
    density_tokens: Count | None = Field(default=None, description="tokens on which firing is counted")

    @model_validator(mode="after")
    def _tiers_nest(self) -> Budget:
        splice, test, density = self.splice_tokens, self.test_tokens, self.density_tokens
        if test is not None and splice is not None and splice > test:
            raise ValueError(f"splice_tokens ({splice}) must be at most test_tokens ({test})")
        if test is not None and density is not None and density < test:
            raise ValueError(f"density_tokens ({density}) must be at least test_tokens ({test})")
        return self


class Vocab(Strict):
    """Which next tokens a task tells apart: some, and all others as one. It holds for every method and the model."""

    top: Count = Field(description="the most frequent next tokens of the train split; ties go to the lowest id")


class Bar(Strict):
    """A level to be met, shown as met or missed."""

    min: Level | None = None
    max: Level | None = None
    by: Literal["interval"] | None = Field(
        default=None, description="interval: met where all of the interval is inside, missed where none of it is"
    )

    @model_validator(mode="after")
    def _can_be_met(self) -> Bar:
        if self.min is None and self.max is None:
            raise ValueError("a bar needs 'min', 'max' or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no value can be at least {self.min:g} and at most {self.max:g}")
        return self


class Controls(Strict):
    """The nulls the task demands."""

    ceiling: Names = Field(default=(), description="shown, never subtracted")
    floor: Names = Field(default=(), description="margins are taken over the best of these and the derived ones")
    derived: Names = Field(default=(), description="built from each method and seed")

    @model_validator(mode="after")
    def _one_role_each(self) -> Controls:
        each_once((*self.ceiling, *self.floor, *self.derived))
        return self

    def role(self, name: str) -> Role | None:
        """Return the role a control plays here, or None."""
        roles: tuple[Role, ...] = ("ceiling", "floor", "derived")
        return next((role for role in roles if name in getattr(self, role)), None)


class TaskSpec(Strict):
    """One task."""

    task: Name = Field(description="the file's name without .yaml")
    version: Count = Field(description="up whenever anything that moves numbers changes")
    title: str
    track: Name
    model: str | None = Field(
        default=None, description="alias, hub id, folder or GGUF file; absent where data are a world"
    )
    data: Data
    corpus: Name | None = Field(
        default=None, description="task on whose train split, site and budget methods are fitted"
    )
    text: str | None = Field(
        default=None, description="Jinja2 template over a row's columns; absent where data are a world"
    )
    twins: tuple[str, ...] = Field(
        default=(), description="further templates of the same problem: each gives one more document, of its group"
    )
    label: str | None = Field(
        default=None, description="Jinja2 template over a row's columns: the document's class, none where it is empty"
    )
    site: Site | None = Field(default=None, description="where the model is read; absent where data are a world")
    mask: Mask = Mask()
    budget: Budget = Field(default=Budget(), description="absent where data have no size to choose")
    metrics: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(each_once)]
    controls: Controls = Controls()
    bars: dict[str, Bar] = Field(default_factory=dict)
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(each_once)] = (0, 1, 2)
    reasoning: Reasoning | None = Field(default=None, description="vocabulary and nulls of the track of this name")
    answers: Answers | None = Field(default=None, description="what follows the text and is right or wrong")
    vocab: Vocab | None = Field(
        default=None, description="next tokens that are told apart; every token where it is absent"
    )
    reward: RewardControl | None = Field(default=None, description="the control of a reward: its penalty and margin")
    explanation: Explaining | None = Field(default=None, description="how many predictions are explained")
    ask: Ask | None = Field(default=None, description="how the model answers the question that a text ends in")
    steering: Steering | None = Field(default=None, description="which words are brought about, and how strongly")

    @property
    def step(self) -> str | None:
        """What ends a step, where methods meet the means of steps."""
        return self.site.step if self.site else None

    @property
    def chooses(self) -> bool:
        """Whether something is chosen on the task's own validation problems, besides what is fitted."""
        return self.steering is not None or getattr(self.data, "levels", None) is not None

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The words that the task is about, where it is about any."""
        given = self.reasoning or self.steering
        return given.vocabulary if given else None

    @property
    def documents(self) -> TextData:
        """The data of a task that reads texts; raises ``ValueError`` where a world is drawn."""
        if isinstance(self.data, Drawn):
            raise ValueError(f"task '{self.task}' draws a world and has no texts")
        return self.data

    @model_validator(mode="after")
    def _own_track(self) -> TaskSpec:
        if self.reasoning is not None and self.track != "reasoning":
            raise ValueError(f"'reasoning' is read by the track of this name, not by '{self.track}'; take it out")
        return self

    @model_validator(mode="after")
    def _answers_can_be_generated(self) -> TaskSpec:
        generated = self.answers is not None and self.answers.generated is not None
        levels = isinstance(self.data, GymData) and self.data.levels is not None
        if levels and not generated and self.steering is None:
            raise ValueError(
                "'data.levels' are chosen by the model's answers: give 'answers.generated' or 'steering', or 'options'"
            )
        if levels and (not isinstance(self.data, GymData) or self.data.splits.val is None):
            raise ValueError("'data.levels' are chosen on validation problems: give 'data.splits' a share for val")
        if generated and not isinstance(self.data, GymData):
            raise ValueError("'answers.generated' are judged by the problems' generator: take source reasoning_gym")
        if generated and self.label is not None:
            raise ValueError("the judge of 'answers.generated' gives the label: take 'label' out")
        if self.twins and self.text is None:
            raise ValueError("'twins' are further templates beside 'text': give that first")
        if self.twins and not isinstance(self.data, Drawn) and self.data.select is not None:
            raise ValueError("'data.select' chooses documents one by one, and 'twins' go together: take one out")
        return self

    @model_validator(mode="after")
    def _steered_answers_are_written(self) -> TaskSpec:
        if self.steering is None:
            return self
        if self.ask is not None and self.ask.written is None:
            raise ValueError("steering is measured on what the model writes: give 'ask.written' and 'ask.gold'")
        splits = getattr(self.data, "splits", None)
        if splits is None or splits.val is None:
            raise ValueError("strengths are chosen on validation problems: give 'data.splits' a share for val")
        return self

    @model_validator(mode="after")
    def _lm_eval_writes_the_prompts(self) -> TaskSpec:
        if self.ask is not None and self.ask.lm_eval is not None and (self.text or self.label or self.twins):
            raise ValueError("'ask.lm_eval' writes prompts and labels itself: take out 'text', 'label' and 'twins'")
        return self

    @model_validator(mode="after")
    def _steps_are_only_read(self) -> TaskSpec:
        if self.step is None:
            return self
        if self.budget.splice_tokens is not None:
            raise ValueError(
                "means of steps cannot be put back into the model: take out 'splice_tokens' or 'site.step'"
            )
        if self.mask.outliers == "drop":
            raise ValueError("with 'site.step' single tokens are not dropped: take out 'mask.outliers' or 'site.step'")
        return self
