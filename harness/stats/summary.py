"""From a metric and the parts of each seed to a value with the interval the metric asks for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from harness.metrics.contract import Array, Metric, Parts, clusters
from harness.stats.crossed import crossed_se, pseudo_values, t_interval
from harness.stats.estimate import Estimate, Plan, SeedStatistic, bare
from harness.stats.memo import Remembered
from harness.stats.proportions import share_ci
from harness.stats.resample import interval
from harness.stats.seeds import seeds_t
from harness.stats.share_change import share_change


def count_clusters(*sides: Sequence[Parts]) -> int:
    """Return the number of clusters all parts share; raises ``ValueError`` where they differ or there are none."""
    counts = [clusters(parts) for side in sides for parts in side]
    if not counts:
        raise ValueError("no parts were given; at least one seed is needed")
    if min(counts) != max(counts):
        raise ValueError(
            f"parts of {min(counts)} and of {max(counts)} clusters were given; pairing needs the same clusters"
        )
    return counts[0]


def obstacle(metric: Metric, parts_by_seed: Sequence[Parts]) -> str | None:
    """Return why the metric has no value on one of the seeds, or ``None`` where it has one on all."""
    for index, parts in enumerate(parts_by_seed):
        value, reason = metric.point(parts)
        if value is None:
            return reason if len(parts_by_seed) == 1 else f"seed number {index}: {reason}"
    return None


def by_seed(metric: Metric, parts_by_seed: Sequence[Parts]) -> SeedStatistic:
    """Return the function from weights ``[..., C]`` to the metric's values ``[S, ...]``."""
    if isinstance(metric, Remembered):
        return partial(metric.of_seeds, parts_by_seed)

    def values(w: Array) -> Array:
        return np.stack([metric.value(parts, w) for parts in parts_by_seed])

    return values


def estimate(statistic: SeedStatistic, seeds: int, clusters: int, over: str, plan: Plan) -> Estimate:
    """Return the mean over seeds with the interval for ``over``, the ``interval`` of a metric.

    ``clusters``: one seed ``interval``, several the crossed t interval. ``seeds``: ``seeds_t``. ``none``: no interval.
    Raises ``NotComputableError`` where the statistic has no value at the point.
    """
    if over == "seeds":
        return seeds_t(statistic(np.ones(clusters)), clusters, plan)
    if over == "none":
        value = float(statistic(np.ones(clusters)).mean())
        return bare(value, plan, clusters, "the metric has no interval", seeds)
    if seeds == 1:
        return interval(partial(_only_seed, statistic), clusters, plan)
    if clusters < 2:
        value = float(statistic(np.ones(clusters)).mean())
        return bare(value, plan, clusters, "one cluster has no spread", seeds)
    pseudo_SC = pseudo_values(statistic, clusters)
    return t_interval(float(statistic(np.ones(clusters)).mean()), *crossed_se(pseudo_SC), pseudo_SC, plan)


def _only_seed(statistic: SeedStatistic, w: Array) -> Array:
    return np.asarray(statistic(w)[0], dtype=np.float64)


def summarise(metric: Metric, parts_by_seed: Sequence[Parts], plan: Plan | None = None) -> Estimate:
    """Return the metric's mean over seeds with the interval it asks for.

    Args:
        metric: what to compute.
        parts_by_seed: parts of each seed, all on the same clusters.
        plan: level, resamples and seed of the resampling.

    Returns:
        An estimate, of a share of items of one seed as ``acc_ci`` makes it, of a difference of two as
        ``share_change`` does. Where one seed has no value there is none at all, since a mean over the seeds that happen
        to have one would be a selection.

    Raises:
        ValueError: no parts, or unequal numbers of clusters.
    """
    plan = plan or Plan()
    count = count_clusters(parts_by_seed)
    reason = obstacle(metric, parts_by_seed)
    if reason is not None:
        return bare(None, plan, count, reason, len(parts_by_seed))
    if metric.share is not None and len(parts_by_seed) == 1:
        return share_ci(parts_by_seed[0][metric.share], parts_by_seed[0]["n"], plan)
    if metric.change is not None:
        return share_change(parts_by_seed, metric.change, plan)
    return estimate(by_seed(metric, parts_by_seed), len(parts_by_seed), count, metric.interval, plan)


def metric_pseudo_values(metric: Metric, parts_by_seed: Sequence[Parts]) -> Array:
    """Return the metric's pseudo-values ``[S, C]``, in its own unit, as ``tie_groups`` takes them.

    Raises:
        NotComputableError: the metric has no value on one of the seeds.
        ValueError: unequal numbers of clusters, fewer than 2, or a metric whose interval is not over clusters.
    """
    if metric.interval != "clusters":
        raise ValueError(f"metric '{metric.name}' has interval '{metric.interval}'; pseudo-values need 'clusters'")
    return pseudo_values(by_seed(metric, parts_by_seed), count_clusters(parts_by_seed))
