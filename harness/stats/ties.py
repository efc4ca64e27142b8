"""Which methods of a table differ: all pairs are tested at once, and what cannot be told apart shares a rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.metrics.contract import Array
from harness.stats.crossed import difference_se
from harness.stats.multiplicity import holm
from harness.stats.resample import same
from harness.stats.seeds import welch

FLIPS = 9999
EXACT_UP_TO = 12
_CHUNK = 500


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
        seed: seed of the sign flips.

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


def max_t(pseudo: Sequence[Array], flips: int = FLIPS, seed: int = 0) -> Array:
    """Return adjusted p-values of all pairs, ``[K, K]`` with 1 on the diagonal, by studentised step-down max-T.

    Under the null a pair's cluster differences are symmetric about 0, so the signs of whole clusters are flipped, for
    all pairs at once; the largest ``|t|`` of a flip is what the largest observed one is compared with, and so on down
    (Romano and Wolf 2005, Westfall and Young 1993). All ``2^C`` sign patterns up to 12 clusters. A pair with several
    seeds gets its crossed t (``difference_se``), taken to the ``|t|`` of equal p-value with ``C - 1`` degrees of
    freedom: seeds are too few to flip, and their variance has to count.

    Args:
        pseudo: pseudo-values ``[S, C]`` of each of the K methods; the numbers of seeds may differ.
        flips: random sign patterns above 12 clusters.
        seed: their seed.

    Raises:
        ValueError: unequal numbers of clusters, fewer than 2, or a value that is not finite.
    """
    clusters = _clusters(pseudo)
    pairs = np.array(list(combinations(range(len(pseudo)), 2)), dtype=np.int64).reshape(-1, 2)
    p_KK = np.ones((len(pseudo), len(pseudo)))
    if len(pairs) == 0:
        return p_KK
    t_P = np.array([_equivalent_t(pseudo[i], pseudo[j]) for i, j in pairs])
    order = np.argsort(-t_P, kind="stable")
    mean_KC = np.stack([rows.mean(0) for rows in pseudo])
    beaten_P = _beaten(mean_KC, pairs[order], t_P[order], _signs(clusters, flips, seed))
    first, second = pairs[order].T
    p_KK[first, second] = p_KK[second, first] = np.maximum.accumulate(beaten_P)
    return p_KK


def _clusters(pseudo: Sequence[Array]) -> int:
    counts = {rows.shape[1] for rows in pseudo}
    if len(counts) > 1 or min(counts, default=2) < 2:
        raise ValueError(f"all methods need the same clusters, at least 2; got {sorted(counts)}")
    if not all(np.isfinite(rows).all() for rows in pseudo):
        raise ValueError("pseudo-values must be finite; leave a method out of the table where the metric has no value")
    return counts.pop() if counts else 2


def _equivalent_t(a_SC: Array, b_SC: Array) -> float:
    """Return the pair's ``|t|``, on the scale of ``C - 1`` degrees of freedom."""
    clusters = a_SC.shape[1]
    difference_C = a_SC.mean(0) - b_SC.mean(0)
    alone = float(_t(difference_C.mean(), (difference_C**2).mean(), clusters))
    se, df = difference_se(a_SC, b_SC)
    if a_SC.shape[0] == b_SC.shape[0] == 1 or se == 0:
        return alone
    # Never above what the clusters alone say, so that the unflipped pattern always reaches the observed value.
    return min(alone, float(stats.t.isf(stats.t.sf(abs(difference_C.mean()) / se, df), clusters - 1)))


def _t(mean: Array, square: Array, clusters: int) -> Array:
    """Return ``|t|`` from mean and mean square of cluster differences: infinite without spread, 0 where all are 0."""
    spread = np.where(square - mean**2 > 1e-12 * square, square - mean**2, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(mean) * np.sqrt((clusters - 1) / spread)
    return np.asarray(np.where(square == 0, 0.0, t), dtype=np.float64)


def _signs(clusters: int, flips: int, seed: int) -> NDArray[np.int8]:
    """Return sign patterns ``[R, C]``, the first of which flips nothing; all of them up to ``EXACT_UP_TO`` clusters."""
    if clusters <= EXACT_UP_TO:
        bits = ((np.arange(2**clusters)[:, None] >> np.arange(clusters)) & 1).astype(np.int8)
    else:
        count = (flips + 1) * clusters
        raw = np.random.PCG64(seed).random_raw(count // 64 + 1).astype("<u8")
        bits = np.unpackbits(raw.view(np.uint8), count=count).reshape(-1, clusters).astype(np.int8)
        bits[0] = 0  # the observed pattern itself: (1 + #) / (1 + flips)
    return np.asarray(1 - 2 * bits, dtype=np.int8)


def _beaten(mean_KC: Array, pairs: NDArray[np.int64], t_P: Array, signs: NDArray[np.int8]) -> Array:
    """Return the share of sign patterns whose largest ``|t|``, from each pair on, reaches the pair's own, ``[P]``.

    ``pairs`` come in falling order of ``t_P``.
    """
    clusters = mean_KC.shape[1]
    square_P = ((mean_KC[pairs[:, 0]] - mean_KC[pairs[:, 1]]) ** 2).mean(1)
    count_P = np.zeros(len(pairs))
    for start in range(0, len(signs), _CHUNK):
        mean_RK = signs[start : start + _CHUNK].astype(np.float64) @ mean_KC.T / clusters
        t_RP = _t(mean_RK[:, pairs[:, 0]] - mean_RK[:, pairs[:, 1]], square_P, clusters)
        largest_RP = np.maximum.accumulate(t_RP[:, ::-1], axis=1)[:, ::-1]
        count_P += (largest_RP >= t_P * (1 - 1e-9)).sum(0)
    return np.asarray(count_P / len(signs), dtype=np.float64)


def welch_holm(values: Sequence[Array]) -> Array:
    """Return adjusted p-values of all pairs, ``[K, K]``, for metrics whose interval is over seeds.

    Welch's t test between the seeds of two methods, Holm over the pairs. A pair is not tested, and has p-value 1, where
    one of the two has a single seed or neither varies.

    Args:
        values: the point values ``[S]`` of each of the K methods.
    """
    pairs = list(combinations(range(len(values)), 2))
    p_KK = np.ones((len(values), len(values)))
    if pairs:
        adjusted = holm(np.array([_welch(values[i], values[j]) for i, j in pairs]))
        for (i, j), p in zip(pairs, adjusted, strict=True):
            p_KK[i, j] = p_KK[j, i] = p
    return p_KK


def _welch(a_S: Array, b_S: Array) -> float:
    if min(a_S.size, b_S.size) < 2 or (same(a_S) and same(b_S)):
        return 1.0
    shift, se, df = welch(a_S, b_S)
    return float(2 * stats.t.sf(abs(shift) / se, df))
