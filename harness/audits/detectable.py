"""The least true difference between two methods that a task can tell, by the number of seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from harness.audits.evidence import Evidence
from harness.metrics.contract import Metric, NotComputableError
from harness.stats.power import Components, SeedSpread, components
from harness.stats.summary import metric_pseudo_values

SEEDS = (1, 2, 3, 4, 5)


def detectable_differences(metric: Metric, evidence: Evidence) -> dict[int, float | None]:
    """Return, for 1 to 5 seeds, the difference that is seen with 80 % power at two-sided .05: the median over pairs.

    In the metric's unit, by the crossed t of seeds in pairs: with few seeds a careful figure, as boards and comparisons
    take seeds as unrelated and see smaller differences then (``harness power``). The pairs are those of the methods
    that a board ranks, on the table's own clusters. None for one seed, which tells two fits apart and never two
    methods, and where no pair has several seeds.
    """
    spreads = list(_spreads(metric, evidence))
    found: dict[int, float | None] = {1: None}
    for seeds in SEEDS[1:]:
        seen = [spread.test(seeds, clusters).detectable() for spread, clusters in spreads]
        finite = [value for value in seen if math.isfinite(value)]
        found[seeds] = float(np.median(finite)) if finite and len(finite) == len(seen) else None
    return found


def _spreads(metric: Metric, evidence: Evidence) -> Iterator[tuple[Components | SeedSpread, int]]:
    """Yield how the difference of every pair of methods varies, and over how many clusters it was measured."""
    for a, b in combinations([entry for entry in evidence.methods if len(entry.measured) > 1], 2):
        seeds = min(len(a.measured), len(b.measured))
        sides = [list(entry.measured.values())[:seeds] for entry in (a, b)]
        try:
            if metric.interval == "seeds":
                values = [np.array([metric.value(parts, np.ones(parts["n"].size)) for parts in side]) for side in sides]
                yield SeedSpread(float(values[0].var(ddof=1)), float(values[1].var(ddof=1))), sides[0][0]["n"].size
            elif metric.interval == "clusters":
                ours, theirs = (metric_pseudo_values(metric, side) for side in sides)
                yield components(ours - theirs), ours.shape[1]
        except (NotComputableError, ValueError):
            continue  # a pair without values, or on one cluster, tells nothing of noise
