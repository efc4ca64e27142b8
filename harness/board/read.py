"""Records become cells whose values are computed again from their parts; what cannot be trusted is reported instead."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.board.printable import printable, printable_record
from harness.board.rows import Problem
from harness.errors import UserError
from harness.metrics.contract import Metric, NotComputableError, Parts, all_metrics
from harness.specs.record import MetricPart, Record
from harness.store.records import BrokenRecordError, StoredRecord, find_records, load_record

# Relative difference between a stored and a recomputed value beyond which the page says so; the absolute one is for
# values that are 0 but for rounding (the error of a perfect reconstruction).
TOLERANCE = 1e-6
ROUNDING = 1e-9


@dataclass(frozen=True)
class Cell:
    """A record that can be used, its parts, and what is odd about it. ``path`` is relative to the board's folder."""

    record: Record
    path: str
    parts: Parts
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it was measured; a failed cell has a reason and no parts."""
        return self.record.status == "ok"


def read_cells(folder: Path) -> tuple[list[Cell], list[Problem]]:
    """Read every record under ``FOLDER/results``; what is broken, altered or of an unknown schema becomes a problem."""
    return read_paths(folder, [path.relative_to(folder).as_posix() for path in find_records(folder)], all_metrics())


def read_paths(folder: Path, paths: Iterable[str], metrics: Mapping[str, Metric]) -> tuple[list[Cell], list[Problem]]:
    """Read the records at some paths under ``folder``, and what is wrong with those that cannot be used."""
    cells, problems = [], []
    for name in paths:
        try:
            cells.append(_read(folder / name, name, metrics))
        except (BrokenRecordError, UserError) as error:
            problems.append(problem(folder, name, error))
    return cells, problems


def problem(folder: Path, name: str, error: Exception) -> Problem:
    """Say what is wrong with a file. The page travels; the folder it was built in does not."""
    said = printable(str(error).replace(f"{folder}/", "").replace(name, "the file"))
    return Problem(printable(name), said)


def _read(path: Path, name: str, metrics: Mapping[str, Metric]) -> Cell:
    stored = load_record(path)
    record = printable_record(stored.record)
    if record.status == "failed":
        return Cell(record, name, {})
    parts = _parts(stored)
    try:
        return Cell(record, name, parts, _disagreements(record, parts, metrics))
    except (NotComputableError, ValueError, IndexError, TypeError) as error:
        raise BrokenRecordError(f"metrics cannot be computed from the parts of {name}: {error}") from error


def _parts(stored: StoredRecord) -> Parts:
    name = stored.record.parts
    if name is None:
        raise BrokenRecordError(f"{stored.path} says it was measured, but names no parts")
    try:
        parts = stored.parts()
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BrokenRecordError(f"the parts of {stored.path} cannot be read: {error}") from error
    if "n" not in parts or parts["n"].ndim != 1 or parts["n"].size == 0:
        raise BrokenRecordError(f"the parts of {stored.path} do not say how many tokens each cluster has")
    return parts


def _disagreements(record: Record, parts: Parts, metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """Say where the stored numbers are not those the parts give."""
    found = []
    for name, stored in record.metrics.items():
        metric = metrics.get(name)
        if metric is None:
            found.append(f"{name} is not a metric of this version and is not shown")
        elif message := _disagreement(metric, stored, parts):
            found.append(message)
    return tuple(found)


def _disagreement(metric: Metric, stored: MetricPart, parts: Parts) -> str | None:
    value, _ = metric.point(parts)
    if metric.version != stored.version:
        return (
            f"{metric.name} was stored as version {stored.version}; shown is version {metric.version}, from the parts"
        )
    if value is None and stored.value is None:
        return None
    close = value is not None and stored.value is not None
    if close and math.isclose(value or 0.0, stored.value or 0.0, rel_tol=TOLERANCE, abs_tol=ROUNDING):
        return None
    return f"{metric.name} is stored as {_text(stored.value)}, but the parts give {_text(value)}; the latter is shown"


def _text(value: float | None) -> str:
    return "no value" if value is None else f"{value:.7g}"
