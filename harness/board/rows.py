"""What a board is made of: tables, their columns and rows, and the scores where they cross. Plain data only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.board.printable import printable_record
from harness.exchange.imported import Imported
from harness.metrics.verdicts import Verdict as Concluded
from harness.specs.record import Record
from harness.specs.strict import Role
from harness.stats.bars import Level
from harness.store.records import load_record

Status = Literal["ok", "failed", "missing"]
Verdict = Literal["above", "null", "below", "no interval"]


@dataclass(frozen=True)
class Problem:
    """A file that could not be used, relative to the board's folder, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Seed:
    """One cell of a row. A missing one was asked for by the task and never recorded.

    Attributes:
        path: of its record, relative to the board's folder; None for a missing one.
        folder: the board's folder.
    """

    seed: int
    status: Status
    reason: str | None = None
    path: str | None = None
    folder: Path | None = None

    @property
    def record(self) -> Record | None:
        """Its record, read anew at every call: a board of ten thousand of them does not keep them in memory.

        Raises ``BrokenRecordError`` where the file was taken away or changed in the meantime.
        """
        if self.folder is None or self.path is None:
            return None
        return printable_record(load_record(self.folder / self.path).record)


@dataclass(frozen=True)
class Margin:
    """How far a method is ahead of the best matched control; positive is better whatever the metric's direction.

    Attributes:
        control: label of the control's row; None where there was none to compare with.
        left_out: why each other control was not eligible, by label.
        each: 95 % interval of the difference from each control that was eligible, by label; each for itself.
        reason: why the value or its interval is missing.
    """

    control: str | None
    value: float | None
    lo: float | None
    hi: float | None
    reason: str | None
    left_out: dict[str, str] = field(default_factory=dict)
    each: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict | None:
        """Which side of 0 the whole interval lies on; ``null`` where 0 is inside, None without a value."""
        if self.value is None:
            return None
        if self.lo is None or self.hi is None:
            return "no interval"
        if self.lo > 0:
            return "above"
        return "below" if self.hi < 0 else "null"


@dataclass(frozen=True)
class Score:
    """A row under one metric.

    Attributes:
        value: mean over seeds, recomputed from parts; None with a ``reason``.
        how: what kind of interval ``lo`` and ``hi`` are.
        reason: why the value or the interval is missing, or why another interval than usual was taken.
        by_seed: the value of each seed.
        margin: None for controls and for metrics that take no margin (targets, counts of the code).
        rank: None where the row or the metric is not ranked; methods that cannot be told apart share one.
        tied: whether another row has the same rank.
        bar: whether the task's bar is met; None where there is no bar or no value, or its interval leaves it open.
    """

    value: float | None
    lo: float | None
    hi: float | None
    how: str
    reason: str | None
    clusters: int
    seed_sd: float | None
    by_seed: dict[int, float | None]
    margin: Margin | None = None
    rank: int | None = None
    tied: bool = False
    bar: bool | None = None


@dataclass(frozen=True)
class Column:
    """A metric of a table.

    Attributes:
        low: least value that meets the task's bar, if it has one; ``high`` the largest.
        whole: whether the bar is for the whole interval.
        diagnostic: why the metric is shown and neither ranked nor given a margin; None where it is trusted.
    """

    name: str
    unit: str
    direction: str
    version: int
    source: str
    null: str
    summary: str
    interval: str
    low: float | None = None
    high: float | None = None
    whole: bool = False
    diagnostic: str | None = None

    @property
    def level(self) -> Level:
        """What meets the task's bar."""
        return Level(self.low, self.high, self.whole)


def main_column(columns: Sequence[Column]) -> Column | None:
    """Return the column rows are ordered by: the first with a better side that is trusted, else the first with one."""
    sided = [column for column in columns if column.direction != "target"]
    return next((column for column in sided if column.diagnostic is None), sided[0] if sided else None)


@dataclass(frozen=True)
class Reference:
    """A number quoted from a paper: set apart from rows, never ranked.

    Attributes:
        label: what was measured, as the source calls it.
        source: paper and section or table.
        setting: model, site, data and size it was measured with.
        values: by metric of ours; only where the definitions agree.
        note: what keeps it from being comparable, and what else the source reports.
    """

    label: str
    source: str
    setting: str
    values: dict[str, float]
    note: str = ""


