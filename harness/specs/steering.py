"""What a task says of steering: which words a steerer is to bring about, how strongly, and what it is held against."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from harness.specs.reasoning import Vocabulary
from harness.specs.strict import Count, Seed, Share, Strict


def _rising(given: tuple[float, ...]) -> tuple[float, ...]:
    if list(given) != sorted(set(given)):
        raise ValueError("give each dose once, the weakest first")
    return given


Doses = Annotated[
    tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...], Field(min_length=1), AfterValidator(_rising)
]


class Steering(Strict):
    """Words, doses, problems, the neutral text on which side effects are measured, and what counts as no effect."""

    vocabulary: Vocabulary = Field(default=Vocabulary(), description="the words that steerers are to bring about")
    window: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = Field(
        default=(2, 3), description="tokens before and after each token of a word, in what steerers are fitted on"
    )
    positions: Literal["generated", "all"] = Field(
        default="generated", description="which activations are changed: of new tokens, or of the prompt as well"
    )
    norms: Doses = Field(
        default=(0.1, 0.2, 0.4),
        description="doses of what changes activations: mean norm of the change / mean norm of activations",
    )
    kls: Doses = Field(
        default=(0.02, 0.1, 0.5), description="doses of what changes none: nats per token of neutral text"
    )
    problems: Count = Field(default=100, description="of the test split, at most")
    val_problems: Count = Field(
        default=40, description="of the validation split, at most, on which strengths are chosen"
    )
    samples: Count = Field(default=1, description="texts for each problem; the answer is what most of them say")
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.0,
        description="0 takes the likeliest token; else tokens are drawn, from equal numbers in every arm",
    )
    seed: Seed = Field(default=0, description="seed of draws, random directions and neutral text")
    directions: Count = Field(default=19, description="random directions that a dose-response is held against")
    neutral_texts: Count = Field(default=24, description="texts that have nothing to do with the task")
    neutral_tokens: Annotated[int, Field(ge=2)] = Field(default=48, description="tokens of each that are measured")
    margin_acc: Share = Field(default=0.05, description="a change of accuracy below it is none")
    margin_reflect: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=0.5, description="a change of words per 100 tokens below it is none"
    )
    band: tuple[Share, Share] = Field(
        default=(0.4, 0.6), description="with 'data.levels': the first level with this share of right answers on val"
    )

    @property
    def taught(self) -> list[Any]:
        """What decides the words that a fit may look at, besides what a file of them holds."""
        return [self.vocabulary.model_dump(), list(self.window)]
