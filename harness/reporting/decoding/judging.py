"""How a number is held against a level, and one row against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.metrics.contract import Metric, Parts
from harness.reporting.contract import Measure, measure
from harness.reporting.decoding.findings import Beats, Outcome
from harness.stats.bars import Level
from harness.stats.crossed import crossed_se, difference_se, t_interval
from harness.stats.estimate import Plan
from harness.stats.paired import difference
from harness.stats.summary import metric_pseudo_values

_OUTCOMES: dict[bool | None, Outcome] = {True: "met", False: "missed", None: "undecided"}


def outcome(level: Level, found: Measure) -> Outcome:
    """Say whether a level is met by the whole interval; a value that nothing varies counts for itself."""
    if found.value is None:
        return "not measured"
    return _OUTCOMES[replace(level, whole=True).met(found.value, *found.ends)]


def beats(margin: Measure) -> Beats:
    """Say whether a margin, positive where the row is better, lies above 0 with its whole interval, or below."""
    if margin.value is None:
        return "not measured"
    lo, hi = margin.ends
    if lo is None or hi is None:
        return "undecided"
    return "yes" if lo > 0 else "no" if hi < 0 else "undecided"


def margins(metric: Metric, ours: Sequence[Parts], theirs: Sequence[Parts], level: float) -> tuple[Measure, Measure]:
    """Return how much better one side is: with the interval of a comparison, and with one at another level.

    The same clusters, unrelated seeds, positive where the first side is better. The second interval is Student's t on
    what each cluster contributes: of 2 000 resamples one in a thousand is two, which is no quantile.
    """
    found = difference(metric, ours, theirs, paired_seeds=False)
    plain = _facing(metric, measure(found))
    if found.value is None or found.lo is None:
        return plain, plain
    sides = metric_pseudo_values(metric, ours), metric_pseudo_values(metric, theirs)
    joint = t_interval(found.value, *difference_se(*sides), sides[0], Plan(level=level))
    return plain, _facing(metric, measure(joint))


def _facing(metric: Metric, found: Measure) -> Measure:
    """Turn a difference round where less is better."""
    return found if metric.sign > 0 else opposite(found)


def opposite(found: Measure) -> Measure:
    """Return a number with its sign changed; 0 stays 0, without a sign."""
    ends = None if found.lo is None or found.hi is None else (0.0 - found.hi, 0.0 - found.lo)
    value = None if found.value is None else 0.0 - found.value
    return replace(found, value=value, lo=ends and ends[0], hi=ends and ends[1])


def spread(metric: Metric, sides: Sequence[Parts]) -> tuple[float, float]:
    """Return the standard error of a metric over clusters and seeds, and its degrees of freedom.

    Raises ``NotComputableError`` and ``ValueError`` as ``metric_pseudo_values`` does.
    """
    return crossed_se(metric_pseudo_values(metric, sides))
