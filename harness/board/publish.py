"""Puts the records of a finished run among the published ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.errors import UserError
from harness.store.records import BrokenRecordError, StoredRecord, find_records, load_record, record_path


def publish(run: Path, board: Path) -> list[Path]:
    """Copy every whole record of ``run`` into ``board/results`` and return the copies.

    A published record of the same table, method and seed is replaced: it was made by other code or parameters, and two
    of them would count as two seeds. Raises ``UserError`` where the run holds nothing.
    """
    records = list(_whole(run))
    if not records:
        raise UserError(f"'{run}' holds no whole record; nothing is published")
    published = list(_whole(board))
    copies = []
    for stored in records:
        for old in published:
            if _place(old) == _place(stored) and old.record.cell != stored.record.cell:
                _remove(old)
        copies.append(_copy(stored, board))
    return copies


def _whole(folder: Path) -> list[StoredRecord]:
    found = []
    for path in find_records(folder):
        try:
            stored = load_record(path)
            stored.parts()
            stored.latents()
        except BrokenRecordError:
            continue
        found.append(stored)
    return found


def _place(stored: StoredRecord) -> tuple[str, str, str, str | None, int]:
    record = stored.record
    return record.task.name, record.task.table, record.method.name, record.method.of, record.seed


def _remove(stored: StoredRecord) -> None:
    stored.path.unlink(missing_ok=True)
    for file in stored.files:
        file.unlink(missing_ok=True)


def _copy(stored: StoredRecord, board: Path) -> Path:
    target = record_path(board, stored.record)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Parts first: a record never stands without the numbers it names.
    for file in stored.files:
        shutil.copyfile(file, target.parent / file.name)
    shutil.copyfile(stored.path, target)
    return target
