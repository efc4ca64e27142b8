"""Intervals of a share of right answers."""

from __future__ import annotations

import numpy as np
from scipy import stats

from harness.metrics.contract import Array
from harness.stats.estimate import Estimate, Plan
from harness.stats.resample import interval


def wilson(right: int, items: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of ``right / items`` for independent items. Source: Wilson 1927."""
    return _proportion_ci(right, items, level, "wilson")


def clopper_pearson(right: int, items: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of ``right / items`` for independent items. Source: Clopper and Pearson 1934."""
    return _proportion_ci(right, items, level, "exact")


def _proportion_ci(right: int, items: int, level: float, form: str) -> tuple[float, float]:
    if not 0 <= right <= items or items == 0:
        raise ValueError(f"needs at least one item and right between 0 and items, got {right} of {items}")
    lo, hi = stats.binomtest(right, items).proportion_ci(level, form)
    return float(lo), float(hi)


def acc_ci(correct_N: Array, cluster_N: Array, plan: Plan | None = None) -> Estimate:
    """Return accuracy with an interval that fits how items hang together.

    Wilson where every cluster has one item; else the bootstrap over clusters (``interval``). Where the bootstrap has
    nothing to resample (all right, all wrong, one cluster), the exact interval for the same share of as many items as
    there are clusters: wide, and never empty.

    Args:
        correct_N: 1 for right and 0 for wrong, ``[N]``.
        cluster_N: the cluster of each item, any labels, ``[N]``.
        plan: level, resamples and seed of the resampling.

    Raises:
        ValueError: no items, unequal lengths, or something other than 0 and 1.
    """
    plan = plan or Plan()
    if correct_N.size == 0 or correct_N.shape != cluster_N.shape:
        raise ValueError(
            f"needs one cluster per item, got {correct_N.size} items and {cluster_N.size} clusters' labels"
        )
    if not np.isin(correct_N, (0, 1)).all():
        raise ValueError(f"correct must hold 0 and 1 only, got {correct_N[~np.isin(correct_N, (0, 1))][0]}")
    _, index_N = np.unique(cluster_N, return_inverse=True)
    return share_ci(np.bincount(index_N, correct_N).astype(np.float64), np.bincount(index_N).astype(np.float64), plan)


def share_ci(right_C: Array, n_C: Array, plan: Plan | None = None) -> Estimate:
    """Return what ``acc_ci`` does, from the right items and all items of each cluster, ``[C]``."""
    plan = plan or Plan()
    share = float(right_C.sum() / n_C.sum())
    if n_C.max() == 1:
        lo, hi = wilson(int(right_C.sum()), int(n_C.sum()), plan.level)
        return Estimate(share, lo, hi, plan.level, "wilson", n_C.size)
    found = interval(lambda w: np.asarray((w @ right_C) / (w @ n_C)), n_C.size, plan)
    if found.lo is not None:
        return found
    lo, hi = clopper_pearson(round(share * n_C.size), n_C.size, plan.level)
    reason = f"{found.reason}; every cluster counts as one item"
    return Estimate(share, lo, hi, plan.level, "clopper-pearson", n_C.size, reason=reason)
