"""Two methods on the same clusters or items: intervals of the difference, and tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

from harness.metrics.contract import Array, Metric, Parts
from harness.stats.crossed import difference_se, pseudo_values, t_interval
from harness.stats.estimate import Estimate, Plan, SeedStatistic, bare
from harness.stats.seeds import seeds_welch
from harness.stats.summary import by_seed, count_clusters, estimate, obstacle

FLIPS = 9999


def difference(
    metric: Metric,
    a: Sequence[Parts],
    b: Sequence[Parts],
    plan: Plan | None = None,
    *,
    paired_seeds: bool = True,
) -> Estimate:
    """Return ``a - b`` in the metric's unit, with an interval paired over the clusters.

    Ratios are computed again in every resample. Equal numbers of seeds are paired in order where ``paired_seeds`` says
    so; else, and where the numbers are unequal, seeds are unrelated, and a single seed beside several is fixed.
    Pairing helps where a seed makes both sides alike (a control built from a method), and leaves half the degrees of
    freedom: with 3 seeds a side too few for the levels of a family (1 in 9 tables of 8 equal metrics then claims one).

    Args:
        metric: what to compare.
        a: parts of one method, by seed.
        b: parts of the other, by seed, on the same clusters.
        plan: level, resamples and seed of the resampling.
        paired_seeds: whether the seeds of both sides belong together in pairs.

    Raises:
        ValueError: unequal numbers of clusters, or no parts; the message says both numbers.
    """
    plan = plan or Plan()
    count = count_clusters(a, b)
    for side in (a, b):
        reason = obstacle(metric, side)
        if reason is not None:
            return bare(None, plan, count, reason, len(a))
    of_a, of_b = by_seed(metric, a), by_seed(metric, b)
    if len(a) == len(b) and (paired_seeds or len(a) == 1):
        return estimate(lambda w: of_a(w) - of_b(w), len(a), count, metric.interval, plan)
    return _unpaired_seeds(of_a, of_b, count, metric.interval, plan)


def _unpaired_seeds(of_a: SeedStatistic, of_b: SeedStatistic, clusters: int, over: str, plan: Plan) -> Estimate:
    """Return the interval of a difference between unrelated seeds, of which one side has several."""
    a_S, b_S = of_a(np.ones(clusters)), of_b(np.ones(clusters))
    if over == "seeds":
        return seeds_welch(a_S, b_S, clusters, plan)
    value = float(a_S.mean() - b_S.mean())
    if over == "none" or clusters < 2:
        reason = "the metric has no interval" if over == "none" else "one cluster has no spread"
        return bare(value, plan, clusters, reason, int(a_S.size))
    a_SC, b_SC = pseudo_values(of_a, clusters), pseudo_values(of_b, clusters)
    return t_interval(value, *difference_se(a_SC, b_SC), a_SC, plan)


def sign_flip(differences: Array, flips: int = FLIPS, seed: int = 0) -> float:
    """Return the two-sided p-value of a mean difference of 0, flipping the sign of each cluster's difference.

    Exact over all ``2^n`` sign patterns where ``flips`` are as many (up to 13 clusters by default); otherwise
    ``(1 + #{|T*| >= |T|}) / (1 + flips)``. Source: Fisher 1935; scipy.stats.permutation_test.

    Args:
        differences: one number per cluster, ``[n]``.
        flips: how many sign patterns to try.
        seed: seed of random patterns.

    Raises:
        ValueError: fewer than 2 differences, or one that is not finite.
    """
    n = differences.size
    if n < 2 or not np.isfinite(differences).all():
        finite = int(np.isfinite(differences).sum())
        raise ValueError(f"sign_flip needs at least 2 differences, all finite; got {n}, of which {finite} are finite")
    found = stats.permutation_test(
        (differences,),
        lambda x, axis: np.abs(np.mean(x, axis=axis)),
        permutation_type="samples",
        vectorized=True,
        n_resamples=flips,
        batch=1000,
        alternative="greater",
        random_state=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p-value that two methods are right equally often on the same items.

    Args:
        only_a: items that only the first gets right.
        only_b: items that only the second gets right.

    ``min(1, 2 P(Bin(only_a + only_b, 1/2) <= min(only_a, only_b)))``. Source: McNemar 1947, exact form.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"counts of items must not be negative, got {only_a} and {only_b}")
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue)


Verdict = Literal["pass", "fail", "inconclusive"]


def non_inferior(metric: Metric, change: Estimate, tolerance: float) -> Verdict:
    """Say whether a method is no worse than a reference by ``tolerance``, one-sided.

    Args:
        metric: gives the direction and the unit.
        change: ``difference(metric, method, reference, Plan(level=0.9))``: its ends are one-sided 95 % bounds.
        tolerance: how much worse is still acceptable, in the metric's unit, not negative.

    Returns:
        ``pass`` where the bound on the worse side lies within the tolerance, ``fail`` where the whole interval lies
        beyond it, else ``inconclusive``, also where there is no interval. A difference that is the same in every
        cluster has no spread and is judged by its value.

    Raises:
        ValueError: a negative tolerance, or a metric with direction ``target``.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance must not be negative, got {tolerance}")
    ends = (change.value, change.value) if change.how == "constant" else (change.lo, change.hi)
    if ends[0] is None or ends[1] is None:
        return "inconclusive"
    worst, best = sorted((metric.sign * ends[0], metric.sign * ends[1]))
    if worst > -tolerance:
        return "pass"
    return "fail" if best < -tolerance else "inconclusive"


def items_needed(discordance: float, tolerance: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return how many paired items show non-inferiority of accuracy when the true loss is 0.

    ``(z_{1-alpha} + z_power)^2 discordance / tolerance^2``, rounded up.

    Args:
        discordance: share of items on which exactly one of the two is right.
        tolerance: acceptable loss of accuracy, a share.
        power: probability of showing it.
        alpha: one-sided error.
    """
    z = float(stats.norm.isf(alpha) + stats.norm.ppf(power))
    return math.ceil(z**2 * discordance / tolerance**2)
