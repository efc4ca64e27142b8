"""Words that are concluded from several numbers at once, with their reason, and how they are found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """A number and the ends of its interval, equal to it where nothing varies; both None where it has none."""

    value: float
    lo: float | None
    hi: float | None
    seeds: int

    def within(self, margin: float) -> bool:
        """Whether the whole interval lies within ``margin`` of 0."""
        return self.lo is not None and self.hi is not None and -margin < self.lo and self.hi < margin

    @property
    def below(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.hi is not None and self.hi < 0

    @property
    def above(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.lo is not None and self.lo > 0

    def __str__(self) -> str:
        """Say the number and its interval."""
        interval = "no interval" if self.lo is None or self.hi is None else f"{self.lo:.3g} to {self.hi:.3g}"
        return f"{self.value:.3g} ({interval})"


@dataclass(frozen=True)
class Verdict:
    """What a row's numbers come to: one of a few words, and why."""

    name: str
    word: str
    reason: str


Conclude = Callable[[Mapping[str, Bounds]], tuple[str, str]]


@dataclass(frozen=True)
class Rule:
    """How a verdict is reached.

    Attributes:
        name: what is judged.
        needs: metrics whose numbers ``conclude`` is given, by name.
        conclude: numbers → word and reason.
        controls: whether controls are judged too.
    """

    name: str
    needs: tuple[str, ...]
    conclude: Conclude
    controls: bool = False


_RULES: dict[str, Rule] = {}


def add_rule(rule: Rule) -> None:
    """Register a rule; raises ``ValueError`` where there is one of this name."""
    if rule.name in _RULES:
        raise ValueError(f"verdict '{rule.name}' is defined twice")
    _RULES[rule.name] = rule


def rules() -> tuple[Rule, ...]:
    """Return every rule that was registered; metrics are imported before (``all_metrics``)."""
    return tuple(_RULES[name] for name in sorted(_RULES))
