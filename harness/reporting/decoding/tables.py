"""What the sections of the report have in common: a table in words, and the numbers of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.board.pool import Entry
from harness.metrics.contract import SUBVOCAB
from harness.reporting.contract import Measure, Source
from harness.reporting.decoding.findings import Row, Where
from harness.reporting.rows import blocks, number
from harness.stats.proportions import clopper_pearson

_SPEED = "tokens per second"


def of_track(sources: Iterable[Source], track: str) -> tuple[Source, ...]:
    """Return the tables of one track."""
    return tuple(source for source in sources if source.track == track)


def where(source: Source) -> Where:
    """Return a table in words."""
    head = source.head.head
    model = head.model.label if head.model else "no model"
    return Where(source.task, head.task.title, source.table, blocks(source.head), model)


def fitted_on(source: Source) -> str | None:
    """Return the task whose texts the methods were fitted on, where it is another one."""
    corpus = source.entries[0].head.task.spec.get("corpus")
    return str(corpus) if corpus else None


def vocabulary(entry: Entry) -> int | None:
    """Return how many next tokens a row's numbers tell apart, besides all others as one; None where it is all."""
    parts = next(iter(entry.measured.values()))
    if not any(name.endswith(SUBVOCAB) for name in parts):
        return None
    # One less than the classes that predictions are over, of which the last is all other tokens.
    told = entry.head.details.get("vocabulary")
    return int(told) - 1 if told is not None else _top(entry.head.task.spec.get("vocab"))


def _top(asked: object) -> int:
    top = asked.get("top") if isinstance(asked, dict) else None
    return top if isinstance(top, int) else 0


def shift(entry: Entry, name: str) -> Measure:
    """Return a difference of two shares of a row, with an interval also where it is the same in every cluster.

    That no answer of twelve changes does not show that none would. At most the upper end of the exact interval for 0 of
    so many clusters may be otherwise (Clopper and Pearson 1934), and each by no more than all of its answers.
    """
    found = number(entry, name)
    if not found.constant or found.value is None:
        return found
    clusters = len(next(iter(entry.measured.values()))["n"])
    half = clopper_pearson(0, clusters)[1] * (1 + abs(found.value))
    return Measure(found.value, found.value - half, found.value + half, f"the same in each of {clusters} clusters")


def row(entry: Entry, names: Sequence[str]) -> Row:
    """Return a row with some metrics and what it cost."""
    speeds = [cell.record.details.get(_SPEED) for cell in entry.cells.values() if cell.ok]
    found = [speed for speed in speeds if speed is not None]
    cost = entry.cost
    return Row(
        label=entry.label,
        role=entry.role,
        seeds=len(entry.measured),
        metrics={name: number(entry, name) for name in names},
        speed=sum(found) / len(found) if found else None,
        peak_mb=cost.peak_mb,
        parameters=cost.parameters,
    )
