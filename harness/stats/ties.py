"""Which methods of a table differ: all pairs are tested at once, and what cannot be told apart shares a rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.metrics.contract import Array
from harness.stats.crossed import difference_ses
from harness.stats.multiplicity import holm
from harness.stats.resample import ROUNDING, cluster_weights, same
from harness.stats.student import t_quantile, t_tail

Index = NDArray[np.int64]

RESAMPLES = 9999
# A table of more pairs (20 methods have 190) takes fewer resamples: its p-values stay valid, since the table itself is
# one of the draws that are counted, and the error of one near .05 is .005 where 9 999 resamples leave .002.
PAIRS, FEWER = 190, 1999
# Resamples handled at once: few enough that a table of a thousand pairs stays near the processor.
_CHUNK = 128


@dataclass(frozen=True)
class TieGroups:
    """A table in order, its ranks, and the adjusted p-value of every pair.

    Attributes:
        order: names, best first.
        rank: rank by name; members of a tie group share one, and the next group starts after all of them (1, 1, 3).
        p: adjusted p-value of each pair of names, in both orders.
    """

    order: tuple[str, ...]
    rank: Mapping[str, int]
    p: Mapping[tuple[str, str], float]


def tie_groups(
    pseudo: Mapping[str, Array], direction: Literal["up", "down"], alpha: float = 0.05, seed: int = 0
) -> TieGroups:
    """Rank methods so that only differences that are significant in the whole table separate them.

    Rule: methods are sorted by their mean. The best leads the first group; going down the table, a method joins the
    group as long as its difference from the group's leader is not significant (adjusted ``p >= alpha``), else it leads
    the next group. Members of a group share the rank of its leader.

    Args:
        pseudo: for each method its pseudo-values ``[S, C]`` (``metric_pseudo_values``), all on the same clusters.
        direction: ``up`` where more is better, else ``down``.
        alpha: family-wise error of the table.
        seed: seed of the resampling.

    Raises:
        ValueError: unequal numbers of clusters, fewer than 2, or a value that is not finite.
    """
    names = tuple(pseudo)
    sign = {"up": 1.0, "down": -1.0}[direction]
    means = np.array([sign * float(pseudo[name].mean()) for name in names])
    return grouped(names, means, max_t(list(pseudo.values()), seed=seed), alpha)


def grouped(names: Sequence[str], means: Array, p_KK: Array, alpha: float = 0.05) -> TieGroups:
    """Apply the rule of ``tie_groups`` to adjusted p-values ``[K, K]`` and ``means [K]``, of which more is better."""
    order = [int(index) for index in np.argsort(-means, kind="stable")]
    rank: dict[str, int] = {}
    leader, place = (order[0] if order else 0), 1
    for position, index in enumerate(order, start=1):
        if p_KK[leader, index] < alpha:
            leader, place = index, position
        rank[names[index]] = place
    pairs = {(names[i], names[j]): float(p_KK[i, j]) for i in order for j in order if i != j}
    return TieGroups(tuple(names[index] for index in order), rank, pairs)


def max_t(pseudo: Sequence[Array], resamples: int | None = None, seed: int = 0) -> Array:
    """Return adjusted p-values of all pairs, ``[K, K]`` with 1 on the diagonal, by studentised step-down max-T.

    Clusters are resampled for all pairs at once, differences centred and studentised in every resample; the largest
    ``|t*|`` is what the largest observed ``|t|`` is compared with, and so on down (Romano and Wolf 2005). The
    family-wise error then holds for skewed clusters too, where flipping signs makes up to three times as many errors.

    A pair with several seeds gets the t of ``difference_se``, taken to the ``|t|`` of equal p-value with ``C - 1``
    degrees of freedom: seeds are too few to resample, and their variance has to count. With 2 seeds it is too badly
    known (the error reaches .2), so rank from 3 seeds on. No p-value is below ``2^(1 - C)``, the least that the signs
    of C differences could give.

    Args:
        pseudo: pseudo-values ``[S, C]`` of each of the K methods; the numbers of seeds may differ.
        resamples: how many; ``1 / (resamples + 1)`` is the least p-value. By default 9 999, and 1 999 for tables of
            more than 20 methods.
        seed: seed of the resampling.

    Raises:
        ValueError: unequal numbers of clusters, fewer than 2, or a value that is not finite.
    """
    clusters = _clusters(pseudo)
    pairs = np.array(list(combinations(range(len(pseudo)), 2)), dtype=np.int64).reshape(-1, 2)
    p_KK = np.ones((len(pseudo), len(pseudo)))
    if len(pairs) == 0:
        return p_KK
    resamples = resamples or (RESAMPLES if len(pairs) <= PAIRS else FEWER)
    t_P = _pair_t(pseudo, *pairs.T)
    order = np.argsort(-t_P, kind="stable")
    first, second = pairs[order].T
    mean_KC = np.stack([rows.mean(0) for rows in pseudo])
    count_P = _reached(mean_KC[first] - mean_KC[second], t_P[order], cluster_weights(clusters, resamples, seed))
    p_P = np.maximum((1 + count_P) / (1 + resamples), 2.0 ** (1 - clusters))
    p_KK[first, second] = p_KK[second, first] = np.maximum.accumulate(p_P)
    return p_KK


def _clusters(pseudo: Sequence[Array]) -> int:
    counts = {rows.shape[1] for rows in pseudo}
    if len(counts) > 1 or min(counts, default=2) < 2:
        raise ValueError(f"all methods need the same clusters, at least 2; got {sorted(counts)}")
    if not all(np.isfinite(rows).all() for rows in pseudo):
        raise ValueError("pseudo-values must be finite; leave a method out of the table where the metric has no value")
    return counts.pop() if counts else 2


def scaled_t(shift: float, se: float, df: float, clusters: int) -> float:
    """Return ``|shift / se|`` on the scale of ``C - 1`` degrees of freedom; infinite for a constant difference."""
    shift = abs(shift)
    if se <= ROUNDING * shift:
        return float("inf") if shift > 0 else 0.0
    if df == clusters - 1:
        return shift / se
    return float(t_quantile(t_tail(np.array(shift / se), np.array(df)), clusters - 1))


def _pair_t(pseudo: Sequence[Array], first: Index, second: Index) -> Array:
    """Return each pair's ``|t|`` on the scale of ``C - 1`` degrees of freedom; infinite for a constant difference."""
    mean_K = np.array([float(rows.mean()) for rows in pseudo])
    shift_P = np.abs(mean_K[first] - mean_K[second])
    se_P, df_P = difference_ses(pseudo, first, second)
    varies = se_P > ROUNDING * shift_P
    t_P = np.where(shift_P > 0, np.inf, 0.0)
    t_P[varies] = shift_P[varies] / se_P[varies]
    clusters = pseudo[0].shape[1]
    # Through the p-value only where there are seeds: it underflows, and clusters alone have these degrees already.
    seeds = varies & (df_P != clusters - 1)
    t_P[seeds] = t_quantile(t_tail(t_P[seeds], df_P[seeds]), clusters - 1)
    return t_P


