"""The board across tasks: a row for every method, a column for the newest table of every task, no mean over them.

Tasks differ in unit, data and difficulty, so a number over several of them would rank by what was measured most.
Counts of tables say what holds everywhere: how often a method is first, and how often above its null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.board.rows import Board, Column, Row, Score, Table, main_column

State = Literal["ranked", "unranked", "no value", "failed", "missing"]


@dataclass(frozen=True)
class Crossing:
    """A method on a task.

    Attributes:
        reason: why there is no rank, or no value; None for a ranked one.
        row: None where the method was never measured on the task.
    """

    state: State
    reason: str | None = None
    row: Row | None = None
    score: Score | None = None


@dataclass(frozen=True)
class TaskColumn:
    """The newest table of a task, and the metric that stands for it."""

    table: Table
    main: Column | None


@dataclass(frozen=True)
class MethodLine:
    """A method on all tasks, in the order of the columns."""

    label: str
    title: str
    crossings: tuple[Crossing, ...]

    @property
    def measured(self) -> int:
        """Tables in which the method has a value."""
        return sum(crossing.state in ("ranked", "unranked") for crossing in self.crossings)

    @property
    def first(self) -> int:
        """Tables in which no method is known to be better."""
        return sum(crossing.score is not None and crossing.score.rank == 1 for crossing in self.crossings)

    @property
    def above(self) -> int:
        """Tables in which the margin over the best matched control lies above 0."""
        margins = [crossing.score.margin for crossing in self.crossings if crossing.score]
        return sum(margin is not None and margin.verdict == "above" for margin in margins)


@dataclass(frozen=True)
class Across:
    """Methods by tasks; ``older`` are the tables that a newer one of the same task stands for."""

    columns: tuple[TaskColumn, ...]
    lines: tuple[MethodLine, ...]
    older: tuple[Table, ...]

    @property
    def mains(self) -> tuple[Column, ...]:
        """The metrics that stand for tasks, each once, in the order of the columns."""
        return tuple({column.main.name: column.main for column in self.columns if column.main}.values())

    @property
    def tracks(self) -> tuple[tuple[str, tuple[TaskColumn, ...]], ...]:
        """Neighbouring columns of one track, in the order of the columns."""
        names = dict.fromkeys(column.table.track for column in self.columns)
        return tuple((name, tuple(c for c in self.columns if c.table.track == name)) for name in names)


def across(board: Board) -> Across:
    """Cross every method of a board with the newest table of every task; methods are in the order of the alphabet."""
    newest: dict[str, Table] = {}
    for table in board.tables:
        best = newest.get(table.task)
        if best is None or (table.newest, table.key) > (best.newest, best.key):
            newest[table.task] = table
    chosen = sorted(newest.values(), key=lambda table: (table.track, table.task))
    columns = tuple(TaskColumn(table, main_column(table.columns)) for table in chosen)
    titles = {row.label: row.title for table in chosen for row in table.methods}
    by_label = [{row.label: row for row in table.methods} for table in chosen]
    lines = tuple(
        MethodLine(
            label,
            titles[label],
            tuple(_crossing(c, found.get(label)) for c, found in zip(columns, by_label, strict=True)),
        )
        for label in sorted(titles)
    )
    older = tuple(table for table in board.tables if table is not newest[table.task])
    return Across(columns, lines, older)


def _crossing(column: TaskColumn, row: Row | None) -> Crossing:
    if row is None:
        return Crossing("missing", "not measured on this task")
    if column.main is None:
        return Crossing("no value", "the task has no metric with a better side", row)
    score = row.scores[column.main.name]
    if score.value is None:
        measured = any(seed.status == "ok" for seed in row.seeds)
        return Crossing("no value" if measured else "failed", score.reason or "no reason recorded", row)
    if score.rank is None:
        why = column.main.diagnostic
        doubt = f"diagnostic only: {why}" if why else "this metric ranks nobody"
        return Crossing("unranked", row.unranked or doubt, row, score)
    return Crossing("ranked", None, row, score)
