"""Which records a folder has and which resolved task each is of, without reading again what has not changed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.board.read import problem
from harness.board.rows import Problem
from harness.errors import UserError
from harness.store.records import BrokenRecordError, find_records, load_record

# Files changed later than this before they were looked at may change again without a trace: clocks of file systems
# are coarse. Nothing is remembered of them.
REST_NS = 2_000_000_000

# Size, time of change of content and of inode (ns), and number of the inode.
Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """A record file: its path relative to the folder, the resolved task it is of, and the state of its files.

    Attributes:
        parts: name of the file of its parts, None where it names none or one outside its folder.
        stamps: of the record and of its parts; empty for a file that is not there.
    """

    path: str
    task: str
    table: str
    parts: str | None
    stamps: tuple[Stamp, Stamp]

    @property
    def rested(self) -> bool:
        """Whether its files have not been changed for a while."""
        newest = max((max(stamp[1:3]) for stamp in self.stamps if stamp), default=0)
        return time.time_ns() - newest > REST_NS


def scan(folder: Path, known: Mapping[str, Sequence[Any]]) -> tuple[list[Found], list[Problem]]:
    """Return the records under ``FOLDER/results``, and what is wrong with those whose task cannot be told.

    Args:
        folder: the board's folder.
        known: by path, what ``remember`` returned of a record; one whose file has its stamp still is not read.
    """
    records, problems = [], []
    for path in find_records(folder):
        name = path.relative_to(folder).as_posix()
        try:
            records.append(_found(path, name, known.get(name)))
        except (BrokenRecordError, UserError) as error:
            problems.append(problem(folder, name, error))
    return records, problems


def remember(record: Found) -> list[Any]:
    """Return what ``scan`` needs to know of a record, as plain data."""
    return [list(record.stamps[0]), record.task, record.table, record.parts]


def _found(path: Path, name: str, known: Sequence[Any] | None) -> Found:
    if not name.isprintable() or name != name.encode("utf-8", "replace").decode():
        raise BrokenRecordError(f"the name of {name} holds letters that cannot be shown")
    stamp = _stamp(path)
    if known is not None and tuple(known[0]) == stamp:
        task, table, parts = known[1:]
    else:
        task, table, parts = _told(path)
    beside = _stamp(path.parent / parts) if parts else ()
    return Found(name, task, table, parts, (stamp, beside))


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _told(path: Path) -> tuple[str, str, str | None]:
    """Return task, table and parts as the record names them, without checking the rest of it."""
    try:
        value = json.loads(path.read_bytes())
        task, table, parts = value["task"]["name"], value["task"]["table"], value.get("parts")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        task = None
    if not (isinstance(task, str) and isinstance(table, str)):
        load_record(path)
        raise BrokenRecordError(f"{path} is not a whole record: it names no task")
    return task, table, parts if isinstance(parts, str) and Path(parts).name == parts else None
