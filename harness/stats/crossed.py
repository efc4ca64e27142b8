"""Several seeds scored on the same clusters: both vary, and the interval has to hold for new ones of both.

Every seed meets every cluster, so a value of the table ``[S, C]`` is mean + seed + cluster + rest. The variance of the
grand mean is estimated from the three mean squares of the two-way layout, its degrees of freedom after Satterthwaite.
With 3 seeds these intervals cover .94 to .98 of the time; resampling seeds and then clusters covers .81 to .92.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.metrics.contract import Array
from harness.stats.estimate import Estimate, Plan, SeedStatistic, bare
from harness.stats.resample import ROUNDING, leave_one_out
from harness.stats.student import t_quantile


def pseudo_values(statistic: SeedStatistic, clusters: int) -> Array:
    """Return what each cluster contributes to each seed's value, ``[S, C]``; the mean of a row is that seed's value.

    ``theta_s + (C - 1) (mean_c theta_s(-c) - theta_s(-c))`` with ``theta_s(-c)`` the value without cluster c: the
    jackknife's pseudo-values, centred on the point value so that tables and tests show the same number (the jackknife's
    correction for bias, of the order of 1/C, is left out). For a mean over equal clusters it is the cluster's value.

    Raises:
        ValueError: fewer than 2 clusters.
        NotComputableError: raised by the statistic where the point has no value.
    """
    if clusters < 2:
        raise ValueError(f"pseudo-values need at least 2 clusters, got {clusters}")
    point_S = statistic(np.ones(clusters))
    left_out_SC = statistic(leave_one_out(clusters))
    influence_SC = (clusters - 1) * (left_out_SC.mean(1, keepdims=True) - left_out_SC)
    return np.asarray(point_S[:, None] + influence_SC, dtype=np.float64)


def crossed_se(pseudo_SC: Array) -> tuple[float, float]:
    """Return the standard error of the grand mean and its degrees of freedom.

    With mean squares ``A`` (seeds), ``B`` (clusters), ``E`` (rest): ``V = (max(A, E) + max(B, E) - E) / (S C)``, i.e.
    negative variance components count as 0; degrees of freedom after Satterthwaite 1946 over the terms left in ``V``.
    One seed: the standard error over clusters with ``C - 1``.
    """
    return _combine(pseudo_SC.mean(0), (pseudo_SC,))


def difference_se(a_SC: Array, b_SC: Array) -> tuple[float, float]:
    """Return the standard error of ``mean(a) - mean(b)`` and its degrees of freedom: same clusters, unrelated seeds.

    The variance over clusters of the difference of seed means, plus each side's own seed component (none where a side
    has one seed), each counted as 0 where it is negative. Where seeds belong together in pairs, ``crossed_se(a - b)``.
    """
    return _combine(a_SC.mean(0) - b_SC.mean(0), (a_SC, b_SC))


def _combine(mean_C: Array, sides: Sequence[Array]) -> tuple[float, float]:
    """Return the standard error of the mean of ``mean_C``, which sums or subtracts the seed means of ``sides``."""
    clusters = mean_C.size
    of_clusters = (float(mean_C.var(ddof=1)) / clusters, clusters - 1)
    seeds = [_seed_terms(side_SC) for side_SC in sides if side_SC.shape[0] > 1]
    # The variance over clusters holds each side's rest once already; where it holds no more, clusters add nothing.
    if of_clusters[0] > sum(rest for _, (rest, _) in seeds):
        more = [pair for pair in seeds if pair[0][0] > pair[1][0]]
        return _satterthwaite([of_clusters, *(seed for seed, _ in more), *((-rest, df) for _, (rest, df) in more)])
    return _satterthwaite([max(pair) for pair in seeds] or [of_clusters])


def difference_ses(sides: Sequence[Array], first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return the standard errors and degrees of freedom, ``[P]``, of ``difference_se`` for many pairs at once.

    Args:
        sides: pseudo-values ``[S, C]``; the numbers of seeds may differ.
        first: ``i`` of each pair, ``[P]``.
        second: ``j`` of each pair, ``[P]``.
    """
    clusters = sides[0].shape[1]
    mean_KC = np.stack([side.mean(0) for side in sides])
    # One seed has no component of its own; nothing over one degree of freedom adds nothing.
    terms_K22 = np.array([_seed_terms(side) if side.shape[0] > 1 else ((0, 1), (0, 1)) for side in sides])
    of_side_P222 = terms_K22[np.stack([first, second], 1)]
    of_clusters_P = (mean_KC[first] - mean_KC[second]).var(1, ddof=1) / clusters
    variance_P, df_P = unrelated_variance(of_clusters_P, clusters, of_side_P222[..., 0, :], of_side_P222[..., 1, :])
    return np.sqrt(variance_P), df_P


