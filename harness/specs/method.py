"""What a method YAML may say."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from harness.specs.strict import Name, Strict
from harness.specs.task import Source

Kind = Literal["dictionary"]
Need = Literal["sequences", "truth"]


class MethodSpec(Strict):
    """One method, or one variant of a method."""

    method: Name = Field(description="the file's name without .yaml")
    title: str
    kind: Kind
    code: str = Field(pattern=r"^[A-Za-z0-9_]+\.py:[A-Za-z0-9_]+$", description="file in the same folder : class")
    source: str = Field(description="paper, or 'ours'")
    needs: tuple[Need, ...] = Field(default=(), description="what fit wants besides activations")
    uses: dict[Name, str] = Field(
        default_factory=dict, description="methods this one is built on; {of: any} for a control"
    )
    seeded: bool = Field(default=True, description="false: the seed changes nothing, so one seed is run")
    causal: bool = Field(default=True, description="false: a token's code may depend on later tokens")
    params: dict[str, Any] = Field(default_factory=dict, description="every parameter with its default")

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
    params: dict[str, Any] = Field(default_factory=dict)


class TrackCard(Strict):
    """What a track accepts; lies beside its code as YAML so that names are checked without importing it."""

    track: Name
    title: str
    summary: str
    kinds: tuple[Kind, ...] = Field(description="kinds of method it can measure")
    sources: tuple[Source, ...] = Field(
        default=("hub", "folder", "reasoning_gym", "prompts"), description="where its data may come from"
    )
    offers: tuple[Need, ...] = Field(default=(), description="what it can give a method that needs it")
    fit_budget: tuple[str, ...] = Field(description="budget keys a task must give, or take from its corpus")
    test_budget: tuple[str, ...] = Field(description="budget keys a task must give")
    optional_budget: tuple[str, ...] = Field(default=(), description="budget keys a task may give")
