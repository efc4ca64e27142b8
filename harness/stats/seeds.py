"""Intervals over seeds, for metrics that are not sums over clusters."""

from __future__ import annotations

import numpy as np

from harness.metrics.contract import Array
from harness.stats.estimate import Estimate, Plan, bare
from harness.stats.resample import same
from harness.stats.student import t_quantile


def seeds_t(values_S: Array, clusters: int, plan: Plan) -> Estimate:
    """Return the mean over seeds with its t interval (``S - 1`` degrees of freedom); one seed has no interval.

    Args:
        values_S: the point value of each seed, or of each pair of seeds.
        clusters: number of clusters behind every value, carried along.
        plan: its level is used.
    """
    seeds = int(values_S.size)
    value = float(values_S.mean())
    if seeds < 2:
        return bare(value, plan, clusters, "an interval over seeds needs at least 2 seeds")
    if same(values_S):
        return bare(value, plan, clusters, "every seed gives the same value", seeds, how="constant")
    sd = float(values_S.std(ddof=1))
    half = float(t_quantile(plan.tails[0], seeds - 1)) * sd / np.sqrt(seeds)
    return Estimate(value, value - half, value + half, plan.level, "seeds-t", clusters, seeds, sd)


def welch(a_S: Array, b_S: Array) -> tuple[float, float, float]:
    """Return ``mean(a) - mean(b)``, its standard error and degrees of freedom; both sides need 2 seeds, one must vary.

    Source: Welch 1947. (scipy.stats.ttest_ind warns where one side is constant, as a method without randomness is.)
    """
    of_a, of_b = a_S.var(ddof=1) / a_S.size, b_S.var(ddof=1) / b_S.size
    df = (of_a + of_b) ** 2 / (of_a**2 / (a_S.size - 1) + of_b**2 / (b_S.size - 1))
    return float(a_S.mean() - b_S.mean()), float(np.sqrt(of_a + of_b)), float(df)


def seeds_welch(a_S: Array, b_S: Array, clusters: int, plan: Plan) -> Estimate:
    """Return ``mean(a) - mean(b)`` with Welch's interval, for two sets of unrelated seeds of different size.

    A side with one seed is taken as fixed (a method without randomness).
    """
    if b_S.size < 2:
        return seeds_t(a_S - b_S.mean(), clusters, plan)
    if a_S.size < 2:
        return seeds_t(a_S.mean() - b_S, clusters, plan)
    if same(a_S) and same(b_S):
        value = float(a_S.mean() - b_S.mean())
        return bare(value, plan, clusters, "every seed gives the same value", int(a_S.size), how="constant")
    value, se, df = welch(a_S, b_S)
    half = float(t_quantile(plan.tails[0], df)) * se
    return Estimate(value, value - half, value + half, plan.level, "seeds-t", clusters, int(a_S.size))
