"""Nulls: many statistics against their common null distribution, and labels exchanged among groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.contract import Array
from harness.stats.multiplicity import benjamini_hochberg

# Draws handled at once, so that memory stays a few columns of the null.
_CHUNK = 64


@dataclass(frozen=True)
class Tested:
    """One-sided p-values of ``F`` statistics; NaN where a statistic was not tested.

    Attributes:
        z: the statistic, centred and scaled by mean and standard deviation of its null.
        p: share of draws (and the statistic itself) that reach it.
        q: ``p`` adjusted for the false discovery rate (Benjamini and Hochberg).
        p_max: adjusted for the family-wise error by studentised step-down max-T.
    """

    z: Array
    p: Array
    q: Array
    p_max: Array


def against_null(observed_F: Array, null_SF: NDArray[np.floating], eligible_F: NDArray[np.bool_]) -> Tested:
    """Test every eligible statistic for being larger than under the null.

    ``p = (1 + #{null >= observed}) / (1 + S)``. For ``p_max`` every draw is studentised by its statistic's mean and
    standard deviation under the null; ``z`` is compared with the largest ``z*`` over the statistics from its own on, in
    falling order (Westfall and Young 1993). A statistic whose null does not vary is not tested.

    Args:
        observed_F: ``[F]``.
        null_SF: ``[S, F]``: row s holds all statistics under draw s, so that their dependence is kept.
        eligible_F: bool ``[F]``.
    """
    draws = null_SF.shape[0]
    mean_F, sd_F = _moments(null_SF)
    tested = np.flatnonzero(eligible_F & (sd_F > 1e-9 * np.abs(mean_F)))
    z, p, q, p_max = (np.full(observed_F.shape, np.nan) for _ in range(4))
    if tested.size == 0:
        return Tested(z, p, q, p_max)
    mean, sd = mean_F[tested], sd_F[tested]
    z[tested] = (observed_F[tested] - mean) / sd
    order = tested[np.argsort(-z[tested], kind="stable")]
    reached, largest = np.zeros(order.size), np.zeros(order.size)
    for start in range(0, draws, _CHUNK):
        rows_SF = null_SF[start : start + _CHUNK, order]
        reached += (rows_SF >= observed_F[order] - 1e-12 * np.abs(observed_F[order])).sum(0)
        z_SF = (rows_SF - mean_F[order]) / sd_F[order]
        # Over the statistics from each on: the last of them is compared with itself alone.
        largest += (np.maximum.accumulate(z_SF[:, ::-1], axis=1)[:, ::-1] >= z[order] - 1e-12).sum(0)
    p[order] = (1 + reached) / (1 + draws)
    p_max[order] = np.maximum.accumulate((1 + largest) / (1 + draws))
    q[order] = benjamini_hochberg(p[order])
    return Tested(z, p, q, p_max)


def exchanged(label_n: NDArray[np.int64], group_n: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return labels ``[n]`` that groups have exchanged: each group has those of another one, in an order at random.

    Labels of a group stay labels of one group, or a group on both sides of a fold would go unnoticed and many equal
    answers would count as many. Where groups differ in size, a larger one has the other's labels more than once and a
    smaller one some of them; laid down end to end, the labels of a large group would be spread over many small ones,
    and noise would look smaller than it is. The order inside a group is drawn too: the third answer of every group may
    be by one author, and what is left of the author is not nothing. No class is lost.
    """
    rng = np.random.default_rng(seed)
    _, of_n, size_g = np.unique(group_n, return_inverse=True, return_counts=True)
    start_g = np.cumsum(size_g) - size_g
    row_n = np.argsort(of_n, kind="stable")
    place_n = np.arange(len(of_n)) - start_g[of_n[row_n]]
    new_n = np.empty_like(label_n)
    while True:
        from_n = np.argsort(rng.permutation(len(size_g)))[of_n[row_n]]
        drawn_n = label_n[np.lexsort((rng.random(len(of_n)), of_n))]
        new_n[row_n] = drawn_n[start_g[from_n] + place_n % size_g[from_n]]
        if np.isin(label_n, new_n).all():
            return new_n


def _moments(null_SF: NDArray[np.floating]) -> tuple[Array, Array]:
    """Return mean and standard deviation of every column in float64, without a float64 copy of the whole."""
    mean_F = null_SF.mean(0, dtype=np.float64)
    blocks = range(0, null_SF.shape[0], _CHUNK)
    square_F = sum(((null_SF[start : start + _CHUNK] - mean_F) ** 2).sum(0) for start in blocks)
    return mean_F, np.sqrt(square_F / null_SF.shape[0])
