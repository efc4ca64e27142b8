"""Records become cells whose values are computed again from their parts; what cannot be trusted is reported instead."""

from __future__ import annotations

import math
import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    cells, problems = [], []
    metrics = all_metrics()
    for path in find_records(folder):
        name = path.relative_to(folder).as_posix()
        try:
            cells.append(_read(path, name, metrics))
        except (BrokenRecordError, UserError) as error:
            # The page travels; the folder it was built in does not.
            problems.append(Problem(name, str(error).replace(f"{folder}/", "").replace(name, "the file")))
    return cells, problems


def _read(path: Path, name: str, metrics: dict[str, Metric]) -> Cell:
    stored = load_record(path)
    record = Record.model_validate(printable(stored.record.model_dump()))
    if record.status == "failed":
        return Cell(record, name, {})
    parts = _parts(stored)
    try:
        return Cell(record, name, parts, _disagreements(record, parts, metrics))
    except (NotComputableError, ValueError, IndexError, TypeError) as error:
        raise BrokenRecordError(f"metrics cannot be computed from the parts of {name}: {error}") from error


# These turn the direction of whatever text follows them on a page.
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(value: Any) -> Any:
    """Return plain data whose text holds nothing a terminal, an SVG or a page would act on instead of showing it."""
    if isinstance(value, str):
        return "".join(letter if _shown(letter) else "\ufffd" for letter in value)
    if isinstance(value, dict):
        return {printable(key): printable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(printable(inner) for inner in value)
    return value


def _shown(letter: str) -> bool:
    return letter in "\n\t" or (unicodedata.category(letter) not in ("Cc", "Cs") and letter not in _TURNS)


def _parts(stored: StoredRecord) -> Parts:
    name = stored.record.parts
    if name is None:
        raise BrokenRecordError(f"{stored.path} says it was measured, but names no parts")
    if Path(name).name != name:
        raise BrokenRecordError(f"{stored.path} names parts outside its own folder: {name}")
    try:
        parts = stored.parts()
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BrokenRecordError(f"the parts of {stored.path} cannot be read: {error}") from error
    if "n" not in parts or parts["n"].ndim != 1 or parts["n"].size == 0:
        raise BrokenRecordError(f"the parts of {stored.path} do not say how many tokens each cluster has")
    return parts


def _disagreements(record: Record, parts: Parts, metrics: dict[str, Metric]) -> tuple[str, ...]:
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
