"""What a comparison can see: power of the paired t test, the least difference it tells, and how much data would do.

A difference that has to hold for new clusters and new seeds is tested with the crossed t of ``harness.stats.crossed``;
its standard error and degrees of freedom at another size follow from the variance components. Power is that of the
two-sided test at ``alpha``, noncentral t, before any adjustment for several metrics: an adjusted test sees less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy import optimize, stats

from harness.metrics.contract import Array

POWER = 0.8
ALPHA = 0.05
# Nobody has more; a difference that needs more is not seen at any size.
MOST_CLUSTERS = 10_000_000
MOST_SEEDS = 200
# The fewest that a board ranks.
FEWEST_SEEDS = 3


class Spread(Protocol):
    """How a difference varies, so that its standard error can be told at any size."""

    @property
    def across_seeds(self) -> bool:
        """Whether more than one seed was there to tell how seeds vary."""

    def se(self, seeds: int, clusters: int) -> tuple[float, float]:
        """Return the standard error and its degrees of freedom."""


@dataclass(frozen=True)
class Components:
    """Variance components of paired differences, ``difference = mean + seed + cluster + rest``.

    Attributes:
        seed: variance between seeds; None where there is one, and then ``rest`` is inside ``cluster``.
        cluster: variance between clusters.
        rest: what is left.
    """

    seed: float | None
    cluster: float
    rest: float

    @property
    def across_seeds(self) -> bool:
        """Whether more than one seed was there to tell how seeds vary."""
        return self.seed is not None

    def se(self, seeds: int, clusters: int) -> tuple[float, float]:
        """Return the standard error of the mean difference and its degrees of freedom (Satterthwaite).

        One seed stands for itself: its standard error is that over clusters, and nothing is said about other seeds.
        """
        if seeds == 1 or self.seed is None:
            return math.sqrt((self.cluster + self.rest) / clusters), clusters - 1
        cells, rest_df = seeds * clusters, (seeds - 1) * (clusters - 1)
        of_seeds, of_clusters = clusters * self.seed + self.rest, seeds * self.cluster + self.rest
        terms = [(of_clusters, clusters - 1), (of_seeds, seeds - 1), (-self.rest, rest_df)]
        if self.seed == 0 and self.cluster == 0:
            terms = [(self.rest, rest_df)]
        elif self.seed == 0:
            terms = terms[:1]
        elif self.cluster == 0:
            terms = terms[1:2]
        total, spread = sum(term for term, _ in terms), sum(term**2 / df for term, df in terms)
        return math.sqrt(total / cells), total**2 / spread if spread > 0 else float(terms[0][1])


@dataclass(frozen=True)
class SeedSpread:
    """Variances between the seeds of two methods under a metric that has no value per cluster (Welch's t)."""

    a: float
    b: float

    @property
    def across_seeds(self) -> bool:
        """Always: without seeds there is no spread."""
        return True

    def se(self, seeds: int, clusters: int) -> tuple[float, float]:
        """Return the standard error of the difference and its degrees of freedom (Welch); clusters change nothing.

        Fewer than 2 seeds have none: the standard error is infinite.
        """
        if seeds < 2:
            return math.inf, 1.0
        total, squares = self.a + self.b, self.a**2 + self.b**2
        df = total**2 / squares * (seeds - 1) if squares > 0 else 2.0 * (seeds - 1)
        return math.sqrt(total / seeds), df


def components(difference_SC: Array) -> Components:
    """Return the variance components of paired pseudo-values ``a - b``, ``[S, C]``, by the mean squares.

    A negative estimate counts as 0. Source: Searle, Casella and McCulloch 1992, chapter 4.

    Raises:
        ValueError: fewer than 2 clusters.
    """
    seeds, clusters = difference_SC.shape
    if clusters < 2:
        raise ValueError(f"variance components need at least 2 clusters, got {clusters}")
    if seeds == 1:
        return Components(None, float(difference_SC[0].var(ddof=1)), 0.0)
    mean_S1, mean_1C = difference_SC.mean(1, keepdims=True), difference_SC.mean(0, keepdims=True)
    residual_SC = difference_SC - mean_S1 - mean_1C + difference_SC.mean()
    rest = float((residual_SC**2).sum()) / ((seeds - 1) * (clusters - 1))
    seed = max(float(mean_S1.var(ddof=1)) - rest / clusters, 0.0)
    return Components(seed, max(float(mean_1C.var(ddof=1)) - rest / seeds, 0.0), rest)


def power_of(delta: float | Array, se: float | Array, df: float | Array, alpha: float = ALPHA) -> Array:
    """Return the probability that the two-sided t test sees a true difference of ``delta``; arguments broadcast."""
    critical = stats.t.isf(alpha / 2, df)
    shift = np.abs(delta) / np.asarray(se, dtype=np.float64)
    # scipy gives NaN for some tails on the wrong side, all of them smaller than rounding.
    wrong_side = np.nan_to_num(stats.nct.cdf(-critical, df, shift), nan=0.0)
    return np.asarray(stats.nct.sf(critical, df, shift) + wrong_side, dtype=np.float64)


def detectable(se: float, df: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return the least true difference that the test sees with this power; infinite where ``se`` is."""
    return _noncentrality(df, power, alpha) * se if math.isfinite(se) else math.inf


@lru_cache(maxsize=4096)
def _noncentrality(df: float, power: float, alpha: float) -> float:
    """Return the true difference in standard errors that is seen with this power."""
    high = 4.0
    while power_of(high, 1.0, df, alpha) < power:
        high *= 2
    return float(optimize.brentq(lambda shift: float(power_of(shift, 1.0, df, alpha)) - power, 0.0, high))


def clusters_needed(spread: Spread, delta: float, seeds: int, power: float = POWER) -> int | None:
    """Return the fewest clusters with which ``delta`` is seen; None where no number of clusters is enough.

    With several seeds more clusters lower the standard error and the degrees of freedom, so a larger number may see
    less; what is returned is the first that is enough.
    """
    sizes_G = np.unique(np.geomspace(2, MOST_CLUSTERS, 400).astype(np.int64))
    enough_G = _enough(spread, delta, [(seeds, int(size)) for size in sizes_G], power)
    if not enough_G.any():
        return None
    first = int(enough_G.argmax())
    low, high = (int(sizes_G[first - 1]) if first else 1), int(sizes_G[first])
    while high - low > 1:
        middle = (low + high) // 2
        if _enough(spread, delta, [(seeds, middle)], power)[0]:
            high = middle
        else:
            low = middle
    return high


def seeds_needed(spread: Spread, delta: float, clusters: int, power: float = POWER) -> int | None:
    """Return the fewest seeds, from 3 on, with which ``delta`` is seen; None where no number is enough, or one was run.

    Each of the two methods needs as many.
    """
    if not spread.across_seeds:
        return None
    enough_G = _enough(spread, delta, [(seeds, clusters) for seeds in range(FEWEST_SEEDS, MOST_SEEDS + 1)], power)
    return FEWEST_SEEDS + int(enough_G.argmax()) if enough_G.any() else None


def _enough(spread: Spread, delta: float, sizes: list[tuple[int, int]], power: float) -> Array:
    se_G, df_G = np.array([spread.se(*size) for size in sizes], dtype=np.float64).T
    still = se_G == 0
    reached_G = power_of(delta, np.where(still, 1.0, se_G), df_G)
    return np.asarray(np.where(still, 1.0, np.where(np.isfinite(se_G), reached_G, 0.0)) >= power)


def items_to_differ(discordance: float, delta: float, power: float = POWER, alpha: float = ALPHA) -> int:
    """Return how many paired 0/1 items McNemar's test needs to see a difference of accuracy.

    ``((z_{1-alpha/2} sqrt(d) + z_power sqrt(d - delta^2)) / delta)^2``, rounded up. Source: Miettinen 1968.

    Args:
        discordance: share ``d`` of items on which exactly one of the two is right.
        delta: true difference of accuracy, a share; at most the discordance.
        power: probability of seeing it.
        alpha: two-sided error.

    Raises:
        ValueError: unless ``0 < delta <= discordance <= 1``.
    """
    if not 0 < delta <= discordance <= 1:
        raise ValueError(f"needs 0 < delta <= discordance <= 1, got delta {delta:g} and discordance {discordance:g}")
    z_alpha, z_power = float(stats.norm.isf(alpha / 2)), float(stats.norm.ppf(power))
    root = z_alpha * math.sqrt(discordance) + z_power * math.sqrt(discordance - delta**2)
    return math.ceil((root / delta) ** 2)
