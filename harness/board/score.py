"""Scores of entries under one metric: the mean over seeds with its interval, the bar, and the margin over controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.board.pool import Entry
from harness.board.rows import Column, Margin, Score
from harness.metrics.contract import Metric, Parts
from harness.stats.margins import margin
from harness.stats.paired import difference
from harness.stats.summary import summarise


def score(metric: Metric, column: Column, entry: Entry) -> Score:
    """Return the entry's score, without margin and rank."""
    measured = entry.measured
    if not measured:
        reason = next((seed.reason for seed in entry.seeds if seed.status == "failed"), None)
        return Score(None, None, None, "none", f"failed: {reason or 'no reason recorded'}", 0, None, {})
    found = summarise(metric, list(measured.values()))
    return Score(
        value=found.value,
        lo=found.lo,
        hi=found.hi,
        how=found.how,
        reason=found.reason,
        clusters=found.clusters,
        seed_sd=found.seed_sd,
        by_seed={seed: metric.point(parts)[0] for seed, parts in measured.items()},
        bar=column.level.met(found.value, found.lo, found.hi),
    )


def margin_over(metric: Metric, entry: Entry, controls: Sequence[Entry]) -> Margin:
    """Return the entry's margin over the best of the floor controls and of those built from it."""
    measured = entry.measured
    nulls = {control.label: _paired(control, measured) for control in nulls_of(entry, controls, metric)}
    usable = {label: parts for label, parts in nulls.items() if parts}
    failed = {label: "it has no measured cell" for label, parts in nulls.items() if not parts}
    found = margin(metric, list(measured.values()), usable)
    estimate = found.estimate
    reason = estimate.reason if nulls else "the table has no floor or derived control"
    left_out = {**failed, **_unread(entry, controls, metric), **found.left_out}
    each = _each(metric, list(measured.values()), {label: usable[label] for label in found.eligible})
    return Margin(found.control, estimate.value, estimate.lo, estimate.hi, reason, left_out, each)


def _each(
    metric: Metric, method: Sequence[Parts], controls: Mapping[str, Sequence[Parts]]
) -> dict[str, tuple[float, float]]:
    """Return the interval of the difference from each control, positive where the method is better, by label.

    It is the one that a comparison of the two gives; nothing where there is none.
    """
    found = {}
    for label, parts in controls.items():
        gap = difference(metric, method, parts, paired_seeds=False)
        if gap.lo is not None and gap.hi is not None:
            found[label] = (gap.lo, gap.hi) if metric.sign > 0 else (-gap.hi, -gap.lo)
    return found


def _unread(entry: Entry, controls: Sequence[Entry], metric: Metric) -> dict[str, str]:
    """Return why controls built from an entry are no nulls of it under a metric."""
    if metric.derived:
        return {}
    own = [c for c in controls if c.role == "derived" and c.head.method.of == entry.head.method.name]
    return {control.label: "no null here: it leaves what this metric reads as it is" for control in own}


def nulls_of(entry: Entry, controls: Sequence[Entry], metric: Metric) -> list[Entry]:
    """Return the controls that count for an entry under a metric: a derived one only where it was built from this."""
    name = entry.head.method.name
    return [
        control
        for control in controls
        if control.role == "floor" or (metric.derived and control.role == "derived" and control.head.method.of == name)
    ]


def _paired(control: Entry, method: Mapping[int, Parts]) -> list[Parts]:
    """Return the control's parts by seed; of a derived one only the seeds whose method is there to be paired with."""
    measured = control.measured
    if control.role != "derived":
        return list(measured.values())
    shared = [parts for seed, parts in measured.items() if seed in method]
    return shared or list(measured.values())
