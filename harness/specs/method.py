"""What a method YAML may say."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from harness.specs.data import Source
from harness.specs.strict import Name, Strict

Kind = Literal["dictionary", "error_probe", "next_token", "explainer", "steerer"]
Need = Literal["sequences", "truth", "unembedding", "targets", "val_targets", "environment", "predictions", "behaviour"]
Own = Literal["answers", "reward", "explanation", "ask", "steering"]
OWN: tuple[Own, ...] = get_args(Own)
"""Keys of a task that are read by the tracks alone that want them."""
OF_A_MODEL: tuple[Need, ...] = ("environment",)
"""What a track gives only where a language model runs."""


class MethodSpec(Strict):
    """One method, or one variant of a method."""

    method: Name = Field(description="the file's name without .yaml")
    title: str
    kind: Kind
    code: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_]+\.py:[A-Za-z0-9_]+$", description="file in the same folder : class"
    )
    model: Literal["reinitialised"] | None = Field(
        default=None,
        description="in place of code: a control that is any method itself, fitted and measured on the language model "
        "with its weights drawn anew",
    )
    source: str = Field(description="paper, or 'ours'")
    needs: tuple[Need, ...] = Field(default=(), description="what fit wants besides activations")
    uses: dict[Name, str] = Field(
        default_factory=dict,
        description="methods this one is built on; {of: any} for a control. One of a kind that the track does not "
        "measure, as a probe's dictionary, is fitted at every block on the task's corpus",
    )
    seeded: bool = Field(default=True, description="false: the seed changes nothing, so one seed is run")
    causal: bool = Field(default=True, description="false: a token's code may depend on later tokens")
    shared: bool = Field(default=False, description="true: a part of the code is one for the whole document")
    reward: bool = Field(
        default=False, description="true: trained by a reward, so that the reward's control can be run"
    )
    only: Literal["any", "shared"] = Field(
        default="any", description="of a control built from any method: only from those with a shared code"
    )
    keeps: Literal["codes"] | None = Field(
        default=None, description="of a control: what it leaves as it is, so that a track that reads no more refuses it"
    )
    degrades: Name | None = Field(
        default=None, description="the method this is a damaged version of: audits hold that no metric prefers it"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="every parameter with its default")

    @model_validator(mode="after")
    def _code_or_model(self) -> MethodSpec:
        if (self.code is None) == (self.model is None):
            raise ValueError("give exactly one of 'code' (a class) and 'model' (a control's other language model)")
        if self.model is not None and not self.derived:
            raise ValueError("a control with 'model' runs another method, so it needs 'uses: {of: any}'")
        return self

    def controls(self, other: MethodSpec) -> bool:
        """Whether this derived control can be built from another method."""
        return self.only == "any" or other.shared

    @property
    def what(self) -> str:
        """What it is, for messages."""
        article = "an" if self.kind[0] in "aeiou" else "a"
        ahead = "" if self.causal else " that reads later tokens"
        return f"{article} {self.kind}" + (" trained by a reward" if self.reward else "") + ahead

    @property
    def derived(self) -> bool:
        """Whether it is built from whichever method it controls."""
        return self.uses.get("of") == "any"


class VariantSpec(Strict):
    """The same code under other parameters."""

    method: Name
    variant_of: Name = Field(description="method whose YAML supplies everything not said here")
    title: str
    source: str | None = None
    seeded: bool | None = Field(default=None, description="where its parameters let the seed change what it did not")
    causal: bool | None = None
    uses: dict[Name, str] | None = Field(default=None, description="other methods it is built on")
    degrades: Name | None = None
    params: dict[str, Any] = Field(default_factory=dict)


class TrackCard(Strict):
    """What a track accepts; lies beside its code as YAML so that names are checked without importing it."""

    track: Name
    title: str
    summary: str
    kinds: tuple[Kind, ...] = Field(description="kinds of method it can measure")
    sources: tuple[Source, ...] = Field(
        default=("hub", "folder", "reasoning_gym", "prompts", "planted", "riddles"),
        description="where its data may come from",
    )
    reads: Literal["codes", "reconstructions"] = Field(
        default="reconstructions", description="what it measures of a method: codes alone, or reconstructions too"
    )
    labels: bool = Field(default=False, description="whether documents need a label")
    steps: bool = Field(default=False, description="whether it can measure the means of steps (site.step)")
    vocab: bool = Field(default=False, description="whether it predicts next tokens, so that tasks may give 'vocab'")
    wants: tuple[Own, ...] = Field(default=(), description="keys that its tasks have to give; tasks of others must not")
    causal: bool = Field(default=False, description="whether methods that read later tokens are refused")
    depths: bool = Field(default=False, description="whether it reads several blocks at once (site.depths)")
    offers: tuple[Need, ...] = Field(default=(), description="what it can give a method that needs it")
    fits: bool = Field(
        default=True, description="false: its methods are not fitted, but those they use, on the task's corpus"
    )
    fit_budget: tuple[str, ...] = Field(
        description="budget keys a task must give, or take from its corpus; that of the corpus alone without 'fits'"
    )
    test_budget: tuple[str, ...] = Field(description="budget keys a task must give")
    optional_budget: tuple[str, ...] = Field(default=(), description="budget keys a task may give")

    @property
    def rewarded(self) -> bool:
        """Whether it runs the control of a reward, so that methods need one."""
        return "reward" in self.wants

    def takes(self, method: MethodSpec) -> bool:
        """Whether it can measure a method, as far as the method's kind decides it."""
        trained = method.reward or not self.rewarded
        return method.kind in self.kinds and trained and (method.causal or not self.causal)

    @property
    def taken(self) -> str:
        """What it takes, for messages."""
        ahead = " that read no later tokens ('causal: true')" if self.causal else ""
        return ", ".join(self.kinds) + (" trained by a reward ('reward: true')" if self.rewarded else "") + ahead
