"""From a folder of records to the board: tables, each with its rows scored, ranked and ordered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.board import asked
from harness.board.documents import document_map
from harness.board.facts import differences, facts, notes
from harness.board.pool import Entry, newest, pool
from harness.board.rank import ranks, unranked
from harness.board.read import Cell, read_cells
from harness.board.rows import Board, Column, Problem, Row, Score, Table
from harness.board.score import margin_over, score
from harness.metrics.contract import all_metrics, get_metric
from harness.specs.record import Record


def load_board(folder: Path) -> Board:
    """Read every record under ``FOLDER/results`` and return the board; values come from parts, never from the JSON."""
    cells, problems = read_cells(folder)
    by_table: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        by_table.setdefault((cell.record.task.name, cell.record.task.table), []).append(cell)
    built = [_table(of_table) for _, of_table in sorted(by_table.items())]
    tables = _set_apart([table for table, _ in built], [newest(of_table) for _, of_table in sorted(by_table.items())])
    problems += [problem for _, found in built for problem in found]
    return Board(
        tables=tuple(sorted(tables, key=lambda table: (table.task, _reversed(table.newest), table.key))),
        problems=tuple(sorted(problems, key=lambda problem: problem.path)),
        records=len(cells),
        newest=max((cell.record.provenance.finished for cell in cells), default=None),
        versions=tuple(sorted({cell.record.provenance.version for cell in cells})),
    )


def _reversed(text: str) -> tuple[int, ...]:
    # Of several tables of a task the newest stands first, while tasks go by name.
    return tuple(-ord(letter) for letter in text)


def _set_apart(tables: list[Table], heads: list[Record]) -> list[Table]:
    """Say of each table how it differs from the others of its task."""
    found = []
    for table in tables:
        same = [head for other, head in zip(tables, heads, strict=True) if other.task == table.task]
        own = next(head for other, head in zip(tables, heads, strict=True) if other is table)
        found.append(replace(table, differs=differences(own, same)))
    return found


def _table(cells: Sequence[Cell]) -> tuple[Table, list[Problem]]:
    entries, problems, set_aside = pool(cells)
    head = newest(cells)
    columns = _columns(cells, head)
    scores = {
        entry.key: {column.name: score(get_metric(column.name), column, entry) for column in columns}
        for entry in entries
    }
    reasons = {entry.key: unranked(entry, asked.target_l0(head)) for entry in entries if entry.role is None}
    _add_margins(entries, columns, scores)
    _add_ranks([entry for entry in entries if reasons.get(entry.key, "") is None], columns, scores)
    rows = [_row(entry, scores[entry.key], reasons.get(entry.key)) for entry in entries]
    return _assemble(head, columns, rows, (*notes(entries, head), *set_aside)), problems


def _assemble(head: Record, columns: tuple[Column, ...], rows: list[Row], said: tuple[str, ...]) -> Table:
    records = [record for row in rows for record in row.records]
    return Table(
        key=f"{head.task.name}-{head.task.table[:8]}",
        task=head.task.name,
        title=head.task.title,
        version=head.task.version,
        track=head.task.track,
        hash=head.task.table,
        columns=columns,
        rows=_ordered(rows, columns),
        facts=facts(records, head),
        differs=(),
        notes=said,
        l0=asked.target_l0(head),
        newest=head.provenance.finished,
    )


def _columns(cells: Sequence[Cell], head: Record) -> tuple[Column, ...]:
    """Return the columns: the newest task's metrics in its order, then those other records hold."""
    known = all_metrics()
    names = dict.fromkeys((*asked.metrics(head), *(name for cell in cells for name in asked.metrics(cell.record))))
    columns = []
    for name in names:
        if name in known:
            m, (low, high) = known[name], asked.bar(head, name)
            columns.append(
                Column(name, m.unit, m.direction, m.version, m.source, m.null, m.summary, m.interval, low, high)
            )
    return tuple(columns)


Scores = dict[tuple[str, str, str], dict[str, Score]]


def _add_margins(entries: Sequence[Entry], columns: Sequence[Column], scores: Scores) -> None:
    for entry in entries:
        for column in columns:
            metric = get_metric(column.name)
            if entry.role is None and entry.measured and metric.margin:
                own = scores[entry.key]
                found = margin_over(metric, entry, entries)
                own[column.name] = replace(own[column.name], margin=found)


def _add_ranks(entries: Sequence[Entry], columns: Sequence[Column], scores: Scores) -> None:
    for column in columns:
        found = ranks(get_metric(column.name), entries)
        shared = list(found.values())
        for key, rank in found.items():
            own = scores[key]
            own[column.name] = replace(own[column.name], rank=rank, tied=shared.count(rank) > 1)


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
        params=method.params,
        seeds=entry.seeds,
        scores=scores,
        cost=entry.cost,
        unranked=reason,
        warnings=entry.warnings,
        map=document_map(entry),
    )


def _ordered(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[Row, ...]:
    """Order rows: ranked methods, other methods, controls; inside each by the first metric with a better side."""
    main = next((column for column in columns if column.direction != "target"), None)

    def place(row: Row) -> tuple[bool, int, bool, bool, float, str]:
        value = row.scores[main.name].value if main else None
        better = (value or 0.0) * (-1 if main and main.direction == "up" else 1)
        group = asked.ROLES.index(row.role) if row.role else 0
        return row.role is not None, group, row.unranked is not None, value is None, better, row.key

    return tuple(sorted(rows, key=place))
