"""Histograms a template draws as SVG."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from harness.board.formats import significant

WIDTH, HEIGHT = 300, 90
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Bar:
    """One bar: where it stands, and what it says under the pointer."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Histogram:
    """Bars, the numbers written below the axis with their places, and a sentence for those who do not see it."""

    bars: list[Bar]
    ticks: list[tuple[float, str]]
    summary: str
    width: int = WIDTH
    height: int = HEIGHT


def histogram(values: Sequence[float], edges: Sequence[float], log: bool = False) -> Histogram:
    """Count ``values`` between ``edges``; what lies outside counts in the outermost bar.

    ``log`` says that every second edge is a power of ten.
    """
    counts = [0] * (len(edges) - 1)
    for value in values:
        counts[min(max(bisect_right(edges, value) - 1, 0), len(counts) - 1)] += 1
    largest, step = max([*counts, 1]), WIDTH / len(counts)
    bars = [
        Bar(i * step + 1, HEIGHT - count / largest * HEIGHT, step - 2, count / largest * HEIGHT, _span(edges, i, count))
        for i, count in enumerate(counts)
    ]
    every = 2 if log else max(len(counts) // 4, 1)
    ticks = [(i * step, _power(edges[i]) if log else significant(edges[i], 2)) for i in range(0, len(edges), every)]
    return Histogram(bars, ticks, _summary(values))


def _power(value: float) -> str:
    """Write a power of ten as one."""
    exponent = round(math.log10(value))
    return "1" if exponent == 0 else "10" + str(exponent).translate(_RAISED)


def _span(edges: Sequence[float], i: int, count: int) -> str:
    return f"{significant(edges[i], 2)} to {significant(edges[i + 1], 2)}: {count}"


def _summary(values: Sequence[float]) -> str:
    if not values:
        return "no values"
    ordered = sorted(values)
    low, middle, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.1, 0.5, 0.9))
    return f"{len(ordered)} values, median {significant(middle)}, 80 % from {significant(low)} to {significant(high)}"
