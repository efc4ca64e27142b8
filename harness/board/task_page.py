"""The page of one table: its rows with scores, margins and ranks, quoted rows apart, plots, and what was run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.board import formats, links
from harness.board.chart import Plot, plot
from harness.board.maps import Picture, pictures
from harness.board.rows import Column, Cost, Margin, Row, Seed, Table

# Metrics worth a plot against L0, where a table has them.
PLOTTED = ("fvu", "kl_splice")
GROUPS = (
    ("Methods", "", "methods", (None,)),
    ("Controls", "what a score has to be held against", "controls", ("ceiling", "floor")),
    ("Derived controls", "one method each, with what should matter in it destroyed", "controls", ("derived",)),
)


@dataclass(frozen=True)
class Reading:
    """A column of costs: how it is called, what it means, and how it is read and written."""

    key: str
    name: str
    meaning: str
    of: Callable[[Cost], float | None]
    write: Callable[[float | None], str]

    def text(self, cost: Cost) -> str:
        """Write the cost of a row."""
        return self.write(self.of(cost))


COSTS = (
    Reading("tokens", "Tokens", "tokens it was fitted on", lambda cost: cost.train_tokens, formats.amount),
    Reading("fit", "Fit", "mean time to fit one seed", lambda cost: cost.fit_seconds, formats.seconds),
    Reading("memory", "Memory", "largest peak memory of its own stages", lambda cost: cost.peak_mb, formats.megabytes),
    Reading("size", "Scalars", "fitted scalars", lambda cost: cost.parameters, formats.amount),
)


@dataclass(frozen=True)
class Entry:
    """A row with what the page says about it besides its scores."""

    row: Row
    link: str

    @property
    def ok(self) -> int:
        """Cells that were measured."""
        return sum(seed.status == "ok" for seed in self.row.seeds)

    @property
    def measured(self) -> bool:
        """Whether any cell was measured."""
        return self.ok > 0

    @property
    def failed(self) -> str:
        """Why there is no score at all; empty where there is one, or a note below the table says it."""
        return "" if self.ok or not self.row.failed else f"failed: {self.row.failed[0].reason or 'no reason recorded'}"


@dataclass(frozen=True)
class Sibling:
    """Another table of the same task."""

    name: str
    link: str


@dataclass(frozen=True)
class TaskView:
    """A table as its page shows it."""

    table: Table
    siblings: tuple[Sibling, ...]
    decimals: dict[str, int]
    plots: tuple[Plot, ...]
    maps: tuple[Picture, ...]

    @property
    def groups(self) -> list[tuple[str, str, str, list[Entry]]]:
        """Rows by kind, as (name, what it is, which choice shows it, rows)."""
        found = [
            (name, hint, group, [self._entry(row) for row in self.table.rows if row.role in roles])
            for name, hint, group, roles in GROUPS
        ]
        return [item for item in found if item[3]]

    def _entry(self, row: Row) -> Entry:
        return Entry(row, f"../{links.cell_page(self.table, row)}")

    @property
    def keys(self) -> list[tuple[str, str]]:
        """The columns that can be chosen, as (key, name)."""
        costs = [("seeds", "seeds"), *((reading.key, reading.name.lower()) for reading in COSTS)]
        return [*((column.name, column.name) for column in self.table.columns), *costs]

    @property
    def doubted(self) -> list[Column]:
        """The metrics that are shown and rank nobody."""
        return [column for column in self.table.columns if column.diagnostic]

    @property
    def quoted(self) -> list[Column]:
        """The metrics for which a paper reports a number."""
        named = {name for reference in self.table.references for name in reference.values}
        return [column for column in self.table.columns if column.name in named]

    @property
    def failures(self) -> list[tuple[str, Seed]]:
        """Every cell that failed, with the label of its row."""
        return [(row.label, seed) for row in self.table.rows for seed in row.failed]

    def control_name(self, entry: Entry, margin: Margin) -> str:
        """Return the control a margin is over, without the method a derived one was built from: it is the row's."""
        name = margin.control or ""
        return name.removesuffix(f" of {entry.row.name}")


def task_view(table: Table, others: Sequence[Table]) -> TaskView:
    """Return the view of a table; ``others`` are all tables of its task."""
    siblings = tuple(_sibling(other) for other in others if other is not table)
    decimals = {column.name: formats.column_decimals(table, column) for column in table.columns}
    plots = tuple(p for metric in PLOTTED if (p := plot(table, metric, f"plot-{metric}")))
    return TaskView(table, siblings, decimals, plots, pictures(table, "map"))


def _sibling(table: Table) -> Sibling:
    traits = ", ".join(f"{label} {text}" for label, text in table.differs[:2])
    return Sibling(traits or table.hash[:8], links.task_page(table).removeprefix("tasks/"))
