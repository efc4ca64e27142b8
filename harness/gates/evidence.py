"""What two sets of cells say about a loss: its size, its spread, and the chance of such a loss where there is none.

Everything is turned so that a positive number is a loss. Tables are pseudo-values ``[S, C]``; their mean is the value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.metrics.contract import Array
from harness.stats.crossed import crossed_se, difference_se
from harness.stats.resample import ROUNDING

# One-sided error of a pass, and the chance that any of a gate's comparisons fails though nothing changed but the seeds.
ALPHA = 0.05


@dataclass(frozen=True)
class Spread:
    """How sure a difference is.

    Attributes:
        se: standard error.
        df: degrees of freedom of its t.
        of_clusters: the share of ``se**2`` that falls as clusters are added; the rest falls with seeds.
    """

    se: float
    df: float
    of_clusters: float

    def half(self, tail: float = ALPHA) -> float:
        """Return half the width of the interval that leaves ``tail`` on each side."""
        return -float(special.stdtrit(self.df, tail)) * self.se

    def tail(self, excess: float) -> float:
        """Return the one-sided p-value of a difference that is ``excess`` above what is claimed."""
        if self.se == 0:
            return 0.0 if excess > 0 else 1.0
        return float(special.stdtr(self.df, -excess / self.se))


@dataclass(frozen=True)
class Evidence:
    """A difference between a run and its baseline under one metric.

    Attributes:
        value: the loss in the metric's unit, positive is worse; run minus baseline where the metric is a target.
            None where it cannot be computed (``reason``).
        two_sided: whether a difference either way counts (targets).
        how: ``paired`` or ``unrelated`` seeds, ``clusters`` (one seed a side), ``card`` (noise from a reliability
            card), ``constant`` (nothing varies: the value is all there is), ``lost`` (the baseline has a value and the
            run has none), ``none`` (no spread can be given).
        passing: the spread that bounds the loss; None for ``constant``, ``lost`` and ``none``.
        failing: every spread by which a loss has to stand out to count as one.
        least: what no p-value of this evidence can be below.
        seeds: seeds of the run and of the baseline.
        reason: why something is missing, or what the spread does not see.
    """

    value: float | None
    two_sided: bool
    how: str
    seeds: tuple[int, int]
    clusters: int
    passing: Spread | None = None
    failing: tuple[Spread, ...] = ()
    least: float = 0.0
    reason: str | None = None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The one-sided 95 % bounds of the loss, or None where it has no spread."""
        if self.value is None or self.passing is None:
            return None
        half = self.passing.half()
        return self.value - half, self.value + half

    def p(self, tolerance: float) -> float | None:
        """Return the chance of such a loss where the true one is at most ``tolerance``; None without a spread."""
        if self.value is None or not self.failing:
            return None
        size, sides = (abs(self.value), 2) if self.two_sided else (self.value, 1)
        return max(self.least, *(min(1.0, sides * spread.tail(size - tolerance)) for spread in self.failing))


def over_clusters(run: Mapping[int, Array], base: Mapping[int, Array], two_sided: bool) -> Evidence:
    """Return the evidence of a metric whose value is a mean over clusters.

    The same seeds on both sides: the loss is bounded by the crossed t interval of the paired differences. Other seeds:
    both sides' seeds vary on their own, and a side with one seed is given the variance of the other.

    A loss has to stand out twice. By the crossed t of *unrelated* seeds: right for two independent draws and careful
    where the same seeds make the sides alike; pairing would leave half the degrees of freedom, too few at the levels of
    a family of dozens. And by Student's t between the values of the seeds on this test split, which is exact where
    nothing changed but the seeds. The crossed t alone is not: with three seeds their mean square is small by chance
    once in a while and the interval then far too narrow, which does not show at 95 % and decides at 99.9 %.

    Args:
        run: pseudo-values ``[C]`` of each seed, turned so that more is worse.
        base: the same for the baseline, on the same clusters, at least 2 of them.
        two_sided: whether a difference either way counts.
    """
    a_SC, b_SC = _stack(run), _stack(base)
    seeds, clusters = (len(run), len(base)), a_SC.shape[1]
    value = float(a_SC.mean() - b_SC.mean())
    scale = float(np.abs(np.concatenate([a_SC, b_SC])).max())
    if unchanged(run, base, scale):
        return Evidence(0.0, two_sided, "constant", seeds, clusters)
    unrelated = _unrelated(a_SC, b_SC)
    student = _student(a_SC.mean(1), b_SC.mean(1)) if sum(seeds) > 2 else unrelated
    # A side of one seed rests on what the other side's few seeds show: the more careful of two bounds is taken.
    careful = max(unrelated, student, key=Spread.half) if min(seeds) == 1 else unrelated
    passing = _paired(a_SC - b_SC) if run.keys() == base.keys() and min(seeds) > 1 else careful
    if max(passing.se, unrelated.se) <= ROUNDING * scale:
        return Evidence(value, two_sided, "constant", seeds, clusters)
    if sum(seeds) == 2:
        return Evidence(value, two_sided, "clusters", seeds, clusters, passing, (unrelated,))
    how = "paired" if run.keys() == base.keys() else "unrelated"
    return Evidence(value, two_sided, how, seeds, clusters, passing, (unrelated, student))


