"""``harness power``: which differences a task can see, estimated from the methods that were measured on it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from harness.board import asked
from harness.board.pairs import tables_of
from harness.board.pool import Entry
from harness.comparison.measuring import Numbers
from harness.errors import UserError, unknown
from harness.metrics.contract import Metric, all_metrics, clusters
from harness.stats.power import POWER, Spread, clusters_needed, seeds_needed

SEEDS = (1, 2, 3, 4, 5)
TIMES = (1, 2, 4)


@dataclass(frozen=True)
class Range:
    """The least, middle and largest over pairs of methods; None where no amount of data is enough."""

    low: float | None
    middle: float | None
    high: float | None


@dataclass(frozen=True)
class Size:
    """The least difference seen with so many seeds, and so many times the clusters there are."""

    seeds: int
    times: int
    clusters: int
    detectable: Range


@dataclass(frozen=True)
class MetricPower:
    """One metric of a table.

    Attributes:
        pairs: pairs of methods whose difference varies; the others say nothing about power.
        now: the least true difference seen at the present size.
        sizes: the same at other sizes; with 1 seed it is about the fits and not the methods.
        delta: the difference asked about, in the metric's unit.
        clusters: how many clusters see ``delta`` at the present seeds; None where nothing was asked, or clusters do not
            matter to the metric.
        seeds: how many seeds see it with the present clusters; None where nothing was asked, or one seed was run.
    """

    metric: str
    unit: str
    over: str
    pairs: int
    now: Range
    sizes: tuple[Size, ...]
    delta: float | None = None
    clusters: Range | None = None
    seeds: Range | None = None


@dataclass(frozen=True)
class TaskPower:
    """One table of a task. ``left_out`` are the metrics nothing can be said about, and why."""

    task: str
    table: str
    methods: tuple[str, ...]
    seeds: int
    clusters: int
    power: float
    metrics: tuple[MetricPower, ...]
    left_out: tuple[tuple[str, str], ...]


def plan(
    folder: str | Path, task: str, metric: str | None = None, delta: float | None = None, power: float = POWER
) -> list[TaskPower]:
    """Return what every table of a task can see.

    An estimate: it holds for methods that differ in the way those measured do, which is why every figure is the least,
    middle and largest over pairs of methods. Before adjustment for several metrics or pairs.

    Args:
        folder: a run folder or a published board.
        task: name of the task.
        metric: this one alone; by default every metric that is compared.
        delta: a true difference to be seen, in the unit of each metric.
        power: probability of seeing it.

    Raises:
        UserError: no such task or metric in the folder, fewer than two measured methods, or a delta not above 0.
    """
    if delta is not None and not (delta > 0 and math.isfinite(delta)):
        raise UserError(f"--delta: must be above 0, got {delta:g}")
    tables, _ = tables_of(Path(folder))
    names = sorted({name for name, _ in tables})
    if task not in names:
        raise unknown("task", task, names, f"{folder}/results")
    found = [
        _table(key, methods, _Asked(metric, delta, power))
        for key, entries in tables.items()
        if key[0] == task and len(methods := [e for e in entries if e.role is None and e.measured]) > 1
    ]
    if not found:
        raise UserError(
            f"'{folder}' holds fewer than two measured methods on '{task}'; their differences tell the power"
        )
    return found


@dataclass(frozen=True)
class _Asked:
    metric: str | None
    delta: float | None
    power: float


def _table(key: tuple[str, str], methods: Sequence[Entry], wanted: _Asked) -> TaskPower:
    known, head = all_metrics(), methods[0].head
    names = [name for name in asked.metrics(head) if name in known and known[name].direction != "target"]
    if wanted.metric is not None and wanted.metric not in names:
        raise unknown("metric", wanted.metric, names, f"--metric, task {key[0]}")
    seeds = min(len(entry.measured) for entry in methods)
    count = clusters(next(iter(methods[0].measured.values())))
    metrics, left_out = [], []
    for name in names if wanted.metric is None else [wanted.metric]:
        spreads = [] if known[name].interval == "none" else _spreads(known[name], methods)
        if spreads:
            metrics.append(_metric(known[name], spreads, (seeds, count), wanted))
        else:
            left_out.append((name, "has no interval" if known[name].interval == "none" else "no difference varies"))
    labels = tuple(entry.label for entry in methods)
    return TaskPower(*key, labels, seeds, count, wanted.power, tuple(metrics), tuple(left_out))


def _spreads(metric: Metric, methods: Sequence[Entry]) -> list[Spread]:
    """Return how the difference of each pair of methods varies, where it does."""
    measured = [list(entry.measured.values()) for entry in methods]
    spreads = [Numbers(metric, a, b).spread for a, b in combinations(measured, 2)]
    return [spread for spread in spreads if spread is not None]


def _metric(metric: Metric, spreads: Sequence[Spread], size: tuple[int, int], wanted: _Asked) -> MetricPower:
    seeds, count = size
    across = all(spread.across_seeds for spread in spreads)
    over_seeds = metric.interval == "seeds"
    sizes = tuple(
        Size(s, times, count * times, _seen(spreads, s, count * times, wanted.power))
        for s in (SEEDS if across else SEEDS[:1])
        for times in (TIMES[:1] if over_seeds else TIMES)
        if s > 1 or not over_seeds
    )
    now = _seen(spreads, seeds, count, wanted.power)
    found = MetricPower(metric.name, metric.unit, metric.interval, len(spreads), now, sizes)
    if wanted.delta is None:
        return found
    delta, power = wanted.delta, wanted.power
    of_clusters = [clusters_needed(spread, delta, seeds, power) for spread in spreads] if not over_seeds else None
    of_seeds = [seeds_needed(spread, delta, count, power) for spread in spreads] if across else None
    return MetricPower(
        *(found.metric, found.unit, found.over, found.pairs, now, sizes, delta),
        clusters=None if of_clusters is None else _range(of_clusters),
        seeds=None if of_seeds is None else _range(of_seeds),
    )


def _seen(spreads: Sequence[Spread], seeds: int, count: int, power: float) -> Range:
    return _range([spread.test(seeds, count).detectable(power) for spread in spreads])


def _range(values: Sequence[float | None]) -> Range:
    """Return the range of values, of which None is more than any amount."""
    known = [math.inf if value is None else value for value in values]
    ends = (min(known), statistics.median_high(known), max(known))
    return Range(*(end if math.isfinite(end) else None for end in ends))
