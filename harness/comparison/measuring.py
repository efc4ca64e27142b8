"""The numbers of one metric for two rows, before all metrics of the table are judged together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.board.pairs import Pair
from harness.comparison.findings import Gap
from harness.metrics.contract import Array, Metric, NotComputableError, Parts
from harness.stats.crossed import difference_se
from harness.stats.estimate import Estimate, Plan
from harness.stats.paired import difference
from harness.stats.power import SeedSpread, Spread
from harness.stats.resample import ROUNDING, same
from harness.stats.standardised import standardised
from harness.stats.summary import count_clusters, metric_pseudo_values, obstacle
from harness.stats.unrelated import unrelated

NO_SPREAD = "there is no spread to measure it by"


@dataclass(frozen=True)
class Numbers:
    """A metric on the parts of both sides, by seed, on the same clusters."""

    metric: Metric
    a: Sequence[Parts]
    b: Sequence[Parts]

    def difference(self, level: float = 0.95) -> Estimate:
        """Return ``A - B`` with its interval, by the rule of a board's ranks: same clusters, unrelated seeds."""
        return difference(self.metric, self.a, self.b, Plan(level=level), paired_seeds=False)

    @cached_property
    def points(self) -> tuple[Array, Array]:
        """The values of each side by seed; NaN where a seed has none."""
        a_S, b_S = ([self.metric.point(parts)[0] for parts in side] for side in (self.a, self.b))
        return np.array(a_S, dtype=np.float64), np.array(b_S, dtype=np.float64)

    @cached_property
    def pseudo(self) -> tuple[Array, Array] | None:
        """What each cluster contributes to each seed's value, of both sides; None where that cannot be told."""
        if obstacle(self.metric, self.a) or obstacle(self.metric, self.b):
            return None
        try:
            found = metric_pseudo_values(self.metric, self.a), metric_pseudo_values(self.metric, self.b)
        except (NotComputableError, ValueError):
            return None
        return found if all(np.isfinite(side).all() for side in found) else None

    @cached_property
    def by_cluster(self) -> Array | None:
        """What each cluster adds to ``A - B``, averaged over seeds, ``[C]``; None where that cannot be told."""
        return None if self.pseudo is None else np.asarray(self.pseudo[0].mean(0) - self.pseudo[1].mean(0))

    @cached_property
    def se(self) -> tuple[float, float] | None:
        """The standard error of the difference and its degrees of freedom; None where nothing varies."""
        if self.metric.interval == "seeds":
            return self._welch()
        if self.pseudo is None:
            return None
        found = difference_se(*self.pseudo)
        largest = max(float(np.abs(side).max()) for side in self.pseudo)
        return found if found[0] > ROUNDING * largest else None

    @cached_property
    def spread(self) -> Spread | None:
        """How the difference would vary at other sizes; None where it does not vary, or a metric over seeds has one.

        A single seed beside several is fixed.
        """
        if self.se is None:
            return None
        if self.metric.interval == "seeds":
            return SeedSpread(*self._variances())
        return None if self.pseudo is None else unrelated(*self.pseudo)

    def _variances(self) -> tuple[float, float]:
        """Return the variance between the seeds of each side; 0 for a side of one seed, which is fixed."""
        a, b = (float(side.var(ddof=1)) if side.size > 1 and not same(side) else 0.0 for side in self.points)
        return a, b

    def _welch(self) -> tuple[float, float] | None:
        terms = [(v / side.size, side.size - 1) for v, side in zip(self._variances(), self.points, strict=True) if v]
        if not terms:
            return None
        total = sum(variance for variance, _ in terms)
        return math.sqrt(total), total**2 / sum(variance**2 / df for variance, df in terms)

    @property
    def clusters(self) -> int:
        """The clusters both were measured on."""
        return count_clusters(self.a, self.b)

    @property
    def seeds(self) -> int:
        """The seeds that tell how the difference varies."""
        counts = sorted((len(self.a), len(self.b)))
        return counts[1] if counts[0] == 1 else counts[0]

    @property
    def effect(self) -> Gap:
        """The difference in standard deviations: of clusters (``d_z``), or of seeds, pooled (Cohen's d)."""
        sd = self._sd()
        if self.se is None or not sd > 0:
            return Gap(None, None, None, "none", NO_SPREAD)
        a_S, b_S = self.points
        found = standardised(float(a_S.mean() - b_S.mean()), *self.se, sd)
        return Gap(found.value, found.lo, found.hi, "noncentral-t")

    def _sd(self) -> float:
        if self.metric.interval == "seeds":
            # A fixed side has no spread of its own to pool.
            pooled = [v for v, side in zip(self._variances(), self.points, strict=True) if side.size > 1]
            return math.sqrt(sum(pooled) / len(pooled)) if pooled else 0.0
        return 0.0 if self.by_cluster is None or self.by_cluster.size < 2 else float(self.by_cluster.std(ddof=1))


def numbers(metric: Metric, pair: Pair) -> Numbers:
    """Return the numbers of a metric for the measured seeds of a pair."""
    return Numbers(metric, list(pair.a.measured.values()), list(pair.b.measured.values()))


def gap(estimate: Estimate) -> Gap:
    """Return an estimate as plain data."""
    value, lo, hi = (None if end is None else float(end) for end in (estimate.value, estimate.lo, estimate.hi))
    return Gap(value, lo, hi, estimate.how, estimate.reason)
