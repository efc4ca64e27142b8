"""The page of one row: every seed's numbers, their spread over clusters, and all that is needed to run it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from harness.board import formats
from harness.board.maps import Picture, picture
from harness.board.printable import printable_record
from harness.board.rows import Column, Margin, Row, Seed, Table
from harness.board.spread import Spread, spreads
from harness.errors import UserError
from harness.metrics.contract import Metric
from harness.specs.record import Record
from harness.store.records import BrokenRecordError, StoredRecord, load_record

# A setting may hold a whole prompt; the record has all of it.
_LONGEST = 400
_UNSET = "not set"


@dataclass(frozen=True)
class Line:
    """A seed with its record, where one can be read."""

    seed: Seed
    record: Record | None


@dataclass(frozen=True)
class Difference:
    """How far a row is ahead of one control; ``best`` where it is the one that decides the verdict."""

    text: str
    best: bool
    note: str


@dataclass(frozen=True)
class MarginLine:
    """A metric against every control, by the control's label."""

    metric: str
    margin: Margin
    differences: dict[str, Difference]


@dataclass(frozen=True)
class CellView:
    """A row as its page shows it."""

    table: Table
    row: Row
    lines: tuple[Line, ...]
    unreadable: str
    spreads: dict[str, Spread] = field(default_factory=dict)
    spread_seed: int | None = None

    @cached_property
    def records(self) -> list[Record]:
        """The records that could be read, in the order of seeds."""
        return [line.record for line in self.lines if line.record]

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds that have values."""
        return sorted({seed for score in self.row.scores.values() for seed in score.by_seed})

    @cached_property
    def stages(self) -> list[str]:
        """The stages any seed went through."""
        return list(dict.fromkeys(name for record in self.records for name in record.stages))

    @cached_property
    def commands(self) -> list[tuple[str, list[int]]]:
        """Each command with the seeds it measured."""
        found: dict[str, list[int]] = {}
        for record in self.records:
            found.setdefault(record.provenance.command, []).append(record.seed)
        return list(found.items())

    @cached_property
    def checks(self) -> list[str]:
        """The commands that measure a record again and compare."""
        paths = [line.seed.path for line in self.lines if line.record and line.seed.path and line.seed.status == "ok"]
        return [shlex.join(["harness", "verify", path]) for path in paths]

    @cached_property
    def margins(self) -> list[MarginLine]:
        """Every metric that takes a margin, against every control that may count for this row."""
        row, table = self.row, self.table
        if row.role is not None:
            return []
        controls = [r for r in table.controls if r.role == "floor" or (r.role == "derived" and r.of == row.name)]
        found = [(column, row.scores[column.name].margin) for column in table.columns]
        return [
            MarginLine(column.name, margin, {c.label: _difference(row, c, column, margin) for c in controls})
            for column, margin in found
            if controls and margin and row.scores[column.name].value is not None
        ]

    @cached_property
    def map(self) -> Picture | None:
        """Where its documents lie, where the track makes a map."""
        return picture(self.row, self.row.map, "map") if self.row.map else None

    @cached_property
    def method(self) -> list[tuple[str, str]]:
        """What the method is, as (label, text)."""
        row = self.row
        fitted = [(f"Fit: {name}", text) for name, text in _shared(record.fit for record in self.records)]
        seeded = "varies with the seed" if row.seeded else "nothing varies with the seed"
        about = [("Name", row.name), ("Source", row.source), ("Identity", row.identity), ("Randomness", seeded)]
        return [*about, *([("Built from", row.of)] if row.of else []), *fitted]

    @cached_property
    def params(self) -> list[tuple[str, str]]:
        """Every parameter with its value."""
        return list(flat(self.row.params))

    @cached_property
    def spec(self) -> list[tuple[str, str]]:
        """Every setting of the resolved task, of the newest record."""
        newest = max(self.records, key=lambda record: record.provenance.finished, default=None)
        return list(flat(newest.task.spec)) if newest else []

    @cached_property
    def sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """What else records say, as (title, facts); where seeds differ, every value is given."""
        runs = [record.provenance for record in self.records]
        ran = [run.model_dump(exclude={"command", "started", "finished"}) for run in runs]
        models = [record.model.model_dump() for record in self.records if record.model]
        found = {
            "Measured with": _shared(ran),
            "Data": _shared(record.data.model_dump() for record in self.records),
            "Model": _shared(models),
            "Details": _shared(record.details for record in self.records),
        }
        return [(title, facts) for title, facts in found.items() if facts]

    def remarks(self, column: Column) -> str:
        """Say what else a reader should know about a score."""
        score = self.row.scores[column.name]
        margin = score.margin
        said = [column.diagnostic and f"diagnostic only: {column.diagnostic}", score.reason]
        if met := formats.met(column, score):
            said.append(f"bar {formats.bar(column)} {met}")
        if margin and margin.reason:
            said.append(f"margin: {margin.reason}")
        return "; ".join(text for text in said if text)


def cell_view(table: Table, row: Row, folder: Path, metrics: Mapping[str, Metric]) -> CellView:
    """Return the view of a row; its records are read from under ``folder``, and those that cannot be are said to be."""
    lines, problems, drawn = [], [], None
    for seed in row.seeds:
        try:
            stored = load_record(folder / seed.path) if seed.path else None
        except (BrokenRecordError, UserError):
            stored = None
            problems.append(f"The record {seed.path} cannot be read any more.")
        lines.append(Line(seed, printable_record(stored.record) if stored else None))
        # A derived control counts through margins alone, and there is one for every method: its spread is not drawn.
        if stored and drawn is None and seed.status == "ok" and row.role != "derived":
            drawn = (seed.seed, _spreads(row, stored, metrics))
    found = {} if drawn is None else drawn[1]
    return CellView(table, row, tuple(lines), " ".join(problems), found, drawn[0] if drawn and found else None)


def _spreads(row: Row, stored: StoredRecord, metrics: Mapping[str, Metric]) -> dict[str, Spread]:
    valued = [name for name, score in row.scores.items() if score.by_seed.get(stored.record.seed) is not None]
    try:
        return spreads((metrics[name] for name in valued), stored.parts())
    except BrokenRecordError:
        return {}


def _difference(row: Row, control: Row, column: Column, margin: Margin) -> Difference:
    own, other = row.scores[column.name].value, control.scores[column.name].value
    note = margin.left_out.get(control.label, "")
    if own is None or other is None:
        return Difference(formats.DASH, False, note)
    ahead = own - other if column.direction == "up" else other - own
    text = formats.significant(ahead)
    return Difference(text if text.startswith("-") or ahead == 0 else f"+{text}", control.label == margin.control, note)


def fact_list(found: Iterable[tuple[str, str]]) -> Markup:
    """Return facts as a list of terms; written here and not in a template because pages of rows hold a hundred."""
    inside = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>" for label, text in found)
    return Markup(f'<dl class="facts">{inside}</dl>')


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield plain data as (dotted key, text)."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(inner)


def _text(value: Any) -> str:
    if value is None:
        return _UNSET
    if type(value) is int:
        return str(value)
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _shared(found: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return facts of several records, each value once."""
    by_label: dict[str, list[str]] = {}
    for facts in found:
        for label, text in flat(facts):
            by_label.setdefault(label, []).append(text)
    return [(label, "; ".join(dict.fromkeys(texts))) for label, texts in by_label.items() if set(texts) != {_UNSET}]
