"""What a task says of a world: activations drawn from known directions."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.specs.strict import Count, Level, Seed, Share, Strict


class Rates(Strict):
    """How often each direction fires: ``first * i^-a``, from the commonest to the rarest (Zipf)."""

    first: Share = Field(description="of the commonest direction")
    last: Share = Field(description="of the rarest")

    @model_validator(mode="after")
    def _fall(self) -> Rates:
        if self.last > self.first:
            raise ValueError(f"rates fall from 'first' to 'last', got {self.first:g} and {self.last:g}")
        return self


class Sizes(Strict):
    """Size of a firing: the absolute value of a normal number."""

    mean: Level = 1.0
    sd: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.25


class Hierarchy(Strict):
    """Children that fire only where their parent does, one of them at a time: what dictionaries absorb."""

    parents: Count = Field(description="how many of the commonest directions have children")
    children: Count = Field(description="directions added for each of them")
    chance: Share = Field(description="share of a parent's firings in which one of its children fires too")


class Shared(Strict):
    """Directions that fire in every token of a document with one size; orthogonal to all the others."""

    directions: Count
    active: Count = Field(description="how many of them a document has")


class Drawn(Strict):
    """Data that are drawn from a known truth: no text is read and no language model runs."""

    budgeted: ClassVar[bool] = True
    """Whether the task says how much is drawn."""


class WorldData(Drawn):
    """Activations drawn from known directions, in documents of ``budget.context`` tokens; no model is run."""

    source: Literal["world"]
    width: Count = Field(description="of the activations")
    directions: Count = Field(description="unit vectors that fire token by token, children not counted")
    rates: Rates
    active: Count | None = Field(
        default=None, description="fire in each token, exactly; rates are scaled to it. null: each fires by itself"
    )
    sizes: Sizes = Sizes()
    noise: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.0, description="standard deviation of what is added to every coordinate"
    )
    offset: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.0, description="length of a vector that every activation has in common"
    )
    hierarchy: Hierarchy | None = None
    shared: Shared | None = None
    seed: Seed = Field(default=0, description="of the directions and of every draw; train, val and test are apart")

    @model_validator(mode="after")
    def _can_be_drawn(self) -> WorldData:
        if self.hierarchy and self.hierarchy.parents > self.directions:
            raise ValueError(f"hierarchy.parents ({self.hierarchy.parents}) must be at most {self.directions}")
        if self.shared and self.shared.active > self.shared.directions:
            raise ValueError(f"shared.active ({self.shared.active}) must be at most {self.shared.directions}")
        if self.shared and self.shared.directions >= self.width:
            raise ValueError(f"shared.directions ({self.shared.directions}) must leave room in width {self.width}")
        commonest = self.firing()[0]
        if commonest > 1 + 1e-9:
            raise ValueError(
                f"active ({self.active}) would have the commonest direction fire {commonest:.3g} times a token"
            )
        return self

    def firing(self) -> list[float]:
        """Return the probability that each of ``directions`` fires in a token, commonest first."""
        first, last = self.rates.first, self.rates.last
        slope = math.log(first / last) / math.log(self.directions) if self.directions > 1 else 0.0
        rates = [first * (i + 1) ** -slope for i in range(self.directions)]
        return rates if self.active is None else [rate * self.active / math.fsum(rates) for rate in rates]


class BanditData(Drawn):
    """Situations with a known best policy: in state ``s`` the target is ``p(·|s)``, and a decoder starts near it."""

    budgeted: ClassVar[bool] = False

    source: Literal["bandit"]
    states: Annotated[int, Field(ge=2)] = Field(description="each is shown as a unit vector of its own")
    actions: Annotated[int, Field(ge=2)] = Field(description="what a policy chooses among in every state")
    sharpness: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=1.5, description="standard deviation of the target's logits"
    )
    start: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.8, description="standard deviation of what the logits of the start are off the target's"
    )
    seed: Seed = Field(default=0, description="of the target and of the start")


DRAWN: dict[str, type[Drawn]] = {"world": WorldData, "bandit": BanditData}
"""Drawn data by their ``source``."""
