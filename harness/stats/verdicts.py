"""From the parts of each seed to the verdicts that can be reached on them."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.contract import Metric, Parts, all_metrics
from harness.metrics.verdicts import Bounds, Rule, Verdict, rules
from harness.stats.estimate import Estimate, Plan
from harness.stats.summary import summarise


def verdicts(parts_by_seed: Sequence[Parts], plan: Plan | None = None, *, control: bool = False) -> tuple[Verdict, ...]:
    """Return the verdicts whose metrics have a value on every seed; none where a track's parts are of other metrics.

    Args:
        parts_by_seed: of one row.
        plan: how intervals are made.
        control: whether the row is a control, which not every rule judges.
    """
    if not parts_by_seed:
        return ()
    known = all_metrics()
    asked = [rule for rule in rules() if rule.controls or not control]
    found = (_verdict(rule, [known[name] for name in rule.needs], parts_by_seed, plan) for rule in asked)
    return tuple(verdict for verdict in found if verdict is not None)


def _verdict(
    rule: Rule, metrics: Sequence[Metric], parts_by_seed: Sequence[Parts], plan: Plan | None
) -> Verdict | None:
    wanted = {need for metric in metrics for need in metric.needs}
    if not all(wanted <= set(parts) for parts in parts_by_seed):
        return None
    numbers: dict[str, Bounds] = {}
    for metric in metrics:
        estimate = summarise(metric, parts_by_seed, plan)
        if estimate.value is None:
            return Verdict(rule.name, "INCONCLUSIVE", f"{metric.name} has no value: {estimate.reason}")
        numbers[metric.name] = _bounds(estimate, estimate.value)
    return Verdict(rule.name, *rule.conclude(numbers))


def _bounds(estimate: Estimate, value: float) -> Bounds:
    if estimate.how == "constant":
        return Bounds(value, value, value, estimate.seeds)
    return Bounds(value, estimate.lo, estimate.hi, estimate.seeds)