def _reached(difference_PC: Array, t_P: Array, w_RC: Array) -> Array:
    """Return how many resamples have a largest ``|t*|``, from each pair on, that reaches the pair's own, ``[P]``.

    Pairs come in falling order of ``t_P``.
    """
    clusters = w_RC.shape[1]
    # From the last pair to the first, so that the largest so far is the largest from a pair on.
    centred_PC = (difference_PC - difference_PC.mean(1, keepdims=True))[::-1].copy()
    square_PC, t_P1 = centred_PC**2, t_P[::-1, None]
    count_P = np.zeros(len(t_P))
    for start in range(0, len(w_RC), _CHUNK):
        share_CR = w_RC[start : start + _CHUNK].T / clusters
        largest_PR = _studentised(centred_PC @ share_CR, square_PC @ share_CR, clusters)
        np.maximum.accumulate(largest_PR, axis=0, out=largest_PR)
        count_P += np.count_nonzero(largest_PR >= t_P1, axis=1)
    return count_P[::-1]


def _studentised(mean_PR: Array, square_PR: Array, clusters: int) -> Array:
    """Return ``|t*|`` of resampled means, and writes over both: means of a thousand pairs do not fit a cache twice."""
    spread_PR = np.subtract(square_PR, mean_PR**2)
    np.multiply(square_PR, ROUNDING, out=square_PR)
    np.putmask(spread_PR, spread_PR <= square_PR, 0.0)
    np.abs(mean_PR, out=mean_PR)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(clusters - 1, spread_PR, out=spread_PR)
        np.sqrt(spread_PR, out=spread_PR)
        np.multiply(mean_PR, spread_PR, out=mean_PR)
    # No spread and no mean: a pair without any difference.
    np.putmask(mean_PR, np.isnan(mean_PR), 0.0)
    return mean_PR


def resampled_t(difference_PC: Array, w_RC: Array) -> Array:
    """Return ``|t*|`` of centred differences in each resample of clusters, ``[R, P]``.

    A resample without spread counts as infinitely far from the mean.
    """
    clusters = w_RC.shape[1]
    centred_CP = (difference_PC - difference_PC.mean(1, keepdims=True)).T
    share_RC = w_RC / clusters
    mean_RP, square_RP = share_RC @ centred_CP, share_RC @ centred_CP**2
    spread_RP = np.where(square_RP - mean_RP**2 > ROUNDING * square_RP, square_RP - mean_RP**2, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t_RP = np.abs(mean_RP) * np.sqrt((clusters - 1) / spread_RP)
    return np.asarray(np.nan_to_num(t_RP, nan=0.0, posinf=np.inf))


def welch_holm(values: Sequence[Array]) -> Array:
    """Return adjusted p-values of all pairs, ``[K, K]``, for metrics whose interval is over seeds.

    Welch's t test between the seeds of two methods, Holm over the pairs. A method with one value is taken as fixed (one
    without randomness). A pair is not tested, and has p-value 1, where neither varies.

    Args:
        values: the point values ``[S]`` of each of the K methods.
    """
    p_KK = np.ones((len(values), len(values)))
    if len(values) < 2:
        return p_KK
    first, second = np.array(list(combinations(range(len(values)), 2)), dtype=np.int64).T
    p_KK[first, second] = p_KK[second, first] = holm(_welch(values, first, second))
    return p_KK


def _welch(values: Sequence[Array], first: Index, second: Index) -> Array:
    """Return the p-value of each pair; a method with one value adds neither variance nor degrees of freedom."""
    mean_K = np.array([value.mean() for value in values])
    size_K = np.array([value.size for value in values])
    of_K = np.array([value.var(ddof=1) / value.size if value.size > 1 else 0.0 for value in values])
    fixed_K = np.array([same(value) for value in values])
    total_P = of_K[first] + of_K[second]
    spread_K = of_K**2 / np.maximum(size_K - 1, 1)
    tested = ~(fixed_K[first] & fixed_K[second])
    first, second, total_P = first[tested], second[tested], total_P[tested]
    df_P = total_P**2 / (spread_K[first] + spread_K[second])
    p = np.ones(tested.size)
    p[tested] = 2 * t_tail(np.abs(mean_K[first] - mean_K[second]) / np.sqrt(total_P), df_P)
    return p
