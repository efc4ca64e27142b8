"""What the sections of the report have in common: a table in words, and the numbers of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from harness.board.pool import Entry
from harness.metrics.contract import SUBVOCAB, Array, Metric, NotComputableError, Parts, all_metrics, ratio
from harness.reporting.contract import Measure, Source, measure
from harness.reporting.decoding.findings import Row, Where
from harness.stats.estimate import Plan
from harness.stats.proportions import clopper_pearson
from harness.stats.summary import count_clusters, estimate, summarise

_SPEED = "tokens per second"


def of_track(sources: Iterable[Source], track: str) -> tuple[Source, ...]:
    """Return the tables of one track."""
    return tuple(source for source in sources if source.track == track)


def where(source: Source) -> Where:
    """Return a table in words."""
    head = source.head.head
    layer = "no block" if head.model is None else _blocks(head.model.layer)
    return Where(source.task, head.task.title, source.table, layer, head.model.label if head.model else "no model")


def _blocks(layer: int | tuple[int, ...]) -> str:
    return f"block {layer}" if isinstance(layer, int) else f"blocks {', '.join(map(str, layer))}"


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


def metric_of(entry: Entry, name: str) -> Metric | None:
    """Return a metric, or its namesake over a task's vocabulary where the row has the parts of that; None for neither.

    A metric that this installation does not know is none.
    """
    parts, known = next(iter(entry.measured.values())), all_metrics()
    for found in (known.get(name), known.get(name + SUBVOCAB)):
        if found is not None and set(found.needs) <= set(parts):
            return found
    return None


def number(entry: Entry, name: str) -> Measure:
    """Return a metric of a row with its interval over clusters and seeds."""
    metric = metric_of(entry, name)
    if metric is None:
        return Measure(None, reason=f"the record has no parts for {name}")
    return measure(summarise(metric, list(entry.measured.values())))


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


def mean_of(held: Sequence[Parts], above: str, below: str) -> Measure:
    """Return the ratio of two sums over clusters, by seed in ``held``, with the interval of metrics over clusters."""
    missing = [name for name in (above, below) for parts in held if name not in parts]
    if missing:
        return Measure(None, reason=f"parts not measured: {missing[0]}")

    def of_seeds(w: Array) -> Array:
        return np.stack([ratio(w @ parts[above], w @ parts[below]) for parts in held])

    try:
        return measure(estimate(of_seeds, len(held), count_clusters(held), "clusters", Plan()))
    except NotComputableError as error:
        return Measure(None, reason=str(error))


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


def in_order(source: Source) -> Iterator[Entry]:
    """Yield the contestants, and then every control."""
    yield from source.contestants
    yield from (entry for entry in source.entries if entry.role is not None)


def records(entry: Entry) -> tuple[str, ...]:
    """Return the files a row was computed from, under the run folder."""
    return tuple(entry.cells[seed].path for seed in entry.measured)


def notes(source: Source, entries: Iterable[Entry]) -> tuple[str, ...]:
    """Return what a reader should know of a table, and what its rows' records warn of."""
    warned = (f"{entry.label}: {text}" for entry in entries for text in entry.warnings)
    return tuple(dict.fromkeys((*source.notes, *warned)))
