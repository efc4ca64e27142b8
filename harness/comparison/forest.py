"""Where the marks of a forest plot lie: one line per metric, standardised so that all share an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.comparison import words
from harness.comparison.findings import MetricFinding

WIDTH, LEADING, LABELS = 420.0, 26.0, 170.0
# An interval may reach so many times further than the farthest point before it is cut, and says so.
REACH = 1.6


@dataclass(frozen=True)
class Mark:
    """One metric: where its point and the ends of its interval lie, and what is said of it."""

    metric: str
    text: str
    side: str
    y: float
    x: float
    lo: float
    hi: float
    cut_lo: bool
    cut_hi: bool


@dataclass(frozen=True)
class Forest:
    """A forest plot in pixels; ``zero`` is where neither side is better, and A wins to the right of it."""

    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float
    width: float
    height: float
    missing: tuple[str, ...]

    @property
    def description(self) -> str:
        """All marks in words."""
        return "; ".join(mark.text for mark in self.marks)


def forest(metrics: Sequence[MetricFinding]) -> Forest | None:
    """Return the plot of the metrics that have an effect with an interval; None where none has."""
    drawn = [found for found in metrics if found.effect.lo is not None and found.effect.value is not None]
    if not drawn:
        return None
    span = REACH * max(0.3, *(abs(found.effect.value or 0.0) for found in drawn))
    marks = tuple(_mark(found, span, number) for number, found in enumerate(drawn))
    step = _step(span)
    count = math.floor(span / step)
    ticks = tuple((_place(i * step, span), f"{i * step:g}") for i in range(-count, count + 1))
    missing = tuple(found.metric for found in metrics if found not in drawn)
    return Forest(marks, ticks, _place(0.0, span), LABELS + WIDTH + 10, LEADING * len(drawn) + 40, missing)


def _place(value: float, span: float) -> float:
    return round(LABELS + (min(max(value, -span), span) + span) / (2 * span) * WIDTH, 1)


def _step(span: float) -> float:
    """Return a round distance of ticks that gives two or three on each side."""
    size: float = 10.0 ** math.floor(math.log10(span / 2))
    return next(size * factor for factor in (5, 2, 1, 0.5) if size * factor <= span / 2)


def _mark(found: MetricFinding, span: float, number: int) -> Mark:
    gap = found.effect
    ends = sorted(found.sign * (end or 0.0) for end in (gap.lo, gap.hi))
    return Mark(
        metric=found.metric,
        text=f"{found.metric}: {words.effect(found)}, {words.verdict(found)}",
        side={"A": "a", "B": "b"}.get(found.better or "", "neither"),
        y=LEADING * (number + 0.5),
        x=_place(found.sign * (gap.value or 0.0), span),
        lo=_place(ends[0], span),
        hi=_place(ends[1], span),
        cut_lo=ends[0] < -span,
        cut_hi=ends[1] > span,
    )
