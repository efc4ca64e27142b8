"""The rows of a table as every report reads them: their numbers, in which order, from which files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from harness.board.pool import Entry
from harness.metrics.contract import SUBVOCAB, Array, Metric, NotComputableError, Parts, all_metrics, ratio
from harness.reporting.contract import Measure, Source, measure
from harness.stats.estimate import Plan
from harness.stats.summary import count_clusters, estimate, summarise


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


def blocks(entry: Entry) -> str:
    """Name the block of the model that a row reads, or several."""
    model = entry.head.model
    if model is None:
        return "no block"
    return f"block {model.layer}" if isinstance(model.layer, int) else f"blocks {', '.join(map(str, model.layer))}"