def unrelated_variance(of_clusters_P: Array, clusters: int, seed_P22: Array, rest_P22: Array) -> tuple[Array, Array]:
    """Return the squares of what ``difference_se`` returns, and the degrees of freedom, for many layouts, ``[P]``.

    Args:
        of_clusters_P: variance over clusters of the difference of seed means, over ``C``.
        clusters: ``C``.
        seed_P22: for each side its mean square of seeds over ``S C``, and its degrees of freedom; 0 and 1 for a side of
            one seed.
        rest_P22: the same for the rest.
    """
    seed_P2, seed_df_P2, rest_P2, rest_df_P2 = seed_P22[..., 0], seed_P22[..., 1], rest_P22[..., 0], rest_P22[..., 1]
    more_P2 = seed_P2 > rest_P2
    wide_P = of_clusters_P > rest_P2.sum(1)
    wide_P2 = wide_P[:, None]
    # The terms of _combine, with 0 where it leaves one out.
    held_P2 = np.where(wide_P2, np.where(more_P2, seed_P2, 0.0), np.maximum(seed_P2, rest_P2))
    held_df_P2 = np.where(more_P2, seed_df_P2, rest_df_P2)
    terms_P5 = np.c_[np.where(wide_P, of_clusters_P, 0.0), held_P2, np.where(wide_P2 & more_P2, -rest_P2, 0.0)]
    df_P5 = np.c_[np.full(len(of_clusters_P), clusters - 1.0), held_df_P2, rest_df_P2]
    total_P, spread_P = _in_order(terms_P5), _in_order(terms_P5**2 / df_P5)
    return total_P, np.divide(total_P**2, spread_P, out=df_P5[:, 0].copy(), where=spread_P > 0)


def _in_order(terms_Pn: Array) -> Array:
    """Return the sums of rows, added from the left as a loop adds them."""
    return np.asarray(terms_Pn.cumsum(1)[:, -1])


def _seed_terms(side_SC: Array) -> tuple[tuple[float, int], tuple[float, int]]:
    """Return (mean square / S C, degrees of freedom) of the seeds and of the rest, in a layout without replication."""
    seeds, clusters = side_SC.shape
    mean_S1, mean_1C = side_SC.mean(1, keepdims=True), side_SC.mean(0, keepdims=True)
    df = (seeds - 1) * (clusters - 1)
    rest = float(((side_SC - mean_S1 - mean_1C + side_SC.mean()) ** 2).sum()) / df
    return (float(mean_S1.var(ddof=1)) / seeds, seeds - 1), (rest / (seeds * clusters), df)


def _satterthwaite(terms: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Return the root of the sum of variances and the degrees of freedom of that sum."""
    total = sum(variance for variance, _ in terms)
    spread = sum(variance**2 / df for variance, df in terms)
    return float(np.sqrt(total)), float(total**2 / spread) if spread > 0 else float(terms[0][1])


def t_interval(value: float, se: float, df: float, pseudo_SC: Array, plan: Plan) -> Estimate:
    """Return ``value`` with the interval ``value +- t_df se``; ``pseudo_SC`` tells the seeds and clusters behind it."""
    seeds, clusters = pseudo_SC.shape
    seed_sd = float(pseudo_SC.mean(1).std(ddof=1)) if seeds > 1 else None
    if not np.isfinite(se):
        return bare(value, plan, clusters, "not computable when one cluster is left out", seeds)
    if se <= ROUNDING * float(np.abs(pseudo_SC).max()):
        return bare(value, plan, clusters, "every seed and cluster gives the same value", seeds, how="constant")
    half = float(t_quantile(plan.tails[0], df)) * se
    return Estimate(value, value - half, value + half, plan.level, "crossed-t", clusters, seeds, seed_sd)


def crossed_t(pseudo_SC: Array, plan: Plan | None = None) -> Estimate:
    """Return the mean of ``pseudo_SC`` with its crossed t interval over seeds and clusters.

    Source: Satterthwaite 1946; two-way random effects as in Searle, Casella and McCulloch 1992, chapter 4.
    """
    return t_interval(float(pseudo_SC.mean()), *crossed_se(pseudo_SC), pseudo_SC, plan or Plan())
