"""Explanations of single predictions: how faithful each is, and whether one method's are better than another's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.board.pool import Entry
from harness.metrics.contract import Metric, all_metrics
from harness.reporting.contract import Source
from harness.reporting.decoding.baselines import asked
from harness.reporting.decoding.findings import Explained, Versus
from harness.reporting.decoding.judging import beats, margins
from harness.reporting.decoding.tables import in_order, notes, of_track, row, where

ALPHA = 0.05


def explained(sources: Sequence[Source]) -> tuple[Explained, ...]:
    """Return every table of explanations."""
    return tuple(_explained(source) for source in of_track(sources, "explanation"))


def _explained(source: Source) -> Explained:
    names, pairs = asked(source), list(_pairs(source))
    # The metric that a task names first is the one its methods are ranked by.
    ranked = next((name for name in names if all_metrics()[name].direction != "target"), None)
    level = 1 - ALPHA / max(len(pairs), 1)
    return Explained(
        where=where(source),
        ranked=ranked,
        metrics=names,
        rows=tuple(row(entry, names) for entry in in_order(source)),
        versus=() if ranked is None else tuple(_versus(*pair, all_metrics()[ranked], level) for pair in pairs),
        comparisons=len(pairs),
        level=level,
        notes=notes(source, in_order(source)),
    )


def _pairs(source: Source) -> Iterator[tuple[Entry, Entry]]:
    """Yield every contestant with every other row, but for what is derived from somebody else."""
    for entry in source.contestants:
        for other in in_order(source):
            mine = other.role != "derived" or other.head.method.of == entry.head.method.name
            if other is not entry and mine:
                yield entry, other


def _versus(entry: Entry, other: Entry, metric: Metric, level: float) -> Versus:
    plain, adjusted = margins(metric, list(entry.measured.values()), list(other.measured.values()), level)
    return Versus(entry.label, other.label, other.role, plain, adjusted, beats(adjusted))
