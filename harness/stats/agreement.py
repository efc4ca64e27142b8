"""How far two orders of the same items agree, and how far runs of one item do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from harness.metrics.contract import Array
from harness.stats.estimate import Estimate, Plan, bare
from harness.stats.resample import interval


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


def krippendorff(ratings: Sequence[Array], plan: Plan | None = None) -> Estimate:
    """Return Krippendorff's alpha for interval data, with a bootstrap interval over items.

    ``1 - observed / expected`` squared difference of two ratings: of the same item, and of any two. 1 where raters
    agree in everything, 0 where they agree as ratings drawn from one urn do; raters may differ from item to item, and
    items with one rating take no part. Source: Krippendorff, Content Analysis (2004), chapter 11.

    Args:
        ratings: the ratings of each item, as many as there are.
        plan: level, resamples and seed.
    """
    plan = plan or Plan()
    shared = [values for values in ratings if values.size >= 2]
    if len(shared) < 2:
        return bare(None, plan, len(shared), f"{len(shared)} items with two ratings or more; agreement needs 2")
    m_C = np.array([values.size for values in shared], dtype=np.float64)
    sums_C, squares_C = (np.array([(v**power).sum() for v in shared]) for power in (1, 2))
    # Over ordered pairs of one item: sum of (v_i - v_j)^2 / (m - 1).
    within_C = 2 * (m_C * squares_C - sums_C**2) / (m_C - 1)

    def alpha(weights: Array) -> Array:
        n, total, square = weights @ m_C, weights @ sums_C, weights @ squares_C
        expected = 2 * (n * square - total**2) / (n - 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(expected > 1e-9, 1 - (weights @ within_C) / expected, np.nan)

    if math.isnan(float(alpha(np.ones(m_C.size)))):
        return bare(None, plan, m_C.size, "every rating is the same; there is nothing to agree about")
    found = interval(alpha, m_C.size, plan)
    return found if found.hi is None else replace(found, hi=min(found.hi, 1.0))
