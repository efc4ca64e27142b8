"""From the records of one resolved task to its table: rows scored, ranked and ordered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from harness.board import asked
from harness.board.documents import document_map
from harness.board.facts import facts, notes, traits
from harness.board.pool import Entry, newest, pool
from harness.board.printable import printable
from harness.board.rank import ranks, unranked
from harness.board.read import Cell, read_paths
from harness.board.rows import Column, Problem, Row, Score, Table, main_column
from harness.board.score import margin_over, score
from harness.metrics.contract import Metric
from harness.specs.reading import in_words
from harness.specs.record import Record
from harness.specs.reliability import Cards, diagnostic
from harness.stats.memo import remembered
from harness.stats.verdicts import verdicts

Metrics = Mapping[str, Metric]
Scores = dict[tuple[str, str, str], dict[str, Score]]


@dataclass(frozen=True)
class Tabulated:
    """The records of one resolved task, as a table.

    Attributes:
        table: None where no record can be used.
        problems: records that cannot be used.
        records: how many can.
        newest: when the last of them was finished.
        versions: of the package that wrote them.
        traits: everything that may set the table apart from others of its task.
    """

    table: Table | None
    problems: tuple[Problem, ...]
    records: int = 0
    newest: str | None = None
    versions: tuple[str, ...] = ()
    traits: Mapping[str, str] = field(default_factory=dict)


def tabulate(folder: Path, paths: Sequence[str], metrics: Metrics, cards: Cards) -> Tabulated:
    """Read the records at ``paths``, all of one resolved task, and return their table; values come from parts."""
    known = {name: remembered(metric) for name, metric in metrics.items()}
    cells, problems = read_paths(folder, paths, known)
    if not cells:
        return Tabulated(None, tuple(problems))
    table, odd = _table(cells, known, cards)
    return Tabulated(
        table=replace(table, digest=_digest(table, cells)),
        problems=(*problems, *odd),
        records=len(cells),
        newest=max(cell.record.provenance.finished for cell in cells),
        versions=tuple(sorted({cell.record.provenance.version for cell in cells})),
        traits=traits(newest(cells)),
    )


def _digest(table: Table, cells: Sequence[Cell]) -> str:
    """Return a hash of all that is shown: the table, and what its records say besides."""
    said = [repr(table), *(cell.record.model_dump_json() for cell in cells)]
    return sha256("\n".join(said).encode("utf-8", "replace")).hexdigest()


def _table(cells: Sequence[Cell], metrics: Metrics, cards: Cards) -> tuple[Table, list[Problem]]:
    entries, problems, set_aside = pool(cells)
    head = newest(cells)
    columns = _columns(cells, head, metrics, cards)
    scores = {
        entry.key: {column.name: score(metrics[column.name], column, entry) for column in columns} for entry in entries
    }
    reasons = {entry.key: unranked(entry, asked.target_l0(head)) for entry in entries if entry.role is None}
    trusted = [metrics[column.name] for column in columns if column.diagnostic is None]
    _add_margins(entries, trusted, scores)
    _add_ranks([entry for entry in entries if reasons.get(entry.key, "") is None], trusted, scores)
    rows = [_row(entry, scores[entry.key], reasons.get(entry.key)) for entry in entries]
    records = [cell.record for entry in entries for _, cell in sorted(entry.cells.items())]
    said = (*notes(entries, head), *set_aside)
    return _assemble(head, columns, _ordered(rows, columns), facts(records, head), said), problems


def _assemble(
    head: Record,
    columns: tuple[Column, ...],
    rows: tuple[Row, ...],
    found: tuple[tuple[str, str], ...],
    said: tuple[str, ...],
) -> Table:
    return Table(
        key=f"{head.task.name}-{head.task.table[:8]}",
        task=head.task.name,
        title=head.task.title,
        version=head.task.version,
        track=head.task.track,
        hash=head.task.table,
        columns=columns,
        rows=rows,
        facts=found,
        differs=(),
        notes=said,
        l0=asked.target_l0(head),
        newest=head.provenance.finished,
    )


def _columns(cells: Sequence[Cell], head: Record, metrics: Metrics, cards: Cards) -> tuple[Column, ...]:
    """Return the columns: the newest task's metrics in its order, then those other records hold."""
    names = dict.fromkeys((*asked.metrics(head), *(name for cell in cells for name in asked.metrics(cell.record))))
    return tuple(_column(metrics[name], head, cards) for name in names if name in metrics)


def _column(metric: Metric, head: Record, cards: Cards) -> Column:
    bar = asked.bar(head, metric.name)
    return Column(
        name=metric.name,
        unit=metric.unit,
        direction=metric.direction,
        version=metric.version,
        source=metric.source,
        null=metric.null,
        # Docstrings mark names as code, which a page shows as it is.
        summary=metric.summary.replace("``", ""),
        interval=metric.interval,
        low=bar.low,
        high=bar.high,
        whole=bar.whole,
        diagnostic=printable(diagnostic(cards, metric, head.task.name, head.task.table)),
    )


def _add_margins(entries: Sequence[Entry], metrics: Sequence[Metric], scores: Scores) -> None:
    for entry in entries:
        for metric in metrics:
            if entry.role is None and entry.measured and metric.margin:
                own = scores[entry.key]
                own[metric.name] = replace(own[metric.name], margin=margin_over(metric, entry, entries))


def _add_ranks(entries: Sequence[Entry], metrics: Sequence[Metric], scores: Scores) -> None:
    for metric in metrics:
        found = ranks(metric, entries)
        shared = list(found.values())
        for key, rank in found.items():
            own = scores[key]
            own[metric.name] = replace(own[metric.name], rank=rank, tied=shared.count(rank) > 1)


def _row(entry: Entry, scores: dict[str, Score], reason: str | None) -> Row:
    method = entry.head.method
    return Row(
        key="-".join(part for part in entry.key if part),
        label=entry.label,
        name=method.name,
        title=method.title,
        identity=method.identity,
        role=entry.role,
        of=method.of,
        source=method.source,
        seeded=method.seeded,
        causal=method.causal,
        params=in_words(method.params),
        seeds=entry.seeds,
        scores=scores,
        cost=entry.cost,
        unranked=reason,
        warnings=entry.warnings,
        map=document_map(entry),
        verdicts=verdicts(list(entry.measured.values()), control=entry.role is not None),
    )


def _ordered(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[Row, ...]:
    """Order rows: ranked methods, other methods, controls; inside each by the main metric."""
    main = main_column(columns)

    def place(row: Row) -> tuple[bool, int, bool, bool, float, str]:
        value = row.scores[main.name].value if main else None
        better = (value or 0.0) * (-1 if main and main.direction == "up" else 1)
        group = asked.ROLES.index(row.role) if row.role else 0
        return row.role is not None, group, row.unranked is not None, value is None, better, row.key

    return tuple(sorted(rows, key=place))
