"""Axes whose place on the paper is known, so that labels can be kept apart before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# A range of this factor is hard to read on a linear axis.
WIDE = 5.0


@dataclass(frozen=True)
class Axis:
    """From ``low`` to ``high`` over so many pixels, evenly or by factors."""

    low: float
    high: float
    log: bool
    pixels: int

    def place(self, value: float) -> float:
        """Return the pixels from the low end."""
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return (at - low) / (high - low) * self.pixels

    def value(self, place: float) -> float:
        """Return the value at so many pixels from the low end."""
        low, high = (math.log(v) if self.log else v for v in (self.low, self.high))
        at = low + place / self.pixels * (high - low)
        return math.exp(at) if self.log else at

    def clip(self, value: float) -> float:
        """Return the value, or the end of the axis it lies beyond."""
        return min(max(value, self.low), self.high)

    def decades(self) -> list[float]:
        """Return ticks 1, 2, 5, 10, … inside the axis; powers of ten alone where those would be too many."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        fine = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
        inside = [tick for tick in fine if self.low <= tick <= self.high]
        return inside if len(inside) <= 8 else [tick for tick in inside if f"{tick:e}".startswith("1")]

    def ticks(self) -> list[float]:
        """Return the values to write along the axis: decades of a logarithmic one, else four to eight round steps."""
        if self.log:
            return self.decades()
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.8)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{i * step:.10g}") for i in range(first, last + 1)]


def wide(values: Sequence[float]) -> bool:
    """Say whether values need a logarithmic axis; those that cannot be on one are then named under the plot."""
    above = [value for value in values if value > 0]
    return len(above) > 1 and min(values) >= 0 and max(above) / min(above) > WIDE


def axis_of(values: Sequence[float], log: bool, pixels: int) -> Axis:
    """Return the axis that holds the values (the positive ones, if it is logarithmic) with some room around them."""
    if log:
        above = [value for value in values if value > 0]
        return Axis(min(above) / 1.25, max(above) * 1.25, True, pixels)
    low, high = min(values, default=0.0), max(values, default=1.0)
    pad = (high - low or abs(high) or 1.0) * 0.08
    # Near enough to 0 that leaving it out would mislead more than it helps.
    start = 0.0 if 0 <= low < high / 2 else low - pad
    return Axis(start, high + pad, False, pixels)
