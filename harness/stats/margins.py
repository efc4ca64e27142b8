"""The margin of a method over the best null: the number a board ranks by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.metrics.contract import Array, Metric, Parts
from harness.stats.estimate import Estimate, Plan, SeedStatistic, bare
from harness.stats.summary import by_seed, count_clusters, estimate, obstacle

# A control may use this many times the method's latents per token; one that uses fewer is only a stronger null.
L0_SLACK = 1.05


@dataclass(frozen=True)
class Margin:
    """How far a method is above the best control.

    Attributes:
        control: the best control at the point; ``None`` where there is none to compare with.
        estimate: the margin and its interval; positive means the method is better, whatever the metric's direction.
        eligible: the controls the best was taken from.
        left_out: why each other control was not, by name.
    """

    control: str | None
    estimate: Estimate
    eligible: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def margin(
    metric: Metric, method: Sequence[Parts], controls: Mapping[str, Sequence[Parts]], plan: Plan | None = None
) -> Margin:
    """Return the margin over the best eligible control, paired over the clusters.

    ``m - max_k c_k`` of seed means, both turned so that more is better. In each resample, and without each cluster, the
    best control is taken again. A control with as many seeds as the method is paired seed by seed (a control built from
    the method shares them); one with another number enters by its mean over seeds, as fixed.

    Args:
        metric: what to compare; direction ``up`` or ``down``.
        method: parts of the method, by seed.
        controls: parts of each control, by seed, on the same clusters. Eligible are those whose L0 is at most 1.05
            times the method's; where either does not measure L0, the control is.
        plan: level, resamples and seed of the resampling.

    Raises:
        ValueError: direction ``target``, unequal numbers of clusters (both are said), or no parts.
    """
    plan = plan or Plan()
    sign = metric.sign
    count = count_clusters(method, *controls.values())
    reason = obstacle(metric, method)
    left_out = {name: why for name, parts in controls.items() if (why := _why_not(metric, method, parts))}
    eligible = tuple(name for name in controls if name not in left_out)
    if reason is not None or not eligible:
        nothing = bare(None, plan, count, reason or "no control is eligible", len(method))
        return Margin(None, nothing, eligible, left_out)
    statistics = [by_seed(metric, controls[name]) for name in eligible]
    over = _over_best(sign, by_seed(metric, method), statistics)
    best = np.argmax([sign * of(np.ones(count)).mean() for of in statistics])
    return Margin(eligible[best], estimate(over, len(method), count, metric.interval, plan), eligible, left_out)


def _why_not(metric: Metric, method: Sequence[Parts], control: Sequence[Parts]) -> str | None:
    """Return why a control is not eligible, or ``None`` where it is."""
    ours, theirs = _mean_l0(method), _mean_l0(control)
    if ours is not None and theirs is not None and theirs > L0_SLACK * ours:
        return f"L0 {theirs:.4g} is above {L0_SLACK} times the method's {ours:.4g}"
    return obstacle(metric, control)


def _mean_l0(parts_by_seed: Sequence[Parts]) -> float | None:
    """Return the mean number of active latents per token over seeds, where it was measured."""
    if any("l0" not in parts for parts in parts_by_seed):
        return None
    return float(np.mean([parts["l0"].sum() / max(parts["n"].sum(), 1.0) for parts in parts_by_seed]))


def _over_best(sign: int, method: SeedStatistic, controls: Sequence[SeedStatistic]) -> SeedStatistic:
    """Return the function from weights to the margin of each seed, ``[S, ...]``."""

    def values(w: Array) -> Array:
        ours = sign * method(w)
        theirs = [sign * control(w) for control in controls]
        means = np.stack([control.mean(0) for control in theirs])
        paired = np.stack([c if c.shape == ours.shape else np.broadcast_to(c.mean(0), ours.shape) for c in theirs])
        # NaN means the control has no value in this resample; argmax would pick it, and the resample is then lost.
        best = np.argmax(means, axis=0)
        return np.asarray(ours - np.take_along_axis(paired, best[None, None], axis=0)[0], dtype=np.float64)

    return values
