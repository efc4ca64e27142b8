"""A record becomes rows: text that every database takes, numbers that are numbers, times in UTC."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from harness.specs.record import MetricPart, Record
from harness.store.files import sha256_bytes
from harness.store.records import BrokenRecordError, StoredRecord

Row = dict[str, Any]

# What an integer column holds.
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Rows:
    """Everything the tables hold about one cell."""

    record: Row
    metrics: list[Row]
    files: list[Row]
    clusters: list[Row]


def index_rows(stored: StoredRecord, path: str, run: str | None) -> Rows:
    """Return what an index holds of a record: what can be asked for, and where the file lies."""
    data = stored.path.read_bytes()
    return Rows(record_row(stored.record, data, run) | {"path": path, "json": None}, metric_rows(stored.record), [], [])


def precedence(record: Record, sha256: str) -> str:
    """Return what decides between two records of one cell, whatever the order they come in: the greater text stays.

    What was measured goes before what failed, then the newer before the older.
    """
    return f"{int(record.status == 'ok')} {utc(record.provenance.finished) or ''} {sha256}"


def plain_text(value: str) -> str:
    """Return text that every database takes: PostgreSQL has no NUL, and half a surrogate pair is no UTF-8."""
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def utc(value: str | None) -> str | None:
    """Return a time as UTC text, None where it is none; a time without a zone is taken for UTC."""
    try:
        time = datetime.fromisoformat(value or "")
        aware = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return aware.isoformat(timespec="milliseconds")


def record_row(record: Record, data: bytes, run: str | None) -> Row:
    """Return what can be asked for of a record, whose file holds ``data``.

    Raises ``BrokenRecordError`` on a number that no database holds.
    """
    sha256 = sha256_bytes(data)
    model = record.model
    row = {
        "cell": record.cell, "precedence": precedence(record, sha256), "sha256": sha256, "run": run,
        "task": record.task.name, "task_version": record.task.version, "track": record.task.track,
        "task_table": record.task.table, "method": record.method.name, "identity": record.method.identity,
        "of": record.method.of, "role": record.method.role, "seed": record.seed, "status": record.status,
        "reason": record.reason, "model": model.name if model else None,
        "model_fingerprint": model.fingerprint if model else None, "data_fingerprint": record.data.fingerprint,
        "started": utc(record.provenance.started), "finished": utc(record.provenance.finished),
    }  # fmt: skip
    return _fit_for_a_database(row)


def _fit_for_a_database(row: Mapping[str, Any]) -> Row:
    for name, value in row.items():
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise BrokenRecordError(f"{name} is a number of {len(str(abs(value)))} digits, which no database holds")
    return {name: plain_text(value) if isinstance(value, str) else value for name, value in row.items()}


def metric_rows(record: Record) -> list[Row]:
    """Return a row per metric."""
    return [_fit_for_a_database(_metric(record.cell, name, part)) for name, part in record.metrics.items()]


def _metric(cell: str, name: str, part: MetricPart) -> Row:
    value = _finite(part.value)
    lost = "not finite in the record" if part.value is not None and value is None else None
    return {
        "cell": cell, "metric": name, "version": part.version, "value": value, "lo": _finite(part.lo),
        "hi": _finite(part.hi), "reason": part.reason or lost, "unit": part.unit, "direction": part.direction,
    }  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
