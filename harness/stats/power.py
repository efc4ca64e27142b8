"""What a comparison can see: the power of its t test, the least difference it tells, and how much data would do.

The test is the one the intervals are made with: the crossed t over seeds and clusters (``harness.stats.crossed``; seeds
in pairs here, unrelated in ``harness.stats.unrelated``), or Welch's t over seeds. Its standard error and degrees of
freedom are themselves estimated, and a negative variance component counts as 0 there, so no noncentral t fits it: with
3 seeds and a large rest the textbook formula promises 80 % where 74 % are found. So power is the mean, over the joint
distribution of the mean squares (independent chi-squares under normal values), of the normal probability that the mean
difference exceeds its half-width. Two-sided, before any adjustment for several metrics: an adjusted test sees less.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy import optimize, special, stats
from scipy.stats import qmc

from harness.metrics.contract import Array

POWER = 0.8
ALPHA = 0.05
# Nobody has more; a difference that needs more is not seen at any size.
MOST_CLUSTERS = 10_000_000
MOST_SEEDS = 200
# The fewest that a board ranks.
FEWEST_SEEDS = 3
# Points of the joint distribution of mean squares (a power of 2) and how many of these there are at most;
# the error of a power is below .002.
_POINTS, _SQUARES = 1024, 5


@dataclass(frozen=True)
class TTest:
    """How the test of a difference behaves at one size.

    Attributes:
        sd: the true standard error of the mean difference.
        half_R: half-widths of its interval, evenly over their distribution.
    """

    sd: float
    half_R: Array

    def power(self, delta: float) -> float:
        """Return the probability that the interval excludes 0 where the true difference is ``delta``."""
        if self.sd == 0:
            return 1.0 if delta else 0.0
        above = special.ndtr((abs(delta) - self.half_R) / self.sd)
        return float(np.mean(above + special.ndtr((-abs(delta) - self.half_R) / self.sd)))

    def detectable(self, power: float = POWER) -> float:
        """Return the least true difference that is seen with this power; infinite where none is."""
        if self.sd == 0 or not math.isfinite(self.sd):
            return self.sd
        high = 4 * self.sd
        while self.power(high) < power:
            high *= 2
        return float(optimize.brentq(lambda delta: self.power(delta) - power, 0.0, high, rtol=1e-6))


class Spread(Protocol):
    """How a difference varies, so that its test can be told at any size."""

    @property
    def across_seeds(self) -> bool:
        """Whether more than one seed was there to tell how seeds vary."""

    def test(self, seeds: int, clusters: int) -> TTest:
        """Return the test with so many seeds of each method and so many clusters."""


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

    def test(self, seeds: int, clusters: int) -> TTest:
        """Return the crossed t test; one seed stands for itself, and nothing is said about other seeds."""
        if seeds == 1 or self.seed is None:
            square_R = (self.cluster + self.rest) / clusters * mean_square(clusters - 1, 0)
            half_R = float(stats.t.isf(ALPHA / 2, clusters - 1)) * np.sqrt(square_R)
            return TTest(math.sqrt((self.cluster + self.rest) / clusters), half_R)
        df = (clusters - 1, seeds - 1, (seeds - 1) * (clusters - 1))
        cells = seeds * clusters
        expected = (
            (seeds * self.cluster + self.rest) / cells,
            (clusters * self.seed + self.rest) / cells,
            self.rest / cells,
        )
        of_clusters, of_seeds, rest = (expected[i] * mean_square(df[i], i) for i in range(3))
        half_R = half_width(*crossed_variance((of_clusters, of_seeds, rest), df))
        return TTest(math.sqrt(expected[0] + expected[1] - expected[2]), half_R)


@dataclass(frozen=True)
class SeedSpread:
    """Variances between the seeds of two methods under a metric that has no value per cluster (Welch's t)."""

    a: float
    b: float

    @property
    def across_seeds(self) -> bool:
        """Always: without seeds there is no spread."""
        return True

    def test(self, seeds: int, clusters: int) -> TTest:
        """Return Welch's test; clusters change nothing, and fewer than 2 seeds see nothing."""
        if seeds < 2:
            return TTest(math.inf, np.full(1, np.inf))
        # In order of size, so that which side is called a makes no difference to the points either.
        a_R, b_R = (side / seeds * mean_square(seeds - 1, i) for i, side in enumerate(sorted((self.a, self.b))))
        squares_R = a_R**2 + b_R**2
        df_R = (a_R + b_R) ** 2 * (seeds - 1) / np.where(squares_R > 0, squares_R, 1.0)
        return TTest(math.sqrt((self.a + self.b) / seeds), half_width(a_R + b_R, np.maximum(df_R, 1.0)))


def crossed_variance(squares: tuple[Array, Array, Array], df: tuple[int, int, int]) -> tuple[Array, Array]:
    """Return the variance of the grand mean and its degrees of freedom as ``crossed_se`` has them, for many layouts.

    Args:
        squares: mean squares of clusters, seeds and rest over ``S C``, each ``[R]``.
        df: their degrees of freedom.
    """
    of_clusters, of_seeds, rest = squares
    more_clusters, more_seeds = of_clusters > rest, of_seeds > rest
    both = more_clusters & more_seeds
    variance = np.where(
        both, of_clusters + of_seeds - rest, np.where(more_clusters, of_clusters, np.maximum(of_seeds, rest))
    )
    spread = of_clusters**2 / df[0] + of_seeds**2 / df[1] + rest**2 / df[2]
    alone = np.where(more_clusters, df[0], np.where(of_seeds >= rest, df[1], df[2]))
    return variance, np.where(both, variance**2 / np.where(both, spread, 1.0), alone)


def half_width(variance_R: Array, df_R: Array) -> Array:
    """Return half the width of the two-sided t interval."""
    return np.asarray(special.stdtrit(df_R, 1 - ALPHA / 2) * np.sqrt(variance_R), dtype=np.float64)


@lru_cache(maxsize=512)
def mean_square(df: int, dimension: int) -> Array:
    """Return a mean square with expectation 1 at the points, ``[R]``; up to five dimensions are independent."""
    place_R = _points()[:, dimension]
    found = np.asarray(stats.chi2.ppf(place_R, df) / df, dtype=np.float64)
    found.setflags(write=False)
    return found


@lru_cache(maxsize=1)
def _points() -> Array:
    """Return points that fill the cube evenly, ``[R, dimension]``: Sobol 1967, in the middle of their cells."""
    places = qmc.Sobol(_SQUARES, scramble=False).random(_POINTS)
    return np.asarray(places + 0.5 / _POINTS, dtype=np.float64)


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


def clusters_needed(spread: Spread, delta: float, seeds: int, power: float = POWER) -> int | None:
    """Return the fewest clusters with which ``delta`` is seen; None where no number of clusters is enough.

    With several seeds more clusters lower the degrees of freedom beside the standard error, so that a larger number may
    see less; what is returned is the first that is enough.
    """
    return _first(lambda size: spread.test(seeds, size).power(delta) >= power, 2, MOST_CLUSTERS)


def seeds_needed(spread: Spread, delta: float, clusters: int, power: float = POWER) -> int | None:
    """Return the fewest seeds, from 3 on, with which ``delta`` is seen; None where no number is enough, or one was run.

    Each of the two methods needs as many.
    """
    if not spread.across_seeds:
        return None
    return _first(lambda size: spread.test(size, clusters).power(delta) >= power, FEWEST_SEEDS, MOST_SEEDS)


def _first(enough: Callable[[int], bool], least: int, most: int) -> int | None:
    """Return the first size that is enough: growing by half until one is, then halving the last step."""
    below, size = least - 1, least
    while not enough(size):
        if size >= most:
            return None
        below, size = size, min(most, max(size + 1, size * 3 // 2))
    while size - below > 1:
        middle = (below + size) // 2
        below, size = (below, middle) if enough(middle) else (middle, size)
    return size


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
