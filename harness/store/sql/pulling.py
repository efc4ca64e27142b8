"""Writes the records of a store into a run folder, byte by byte as they were pushed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, select

from harness.specs.record import SCHEMA, Record
from harness.store.files import sha256_bytes, write_bytes
from harness.store.records import record_path
from harness.store.sql.database import transaction
from harness.store.sql.query import check_names
from harness.store.sql.rows import precedence
from harness.store.sql.schema import FILES, RECORDS

# Bytes of a file's name, with room for what a temporary file adds.
_LONGEST = 200


@dataclass(frozen=True)
class Pulled:
    """What a pull came to: records written, records that were there already (the same, or a newer one), and
    (cell, reason) of those that were refused."""

    new: int
    same: int
    problems: tuple[tuple[str, str], ...]


class _RefusedError(Exception):
    """A record of the store that is not written into a folder."""


def pull(engine: Engine, folder: Path, task: str | None = None, method: str | None = None) -> Pulled:
    """Write every record of a store that ``folder`` lacks, or holds an older one of; others are left alone.

    A store may hold what somebody else put there: a record whose names lead out of the folder, or whose files are not
    those it was written with, is refused. Raises ``UserError`` where the database is away, or has no record of the
    task or the method.
    """
    given = [column == value for column, value in ((RECORDS.c.task, task), (RECORDS.c.method, method)) if value]
    new, same, problems = 0, 0, []
    with transaction(engine) as connection:
        check_names(connection, task, method)
        cells = list(connection.execute(select(RECORDS.c.cell).where(*given).order_by(RECORDS.c.cell)).scalars())
    for cell in cells:
        with transaction(engine) as connection:
            data, files = _fetch(connection, cell)
        try:
            wrote = _write(folder, data, files)
        except _RefusedError as error:
            problems.append((cell, str(error)))
        else:
            new, same = new + wrote, same + (not wrote)
    return Pulled(new, same, tuple(problems))


def _fetch(connection: Connection, cell: str) -> tuple[bytes, dict[str, bytes]]:
    data = connection.execute(select(RECORDS.c.json).where(RECORDS.c.cell == cell)).scalar_one_or_none() or b""
    files = connection.execute(select(FILES.c.name, FILES.c.bytes).where(FILES.c.cell == cell))
    return data, {row.name: row.bytes for row in files}


def _write(folder: Path, data: bytes, files: Mapping[str, bytes]) -> bool:
    record = _record(data)
    path = _path(folder, record)
    _check(record, path, files)
    sha256 = sha256_bytes(data)
    if not _goes_before(record, sha256, path):
        return False
    # The record comes last: it never stands without the numbers it names.
    for name in (record.parts, record.latents):
        if name is not None:
            write_bytes(path.parent / name, files[name])
    write_bytes(path, data)
    return True


def _path(folder: Path, record: Record) -> Path:
    """Return where a record lies under a folder; its names, which somebody else chose, become names of folders."""
    path = record_path(folder, record)
    parts = path.relative_to(folder).parts if path.is_relative_to(folder) else ()
    # results / task / method / file, of which none is a way out, a link that leads out, or a name no system takes.
    inside = len(parts) == 4 and all(part.isprintable() and len(part.encode()) <= _LONGEST for part in parts)
    if not inside or path.resolve().parents[3] != folder.resolve():
        raise _RefusedError("its names lead out of the folder, or are no names of files")
    return path


def _record(data: bytes) -> Record:
    try:
        value: Any = json.loads(data)
        if value["schema_version"] != SCHEMA:
            raise _RefusedError(f"record schema {value['schema_version']} is not known here")
        return Record.model_validate(value)
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
        raise _RefusedError("it is not a whole record") from None


def _check(record: Record, path: Path, files: Mapping[str, bytes]) -> None:
    """Refuse files that are called otherwise than a run calls them, or are not those of the record."""
    expected = {record.parts: (".npz", record.parts_sha256), record.latents: (".latents.npz", record.latents_sha256)}
    for name, (suffix, sha256) in expected.items():
        if name is None:
            continue
        if name != path.with_suffix(suffix).name:
            raise _RefusedError("the name of its parts is not the record's own")
        if name not in files or sha256_bytes(files[name]) != sha256:
            raise _RefusedError("its parts are not those it was written with")


def _goes_before(record: Record, sha256: str, path: Path) -> bool:
    """Return whether a record goes before the one that is there, if there is a whole one."""
    try:
        here = path.read_bytes()
        other = _record(here)
    except (OSError, _RefusedError):
        return True
    return precedence(other, sha256_bytes(here)) < precedence(record, sha256)
