"""How far one row is ahead of another under a metric, and whether that is more than noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.board.pool import Entry
from harness.metrics.contract import Metric
from harness.stats.paired import difference

# What two ways of adding the same numbers may differ by.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Lead:
    """The first row's lead over the second, positive where it is better; ``clear`` where noise does not explain it."""

    value: float
    clear: bool

    def sign(self, least: float = 0.0) -> int:
        """Return which row is ahead beyond noise and by more than ``least``: 1, -1, or 0 where neither is."""
        return int(np.sign(self.value)) if self.clear and abs(self.value) > least else 0


class Leads:
    """Leads between rows under one metric, each computed once; under a target metric no row is ahead."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._values: dict[str, float | None] = {}
        self._found: dict[tuple[str, str], Lead | None] = {}

    def value(self, entry: Entry) -> float | None:
        """Return the mean over seeds; None where one of them has no value."""
        if entry.label not in self._values:
            points = [self.metric.point(parts)[0] for parts in entry.measured.values()]
            known = [point for point in points if point is not None]
            self._values[entry.label] = float(np.mean(known)) if known and len(known) == len(points) else None
        return self._values[entry.label]

    def of(self, a: Entry, b: Entry) -> Lead | None:
        """Return the lead of ``a`` over ``b``; None where one of them has no value."""
        key = (a.label, b.label)
        if key not in self._found:
            self._found[key] = self._lead(a, b)
        return self._found[key]

    def _lead(self, a: Entry, b: Entry) -> Lead | None:
        ours, theirs = self.value(a), self.value(b)
        if ours is None or theirs is None:
            return None
        shift = ours - theirs
        if abs(shift) <= ROUNDING * max(abs(ours), abs(theirs)):
            return Lead(0.0, True)
        found = difference(self.metric, list(a.measured.values()), list(b.measured.values()))
        if found.lo is not None and found.hi is not None:
            clear = found.lo > 0 or found.hi < 0
        else:
            # Without an interval only what does not vary with the seed is known: one seed of a fit is one draw.
            clear = found.how == "constant" or not (_one_draw(a) or _one_draw(b))
        return Lead(self.metric.sign * shift, clear)


def _one_draw(entry: Entry) -> bool:
    return entry.head.method.seeded and len(entry.measured) < 2
