"""Puts the records of a finished run among the published ones."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UserError
from harness.exchange.imported import read_imported, save_imported
from harness.store.records import BrokenRecordError, StoredRecord, find_records, load_record, record_path

# What a folder or file of the board may be called; task, method and cell of a record become such names.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,=+@-]*")

Place = tuple[str, str, str, str | None, int]


def publish(run: Path, board: Path) -> list[Path]:
    """Copy every whole record of ``run`` into ``board/results`` and return the copies; imported results come along.

    A published record of the same table, method and seed is replaced: it was made by other code or parameters, and two
    of them would count as two seeds. Raises ``UserError`` where the run holds nothing, or a record whose names are no
    names of files; nothing is copied then.
    """
    records = list(_whole(run))
    if not records:
        raise UserError(f"'{run}' holds no whole record; nothing is published")
    targets = [_target(stored, board) for stored in records]
    published: dict[Place, list[StoredRecord]] = {}
    for old in _readable(board):
        published.setdefault(_place(old), []).append(old)
    for stored in records:
        for old in published.get(_place(stored), ()):
            if old.record.cell != stored.record.cell:
                _remove(old)
    for stored, target in zip(records, targets, strict=True):
        _copy(stored, target)
    # What cannot be read is left behind, as broken records are.
    for imported in read_imported(run)[0]:
        save_imported(board, imported)
    return targets


def _readable(folder: Path) -> Iterator[StoredRecord]:
    for path in find_records(folder):
        try:
            yield load_record(path)
        except BrokenRecordError:
            continue


def _whole(folder: Path) -> Iterator[StoredRecord]:
    for stored in _readable(folder):
        try:
            stored.parts()
            stored.latents()
        except BrokenRecordError:
            continue
        yield stored


def _place(stored: StoredRecord) -> Place:
    record = stored.record
    return record.task.name, record.task.table, record.method.name, record.method.of, record.seed


def _target(stored: StoredRecord, board: Path) -> Path:
    """Return where the record goes; raises ``UserError`` where its names lead elsewhere, as an imported one's may."""
    target, results = record_path(board, stored.record), board / "results"
    # An absolute name would take the place of the folder.
    names = target.relative_to(results).parts if target.is_relative_to(results) else ()
    if len(names) != 3 or not all(_NAME.fullmatch(name) for name in names):
        wrong = str(target).encode("unicode_escape").decode()
        raise UserError(
            f"{stored.path}: task, method and cell name no file of the board ({wrong}); nothing is published"
        )
    return target


def _remove(stored: StoredRecord) -> None:
    stored.path.unlink(missing_ok=True)
    # What lies elsewhere is not its own to remove.
    with contextlib.suppress(BrokenRecordError):
        for file in stored.files:
            file.unlink(missing_ok=True)


def _copy(stored: StoredRecord, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Parts first: a record never stands without the numbers it names.
    for file in stored.files:
        shutil.copyfile(file, target.parent / file.name)
    shutil.copyfile(stored.path, target)
