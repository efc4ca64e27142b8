"""Explanations of single predictions: how faithful each is, and whether one method's are better than another's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.board.pool import Entry
from harness.metrics.contract import Metric, all_metrics
from harness.reporting.contract import Source
from harness.reporting.decoding.baselines import asked
from harness.reporting.decoding.findings import Explained, Versus
from harness.reporting.decoding.judging import beats, margins
from harness.reporting.decoding.tables import of_track, row, where
from harness.reporting.rows import in_order, notes, number

ALPHA = 0.05
# How far a ranking is on the way from random ones to exact ablation, and how much of the largest effects is named.
JUDGED = ("faithfulness", "named_effect")


def explained(sources: Sequence[Source]) -> tuple[Explained, ...]:
    """Return every table of explanations."""
    return tuple(_explained(source) for source in of_track(sources, "explanation"))


def _explained(source: Source) -> Explained:
    names = asked(source)
    judged = _judged(names)
    pairs = [(*pair, name) for name in judged for pair in _pairs(source, name)]
    # Of two contestants each is held against the other, which is one comparison.
    comparisons = len({(frozenset((entry.key, other.key)), name) for entry, other, name in pairs})
    level = 1 - ALPHA / max(comparisons, 1)
    return Explained(
        where=where(source),
        judged=judged,
        metrics=names,
        rows=tuple(row(entry, names) for entry in in_order(source)),
        versus=tuple(_versus(entry, other, all_metrics()[name], level) for entry, other, name in pairs),
        comparisons=comparisons,
        level=level,
        notes=notes(source, in_order(source)),
    )


def _judged(names: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics that decide who is better; the task's first with a better side where it asks for neither."""
    sided = [name for name in names if all_metrics()[name].direction != "target"]
    return tuple(name for name in JUDGED if name in sided) or tuple(sided[:1])


def _pairs(source: Source, name: str) -> Iterator[tuple[Entry, Entry]]:
    """Yield every contestant with every other row that has the metric: no ceiling, nothing derived from others."""
    having = [one for one in in_order(source) if one.role != "ceiling" and number(one, name).value is not None]
    for entry in (one for one in having if one.role is None):
        for other in having:
            mine = other.role != "derived" or other.head.method.of == entry.head.method.name
            if other is not entry and mine:
                yield entry, other


def _versus(entry: Entry, other: Entry, metric: Metric, level: float) -> Versus:
    plain, adjusted = margins(metric, list(entry.measured.values()), list(other.measured.values()), level)
    return Versus(entry.label, other.label, other.role, metric.name, plain, adjusted, beats(adjusted))
