"""Intervals over the clusters of one fitted method: percentile and studentised bootstrap, and the jackknife."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from harness.metrics.contract import Array, NotComputableError
from harness.stats.estimate import Estimate, Plan, Statistic, bare
from harness.stats.student import t_quantile

# Below FEW the percentile interval of a skewed statistic covers too little; below TINY the bootstrap's t explodes.
FEW = 40
TINY = 5
# Share of resamples that may lack a value before there is no interval.
LOST = 0.05
# Relative size of what is rounding and not variation.
ROUNDING = 1e-12


@lru_cache(maxsize=4)
def cluster_weights(clusters: int, resamples: int, seed: int) -> Array:
    """Return how often each cluster counts in each resample, ``[resamples, clusters]``; rows sum to ``clusters``.

    Draws come from the raw 64-bit stream of PCG64, whose values numpy promises not to change, so that a record can be
    recomputed years later. The same arguments give the same (read-only) array: methods are paired by it.
    """
    if clusters < 1:
        raise ValueError(f"clusters must be at least 1, got {clusters}")
    raw = np.random.PCG64(seed).random_raw(resamples * clusters).reshape(resamples, clusters)
    # The upper 53 bits are a uniform number in [0, 1), exactly as Generator.random makes it.
    drawn_RC = ((raw >> np.uint64(11)) * 2.0**-53 * clusters).astype(np.int64)
    flat = drawn_RC + np.arange(resamples)[:, None] * clusters
    weights = np.bincount(flat.ravel(), minlength=resamples * clusters).reshape(resamples, clusters).astype(np.float64)
    weights.setflags(write=False)
    return weights


@lru_cache(maxsize=4)
def leave_one_out(clusters: int) -> Array:
    """Return the weights ``[clusters, clusters]`` whose row c leaves cluster c out; the same read-only array again."""
    weights = np.ones((clusters, clusters)) - np.eye(clusters)
    weights.setflags(write=False)
    return weights


def same(values: Array) -> bool:
    """Say whether values differ by no more than rounding."""
    return bool(np.ptp(values) <= ROUNDING * np.max(np.abs(values)))


def jackknife_se(values_C: Array) -> float:
    """Return the jackknife standard error from the delete-one values (Efron and Tibshirani 1993, eq. 11.5)."""
    clusters = values_C.shape[-1]
    return float(np.sqrt((clusters - 1) * np.var(values_C, axis=-1)))


def interval(statistic: Statistic, clusters: int, plan: Plan | None = None) -> Estimate:
    """Return the statistic with an interval over clusters, which are the unit of every interval.

    Percentile bootstrap from 40 clusters on; studentised bootstrap for 5 to 39 (at 15 skewed clusters it covers about
    .91 where the percentile interval covers .81); t on the jackknife's standard error for 2 to 4, and where clusters
    repeat so much that the studentised bootstrap has no finite quantiles (``reason`` says so).

    Args:
        statistic: weights ``[..., C]`` to values ``[...]``; NaN where a resample has no value.
        clusters: ``C``.
        plan: level, resamples and seed.

    Source: Efron and Tibshirani 1993, chapters 11 to 13; Davison and Hinkley 1997, section 5.2.
    """
    plan = plan or Plan()
    try:
        value = float(statistic(np.ones(clusters)))
    except NotComputableError as error:
        return bare(None, plan, clusters, str(error))
    if not np.isfinite(value):
        return bare(None, plan, clusters, "not finite on these data")
    if clusters < 2:
        return bare(value, plan, clusters, "one cluster has no spread")
    if clusters >= FEW:
        return _percentile(statistic, clusters, value, plan)
    return _few(statistic, clusters, value, plan)


def _percentile(statistic: Statistic, clusters: int, value: float, plan: Plan) -> Estimate:
    values_R = statistic(cluster_weights(clusters, plan.resamples, plan.seed))
    kept = values_R[~np.isnan(values_R)]
    if kept.size < (1 - LOST) * plan.resamples:
        return bare(value, plan, clusters, _lost(kept, plan))
    if same(kept):
        return bare(value, plan, clusters, "every resample gives the same value", how="constant")
    lo, hi = np.quantile(kept, plan.tails)
    return Estimate(value, float(lo), float(hi), plan.level, "percentile", clusters)


def _lost(kept: Array, plan: Plan) -> str:
    return f"not computable in {plan.resamples - kept.size} of {plan.resamples} resamples"


def _few(statistic: Statistic, clusters: int, value: float, plan: Plan) -> Estimate:
    """Return the interval for fewer than ``FEW`` clusters."""
    left_out_C = statistic(leave_one_out(clusters))
    if not np.isfinite(left_out_C).all():
        return bare(value, plan, clusters, f"not computable without cluster {int(np.argmin(np.isfinite(left_out_C)))}")
    if same(left_out_C):
        return bare(value, plan, clusters, "leaving any cluster out gives the same value", how="constant")
    se = jackknife_se(left_out_C)
    reason = f"{clusters} clusters are too few for a bootstrap"
    if clusters >= TINY:
        t_R = _studentised(statistic, value, se, clusters, plan)
        kept = t_R[~np.isnan(t_R)]
        if kept.size < (1 - LOST) * plan.resamples:
            return bare(value, plan, clusters, _lost(kept, plan))
        low, high = np.quantile(kept, plan.tails, method="inverted_cdf")  # the values may be infinite
        if np.isfinite(low) and np.isfinite(high):
            return Estimate(
                value, float(value - high * se), float(value - low * se), plan.level, "bootstrap-t", clusters
            )
        reason = "too many resamples without spread for a studentised bootstrap"
    half = float(t_quantile(plan.tails[0], clusters - 1)) * se
    return Estimate(value, value - half, value + half, plan.level, "jackknife-t", clusters, reason=reason)


def _studentised(statistic: Statistic, value: float, se: float, clusters: int, plan: Plan) -> Array:
    """Return ``(theta* - theta) / se*`` of every resample, ``[R]``, ``se*`` by the jackknife inside the resample.

    Infinite where the resample has no spread; NaN where it or one of its jackknife values is not computable.
    """
    w_RC = cluster_weights(clusters, plan.resamples, plan.seed)
    # A cluster drawn twice is left out once at a time; one that was not drawn cannot be left out, and weighs 0 below.
    less_RCC = w_RC[:, None, :] - np.eye(clusters) * (w_RC > 0)[:, :, None]
    left_out_RC = statistic(less_RCC)
    share_RC = w_RC / clusters
    mean_R = (share_RC * left_out_RC).sum(1, keepdims=True)
    se_R = np.sqrt((clusters - 1) * (share_RC * (left_out_RC - mean_R) ** 2).sum(1))
    shift_R = statistic(w_RC) - value
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(shift_R / np.where(se_R > 1e-9 * se, se_R, 0.0), dtype=np.float64)
