"""What a comparison of methods with unrelated seeds can see: the power of the test that boards and comparisons make.

``harness.stats.power`` has the idea; here each side has seeds of its own, as in ``difference_se``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.metrics.contract import Array
from harness.stats.crossed import unrelated_variance
from harness.stats.power import TTest, half_width, mean_square


@dataclass(frozen=True)
class Side:
    """Variances of one method over the seeds it was run with; a method of one seed is fixed, and both are 0.

    Attributes:
        seed: between its seeds.
        rest: of what a seed does to single clusters.
        varies: whether there was more than one seed to tell.
    """

    seed: float = 0.0
    rest: float = 0.0
    varies: bool = True


FIXED = Side(varies=False)


@dataclass(frozen=True)
class Unrelated:
    """How the difference of two methods varies.

    Attributes:
        a: one side.
        b: the other.
        cluster: variance between clusters of the difference of the two means; a fixed side's rest is inside of it.
    """

    a: Side
    b: Side
    cluster: float

    @property
    def across_seeds(self) -> bool:
        """Whether some side had more than one seed to tell how seeds vary."""
        return self.a.varies or self.b.varies

    def test(self, seeds: int, clusters: int) -> TTest:
        """Return the test with so many seeds of each method that has any; one seed stands for itself."""
        # In order, so that which side is called a makes no difference to the points either.
        sides = sorted((self.a, self.b), key=lambda side: (side.seed, side.rest))
        rests = sum(side.rest for side in sides)
        of_clusters = (self.cluster + rests / seeds) / clusters
        square_R = of_clusters * mean_square(clusters - 1, 0)
        none = (np.zeros_like(square_R), np.ones_like(square_R))
        seed, rest, variance = [none, none], [none, none], of_clusters
        for i, side in enumerate(sides if seeds > 1 else ()):
            if side.varies:
                seed_R = (side.seed + side.rest / clusters) / seeds * mean_square(seeds - 1, 1 + i)
                df = (seeds - 1) * (clusters - 1)
                rest_R = side.rest / (seeds * clusters) * mean_square(df, 3 + i)
                seed[i], rest[i] = (seed_R, none[1] * (seeds - 1)), (rest_R, none[1] * df)
                variance += side.seed / seeds
        found = unrelated_variance(square_R, clusters, *(np.moveaxis(np.array(part), -1, 0) for part in (seed, rest)))
        return TTest(math.sqrt(variance), half_width(*found))


def unrelated(a_SC: Array, b_SC: Array) -> Unrelated:
    """Return how ``mean(a) - mean(b)`` varies, from pseudo-values on the same clusters, by the mean squares.

    A negative estimate counts as 0. Source: Searle, Casella and McCulloch 1992, chapter 4.

    Raises:
        ValueError: fewer than 2 clusters.
    """
    clusters = a_SC.shape[1]
    if clusters < 2:
        raise ValueError(f"variance components need at least 2 clusters, got {clusters}")
    a, b = _side(a_SC), _side(b_SC)
    of_clusters = float((a_SC.mean(0) - b_SC.mean(0)).var(ddof=1))
    return Unrelated(a, b, max(of_clusters - a.rest / len(a_SC) - b.rest / len(b_SC), 0.0))


def _side(side_SC: Array) -> Side:
    seeds, clusters = side_SC.shape
    if seeds == 1:
        return FIXED
    mean_S1, mean_1C = side_SC.mean(1, keepdims=True), side_SC.mean(0, keepdims=True)
    residual_SC = side_SC - mean_S1 - mean_1C + side_SC.mean()
    rest = float((residual_SC**2).sum()) / ((seeds - 1) * (clusters - 1))
    return Side(max(float(mean_S1.var(ddof=1)) - rest / clusters, 0.0), rest)
