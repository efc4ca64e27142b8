"""What metrics of single items have in common: each item has a cluster, and weighs as often as its cluster counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.metrics.contract import Array, Parts, ratio


def item_weights(parts: Parts, w: Array, cluster: str) -> Array:
    """Return the weight of each item, ``[..., n]``; ``cluster`` names the part that tells an item's cluster."""
    return np.asarray(w, dtype=np.float64).take(parts[cluster].astype(np.int64), axis=-1)


def cluster_sums(parts: Parts, of_n: Array, cluster: str, clusters: int) -> Array:
    """Add up a number of each item inside its cluster, ``[C]``: weighted sums of items need no more than this.

    A resample then costs as much as there are clusters, not items.
    """
    return np.asarray(np.bincount(parts[cluster].astype(np.int64), of_n, clusters), dtype=np.float64)


def auroc_in_folds(score_n: Array, positive_n: NDArray[np.bool_], fold_n: Array, w_n: Array, reason: str) -> Array:
    """Return the share of pairs in the right order, ties one half, among pairs of unlike items of one fold.

    Scores of different folds come from different fits and are not compared. Not computable (``reason``) without a pair.
    """
    wins, pairs = np.zeros(w_n.shape[:-1]), np.zeros(w_n.shape[:-1])
    for fold in np.unique(fold_n):
        inside = fold_n == fold
        won, all_pairs = _pairs(score_n[inside], positive_n[inside], w_n[..., inside])
        wins, pairs = wins + won, pairs + all_pairs
    return ratio(wins, pairs, reason)


def answers_auroc(parts: Parts, w: Array, score_n: Array, y_n: Array) -> Array:
    """Return the AUROC of scores of answers, ``y_n`` 1 where wrong, over pairs of one fold (``item_fold``)."""
    reason = "all answers are right, or all are wrong"
    return auroc_in_folds(score_n, y_n > 0, parts["item_fold"], item_weights(parts, w, "item_cluster"), reason)


def _pairs(score_n: Array, positive_n: NDArray[np.bool_], w_n: Array) -> tuple[Array, Array]:
    """Return the weight of pairs that are in the right order (ties one half), and of all pairs of unlike items."""
    above, below = (by_score(score_n, w_n * side) for side in (positive_n, ~positive_n))
    lower = below.cumsum(-1) - below
    return (above * (lower + below / 2)).sum(-1), above.sum(-1) * below.sum(-1)


def by_score(score_n: Array, w_n: Array) -> Array:
    """Add up weights ``[..., n]`` of equal scores, in rising order of them: ``[..., distinct scores]``."""
    order = np.argsort(score_n, kind="stable")
    starts = np.flatnonzero(np.diff(score_n[order], prepend=np.nan) != 0)
    # Most scores occur once, and adding single numbers up takes half of the time of an interval.
    single = len(starts) == len(order)
    return np.asarray(
        w_n[..., order] if single else np.add.reduceat(w_n[..., order], starts, axis=-1), dtype=np.float64
    )
