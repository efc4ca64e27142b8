"""The index of a run folder: ``FOLDER/index.sqlite``, made from its files and made again whenever it is deleted.

It says what the records say; only the board computes values again from the parts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, delete, func, insert, select

from harness.errors import UserError
from harness.store.events import read_events, runs_of_cells
from harness.store.records import BrokenRecordError, find_records, load_record
from harness.store.sql.database import open_database, transaction
from harness.store.sql.rows import Rows, index_rows, plain_text
from harness.store.sql.schema import RECORDS, SCHEMA_VERSION, SOURCES, VERSION
from harness.store.sql.writing import put_events, put_records, remove_records

FILE = "index.sqlite"
# Files that are read before their records are put into the index.
_BATCH = 200


@dataclass(frozen=True)
class Indexed:
    """What bringing an index up to date came to. ``problems`` are (path, reason) of files that cannot be used."""

    path: Path
    records: int
    read: int
    gone: int
    problems: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Seen:
    """A record file as the index last read it."""

    size: int
    mtime_ns: int
    cell: str | None


def update_index(folder: Path) -> Indexed:
    """Bring the index of a folder up to date: files that are new or changed are read, others are not opened.

    A process that comes meanwhile waits. A torn index, or one of another version, is made anew.
    """
    path = folder / FILE
    with FileLock(folder / f".{FILE}.lock"):
        if not _usable(path):
            for name in (FILE, f"{FILE}-journal"):
                (folder / name).unlink(missing_ok=True)
        with transaction(open_index(folder)) as connection:
            return _update(connection, folder)


def open_index(folder: Path) -> Engine:
    """Return an engine on a folder's index."""
    return open_database(URL.create("sqlite", database=str(folder / FILE)))


def _usable(path: Path) -> bool:
    """Return whether a file is a whole database of this version."""
    if not path.is_file():
        return True
    try:
        with closing(sqlite3.connect(path)) as connection:
            whole = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
            versions = connection.execute(f"SELECT version FROM {SCHEMA_VERSION.name}").fetchall()
    except sqlite3.DatabaseError:
        return False
    return whole and versions == [(VERSION,)]


def _update(connection: Connection, folder: Path) -> Indexed:
    seen = {row.path: _Seen(row.size, row.mtime_ns, row.cell) for row in connection.execute(select(SOURCES))}
    found = dict(_files(folder))
    changed = {path for path, now in found.items() if _differs(seen.get(path), now)}
    gone = seen.keys() - found.keys()
    stale = {seen[path].cell for path in (changed | gone) & seen.keys()} - {None}
    # Two files may hold one cell: where one goes, the other speaks for it.
    changed |= {path for path in found.keys() & seen.keys() if seen[path].cell in stale}
    remove_records(connection, sorted(cell for cell in stale if cell is not None))
    for path in sorted((changed | gone) & seen.keys()):
        connection.execute(delete(SOURCES).where(SOURCES.c.path == path))
    runs = runs_of_cells(folder) if changed else {}
    paths = sorted(changed)
    for start in range(0, len(paths), _BATCH):
        _read(connection, folder, {path: found[path] for path in paths[start : start + _BATCH]}, runs)
    put_events(connection, read_events(folder))
    return _outcome(connection, folder / FILE, len(changed), len(gone))


def _files(folder: Path) -> Iterator[tuple[str, _Seen]]:
    for path in find_records(folder):
        try:
            state = path.stat()
        except FileNotFoundError:  # removed since it was listed
            continue
        yield path.relative_to(folder).as_posix(), _Seen(state.st_size, state.st_mtime_ns, None)


def _differs(before: _Seen | None, now: _Seen) -> bool:
    return before is None or (before.size, before.mtime_ns) != (now.size, now.mtime_ns)


def _read(connection: Connection, folder: Path, files: Mapping[str, _Seen], runs: Mapping[str, str]) -> None:
    """Put the records of some files into the index, and of each file what became of it."""
    found = {path: _rows(folder, path, runs) for path in files}
    put_records(connection, [rows for rows in found.values() if isinstance(rows, Rows)])
    for path, state in files.items():
        rows = found[path]
        cell, problem = (rows.record["cell"], None) if isinstance(rows, Rows) else (None, plain_text(rows))
        row = {"path": path, "size": state.size, "mtime_ns": state.mtime_ns, "cell": cell, "problem": problem}
        connection.execute(insert(SOURCES), row)


def _rows(folder: Path, path: str, runs: Mapping[str, str]) -> Rows | str:
    try:
        stored = load_record(folder / path)
        return index_rows(stored, path, runs.get(stored.record.cell))
    except (BrokenRecordError, UserError, OSError) as error:
        return str(error).replace(str(folder / path), "the file")


def _outcome(connection: Connection, path: Path, read: int, gone: int) -> Indexed:
    count = connection.execute(select(func.count()).select_from(RECORDS)).scalar_one()
    problems = select(SOURCES.c.path, SOURCES.c.problem).where(SOURCES.c.problem.is_not(None)).order_by(SOURCES.c.path)
    return Indexed(path, count, read, gone, tuple((row.path, row.problem) for row in connection.execute(problems)))
