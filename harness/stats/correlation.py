"""Rank correlation of two numbers of the same items, with an interval over the items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.metrics.contract import Array
from harness.stats.estimate import Estimate, Plan, bare
from harness.stats.resample import interval

# Below three items every order is a straight line.
LEAST = 3


def spearman(x_C: Array, y_C: Array, plan: Plan | None = None) -> Estimate:
    """Return Spearman's rank correlation with a bootstrap interval over items, ties counted at their middle rank.

    An item that a resample holds twice has two places in the ranking, so every resample is ranked anew.
    Null value 0. Source: Spearman 1904; the interval is ``harness.stats.resample.interval``, cut at -1 and 1.

    Args:
        x_C: one number of each item, ``[C]``.
        y_C: another, ``[C]``.
        plan: level, resamples and seed.

    Raises:
        ValueError: unequal lengths, or a number that is not finite.
    """
    plan = plan or Plan()
    if x_C.shape != y_C.shape or not (np.isfinite(x_C).all() and np.isfinite(y_C).all()):
        raise ValueError(f"spearman needs as many finite numbers on both sides, got {x_C.shape} and {y_C.shape}")
    if x_C.size < LEAST:
        return bare(None, plan, x_C.size, f"{x_C.size} items; a rank correlation needs {LEAST}")
    if np.ptp(x_C) == 0 or np.ptp(y_C) == 0:
        return bare(None, plan, x_C.size, "one side gives every item the same number")
    found = interval(lambda w: _weighted(w, x_C, y_C), x_C.size, plan)
    ends = [None if end is None else min(max(end, -1.0), 1.0) for end in (found.lo, found.hi)]
    return replace(found, lo=ends[0], hi=ends[1])


def _weighted(weights: Array, x_C: Array, y_C: Array) -> Array:
    """Return the correlation of the ranks under weights ``[..., C]``; NaN where one side has a single value."""
    ranks = [weights @ _below(values) for values in (x_C, y_C)]
    total = weights.sum(-1)
    a, b = (rank - ((weights * rank).sum(-1) / total)[..., None] for rank in ranks)
    products = [(weights * left * right).sum(-1) for left, right in ((a, b), (a, a), (b, b))]
    size = products[1] * products[2]
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.where(size > 1e-9, products[0] / np.sqrt(size), np.nan)
    return found


def _below(values_C: Array) -> Array:
    """Return how much item c adds to the rank of item d: 1 where it is smaller, half where it is equal, ``[c, d]``."""
    added_CC: Array = np.heaviside(values_C[None, :] - values_C[:, None], 0.5)
    return added_CC
