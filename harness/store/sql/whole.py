"""A whole record as rows: its bytes, the files beside it, and what each cluster contributes to its metrics."""

from __future__ import annotations

import numpy as np

from harness.metrics.contract import NotComputableError, Parts, all_metrics
from harness.specs.record import Record
from harness.stats.summary import metric_pseudo_values
from harness.store.files import sha256_bytes
from harness.store.records import StoredRecord
from harness.store.sql.rows import Row, Rows, metric_rows, record_row


def store_rows(stored: StoredRecord, run: str | None) -> Rows:
    """Return what a store holds of a record: all of it, so that the files can be written back byte by byte.

    Raises ``BrokenRecordError`` where the files beside the record are not those it was written with.
    """
    record, data = stored.record, stored.path.read_bytes()
    parts = stored.parts()
    stored.latents()
    files = [_file(record.cell, path.name, path.read_bytes()) for path in stored.files]
    row = record_row(record, data, run) | {"path": None, "json": data}
    return Rows(row, metric_rows(record), files, _clusters(record, parts))


def _file(cell: str, name: str, data: bytes) -> Row:
    return {"cell": cell, "name": name, "sha256": sha256_bytes(data), "bytes": data}


def _clusters(record: Record, parts: Parts) -> list[Row]:
    """Return what each cluster contributes to each metric that has an interval over clusters."""
    if record.status != "ok" or "n" not in parts:
        return []
    known, rows = all_metrics(), []
    for name, part in record.metrics.items():
        metric = known.get(name)
        if metric is None or metric.interval != "clusters" or metric.version != part.version or part.value is None:
            continue
        try:
            (pseudo_C,) = metric_pseudo_values(metric, [parts])
        except (NotComputableError, ValueError, KeyError):
            continue
        if np.isfinite(pseudo_C).all():
            pairs = zip(parts["n"].tolist(), pseudo_C.tolist(), strict=True)
            rows += [
                {"cell": record.cell, "metric": name, "cluster": i, "n": n, "pseudo": pseudo}
                for i, (n, pseudo) in enumerate(pairs)
            ]
    return rows
