"""How far two orders of the same items agree, and how far runs of one item do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from harness.metrics.contract import Array
from harness.stats.estimate import Estimate, Plan


def tau(truth_P: Array, given_P: Array, items: int, plan: Plan | None = None) -> Estimate:
    """Return Kendall's tau over pairs of items whose true order is known, with an interval over items.

    ``mean_p sign(truth_p) sign(given_p)``: 1 where every pair is in its true order, 0 for a coin; a pair that is tied
    in ``given`` counts 0. The interval inverts the score test with Kendall's upper limit of the variance over samples
    of n items, ``2 (1 - tau^2) / n``: wide, and not empty at tau 1.
    Source: Kendall, Rank Correlation Methods (1970), chapter 4.

    Args:
        truth_P: the true difference of each pair, none of them 0.
        given_P: the difference of each pair in the order that is judged.
        items: how many different items the pairs are made of.
        plan: its level is used.

    Raises:
        ValueError: no pair, fewer than 2 items, or a true difference of 0.
    """
    plan = plan or Plan()
    if truth_P.size == 0 or items < 2 or not np.all(truth_P != 0):
        raise ValueError(f"tau needs pairs with a true order, got {truth_P.size} pairs of {items} items")
    value = float(np.mean(np.sign(truth_P) * np.sign(given_P)))
    k = 2 * float(stats.norm.isf(plan.tails[0])) ** 2 / items
    half = math.sqrt(k * (1 + k - value**2))
    lo, hi = (value - half) / (1 + k), (value + half) / (1 + k)
    return Estimate(value, max(lo, -1.0), min(hi, 1.0), plan.level, "kendall-score", items)


def intraclass(runs: Sequence[Array], plan: Plan | None = None) -> Estimate:
    """Return the intraclass correlation ICC(1): the share of the variance of single runs that is between items.

    ``(A - E) / (A + (k - 1) E)`` from the mean squares between items ``A`` and between the runs of one ``E``, ``k``
    runs each; the interval is exact for normal values. It may be negative. Source: Shrout and Fleiss 1979, case 1.

    Args:
        runs: the values of each item's runs, equally many, at least 2; at least 2 items.
        plan: its level is used.

    Raises:
        ValueError: fewer than 2 items, fewer than 2 runs, or unequal numbers of runs.
    """
    plan = plan or Plan()
    counts = {len(values) for values in runs}
    if len(runs) < 2 or len(counts) != 1 or min(counts) < 2:
        raise ValueError(f"intraclass needs 2 items with equally many runs, at least 2; got {[len(v) for v in runs]}")
    value_IK = np.stack(runs)
    items, k = value_IK.shape
    between = k * float(value_IK.mean(1).var(ddof=1))
    within = float(value_IK.var(axis=1, ddof=1).mean())
    if between + within == 0:
        return Estimate(None, None, None, plan.level, "none", 0, k, None, "every run gives the same value")
    ratio = between / within if within > 0 else math.inf
    tail, df = plan.tails[0], (items - 1, items * (k - 1))
    ends = [ratio / float(stats.f.isf(tail, *df)), ratio * float(stats.f.isf(tail, *reversed(df)))]
    value, lo, hi = (1.0 if math.isinf(f) else (f - 1) / (f + k - 1) for f in (ratio, *ends))
    return Estimate(value, lo, hi, plan.level, "f", 0, k, math.sqrt(within))