def over_seeds(run: Mapping[int, float], base: Mapping[int, float], clusters: int, two_sided: bool) -> Evidence:
    """Return the evidence of a metric that has one value per seed and no spread over clusters.

    Bounded by the t interval of paired differences (same seeds) or by Student's t; a loss counts by Student's t. Where
    no seed differs from the others of its side, p is not below one over the number of ways to deal the seeds to the
    two sides: values of a count agree by chance.
    """
    a_S, b_S = np.array([run[seed] for seed in sorted(run)]), np.array([base[seed] for seed in sorted(base)])
    seeds, value = (a_S.size, b_S.size), float(a_S.mean() - b_S.mean())
    scale = float(np.abs(np.concatenate([a_S, b_S])).max())
    singles = {side: {seed: np.array([x]) for seed, x in values.items()} for side, values in (("a", run), ("b", base))}
    if unchanged(singles["a"], singles["b"], scale):
        return Evidence(0.0, two_sided, "constant", seeds, clusters)
    if sum(seeds) == 2:
        reason = "one seed a side says nothing about a metric that varies by seed only"
        return Evidence(value, two_sided, "none", seeds, clusters, reason=reason)
    student = _student(a_S, b_S)
    paired = run.keys() == base.keys()
    d_S = a_S - b_S if paired else a_S
    passing = Spread(float(d_S.std(ddof=1)) / math.sqrt(d_S.size), d_S.size - 1, 0.0) if paired else student
    least = 1 / math.comb(sum(seeds), seeds[0]) if student.se <= ROUNDING * scale else 0.0
    return Evidence(value, two_sided, "paired" if paired else "unrelated", seeds, clusters, passing, (student,), least)


def unchanged(run: Mapping[int, Array], base: Mapping[int, Array], scale: float) -> bool:
    """Say whether every seed of the run is one of the baseline's and gave the same numbers."""
    return all(seed in base and bool((np.abs(run[seed] - base[seed]) <= ROUNDING * scale).all()) for seed in run)


def _stack(rows: Mapping[int, Array]) -> Array:
    return np.stack([rows[seed] for seed in sorted(rows)])


def _paired(d_SC: Array) -> Spread:
    se, df = crossed_se(d_SC)
    return Spread(se, df, min(_of_clusters(d_SC.mean(0)) / se**2, 1.0) if se > 0 else 1.0)


def _unrelated(a_SC: Array, b_SC: Array) -> Spread:
    """Return the spread of ``mean(a) - mean(b)`` for independent draws of seeds."""
    se, df = difference_se(a_SC, b_SC)
    of_clusters = _of_clusters(a_SC.mean(0) - b_SC.mean(0))
    single, several = sorted((a_SC, b_SC), key=len)
    if len(single) == 1 < len(several):
        # What the single seed adds is not seen in it; it is what a seed adds on the other side.
        unseen, own = float(several.mean(1).var(ddof=1)), se**2
        se = math.sqrt(own + unseen)
        spread = own**2 / df + unseen**2 / (len(several) - 1)
        df = se**4 / spread if spread > 0 else df
    return Spread(se, df, min(of_clusters / se**2, 1.0) if se > 0 else 1.0)


def _of_clusters(mean_C: Array) -> float:
    """Return the variance of the mean that comes from clusters."""
    return float(mean_C.var(ddof=1)) / mean_C.size


def _student(a_S: Array, b_S: Array) -> Spread:
    """Return the spread of ``mean(a) - mean(b)`` with one variance for both sides, which a side of one seed can have.

    Source: Student 1908; exact for normal values where nothing but the seeds differs between the sides.
    """
    df = a_S.size + b_S.size - 2
    squares = float(((a_S - a_S.mean()) ** 2).sum() + ((b_S - b_S.mean()) ** 2).sum())
    return Spread(math.sqrt(squares / df * (1 / a_S.size + 1 / b_S.size)), df, 0.0)