@dataclass(frozen=True)
class Cost:
    """What a row took, means over its measured cells. What no record says is None.

    Attributes:
        fit_seconds: of fitting.
        peak_mb: the largest peak memory of its own stages.
        parameters: fitted scalars.
        measure_seconds: of measuring; where the cells of a group are measured together, of all of them.
        shared_seconds: of what else served every cell of its group, such as the forward pass.
        train_tokens: tokens it was fitted on.
        test_tokens: tokens (or items) it was measured on: the sum over clusters.
    """

    fit_seconds: float | None
    peak_mb: float | None
    parameters: float | None
    measure_seconds: float | None = None
    shared_seconds: float | None = None
    train_tokens: float | None = None
    test_tokens: float | None = None


@dataclass(frozen=True)
class DocumentMap:
    """Documents on two axes, with the class of each."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    label: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """A method, or a control (of one method, where it is derived), with its seeds pooled.

    Attributes:
        key: unique within the table.
        label: what a reader calls it: the slug, what it is derived from, and the identity where two share a slug.
        role: None for a contestant.
        scores: by metric, for every column of the table.
        unranked: why the whole row has no ranks; None where it has some, and for controls.
        warnings: what its records warn of, with the seeds that do.
        map: where its first seed puts the documents; None where the track makes no map.
        verdicts: what its numbers come to; none where no rule reads its metrics, or none judges controls.
    """

    key: str
    label: str
    name: str
    title: str
    identity: str
    role: Role | None
    of: str | None
    source: str
    seeded: bool
    causal: bool
    params: dict[str, Any]
    seeds: tuple[Seed, ...]
    scores: dict[str, Score]
    cost: Cost
    unranked: str | None = None
    warnings: tuple[str, ...] = ()
    map: DocumentMap | None = None
    verdicts: tuple[Concluded, ...] = ()

    @property
    def failed(self) -> tuple[Seed, ...]:
        """The cells that failed."""
        return tuple(seed for seed in self.seeds if seed.status == "failed")

    @property
    def records(self) -> tuple[Record, ...]:
        """The records behind the row, failed ones included, read anew at every call."""
        return tuple(record for seed in self.seeds if (record := seed.record) is not None)


@dataclass(frozen=True)
class Table:
    """The rows that may be compared: their records share the hash of the resolved task.

    Attributes:
        key: task and start of the hash; unique on the board, fit for an anchor.
        facts: what was run, as (label, text).
        differs: what sets it apart from the other tables of the same task, as (label, text).
        notes: what a reader should know about the whole table.
        l0: the task's target for active latents per token.
        digest: changes whenever anything shown does: a number of the table, or what one of its records says.
        references: quoted rows for the task's track.
        newest: when its newest record was finished (UTC, ISO 8601).
    """

    key: str
    task: str
    title: str
    version: int
    track: str
    hash: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    facts: tuple[tuple[str, str], ...]
    differs: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    l0: float | None
    newest: str
    digest: str = ""
    references: tuple[Reference, ...] = ()

    @property
    def methods(self) -> tuple[Row, ...]:
        """The contestants, ranked ones first."""
        return tuple(row for row in self.rows if row.role is None)

    @property
    def controls(self) -> tuple[Row, ...]:
        """The ceiling, floor and derived rows."""
        return tuple(row for row in self.rows if row.role is not None)

    @property
    def verdicts(self) -> tuple[tuple[str, Concluded], ...]:
        """What the numbers of rows come to, as (label of the row, verdict)."""
        return tuple((row.label, verdict) for row in self.rows for verdict in row.verdicts)

    @property
    def warnings(self) -> tuple[tuple[str, str], ...]:
        """What rows warn of, as (labels of the rows, text), each text once."""
        by_text: dict[str, list[str]] = {}
        for row in self.rows:
            for text in row.warnings:
                by_text.setdefault(text, []).append(row.label)
        every = len(self.rows)
        return tuple(
            ("every row" if len(labels) == every > 1 else ", ".join(labels), text) for text, labels in by_text.items()
        )


@dataclass(frozen=True)
class Board:
    """Every table of a folder, the files that could not be used, and the results of other tools, set apart."""

    tables: tuple[Table, ...]
    problems: tuple[Problem, ...]
    records: int
    newest: str | None
    versions: tuple[str, ...]
    imported: tuple[Imported, ...] = ()


@dataclass(frozen=True)
class BuiltPages:
    """The files of a published board."""

    html: Path
    markdown: Path
    csv: Path
    json: Path
    overview: Path

    @property
    def paths(self) -> list[Path]:
        """All of them, the page first."""
        return [self.html, self.markdown, self.csv, self.json, self.overview]
