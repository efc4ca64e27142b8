"""Brings the records of run folders into a store: while a run goes on, or afterwards."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, select

from harness.errors import UserError
from harness.store.events import read_events, runs_of_cells
from harness.store.files import sha256_file
from harness.store.masking import masked
from harness.store.records import BrokenRecordError, StoredRecord, find_records, load_record
from harness.store.sql.database import open_database, transaction
from harness.store.sql.schema import RECORDS
from harness.store.sql.whole import store_rows
from harness.store.sql.writing import put_events, put_records

# Records in one transaction: enough to be fast, few enough that another process is not kept waiting.
_BATCH = 50
# Seconds after which a database that was away is tried again while a run goes on.
_AGAIN = 30.0


@dataclass(frozen=True)
class Pushed:
    """What a push came to: records that are new to the store or replaced one there, records that it held already or
    holds a newer one of, and (path, reason) of those that cannot be used."""

    new: int
    same: int
    problems: tuple[tuple[str, str], ...]


def push_folder(folder: Path, engine: Engine) -> Pushed:
    """Push every record of a run folder, its runs and activations; raises ``UserError`` where the database is away."""
    records, problems = [], []
    for path in find_records(folder):
        try:
            records.append(load_record(path))
        except (BrokenRecordError, UserError) as error:
            problems.append((path.relative_to(folder).as_posix(), str(error)))
    push_events(folder, engine)
    pushed = push_records(folder, records, runs_of_cells(folder), engine)
    return Pushed(pushed.new, pushed.same, (*problems, *pushed.problems))


def push_events(folder: Path, engine: Engine) -> None:
    """Push what a folder's log says of runs and of activations."""
    with transaction(engine) as connection:
        put_events(connection, read_events(folder))


def push_records(folder: Path, records: Iterable[StoredRecord], runs: Mapping[str, str], engine: Engine) -> Pushed:
    """Push some records of a folder; ``runs`` are the runs that recorded them, by cell."""
    # In one order for every process: two that wait for each other's rows would both be refused.
    ordered = sorted(records, key=lambda stored: stored.record.cell)
    new = 0
    problems: list[tuple[str, str]] = []
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        with transaction(engine) as connection:
            held, found = _held(connection, batch), []
            for stored in batch:
                if held.get(stored.record.cell) == sha256_file(stored.path):
                    continue
                try:
                    found.append(store_rows(stored, runs.get(stored.record.cell)))
                except (BrokenRecordError, OSError, ValueError) as error:
                    problems.append((stored.path.relative_to(folder).as_posix(), str(error)))
            new += put_records(connection, found)
    return Pushed(new, len(ordered) - new - len(problems), tuple(problems))


def _held(connection: Connection, batch: Iterable[StoredRecord]) -> dict[str, str]:
    cells = [stored.record.cell for stored in batch]
    found = connection.execute(select(RECORDS.c.cell, RECORDS.c.sha256).where(RECORDS.c.cell.in_(cells)))
    return {row.cell: row.sha256 for row in found}


class Sink:
    """Pushes the records of one run as they are finished. Where the database is away the run goes on without it."""

    def __init__(self, url: str, folder: Path, run: str) -> None:
        self._url, self._folder, self._run = url, folder, run
        self._engine = open_database(url)
        self._runs = runs_of_cells(folder)
        self._waiting: list[StoredRecord] = []
        self._failed_at: float | None = None
        self._said = False

    def start(self) -> None:
        """Push that the run has started."""
        self._try(lambda: push_events(self._folder, self._engine))

    def add(self, stored: StoredRecord, new: bool) -> None:
        """Push a finished record, and those that could not be pushed before; ``new`` says that this run recorded it."""
        if new:
            self._runs[stored.record.cell] = self._run
        self._waiting.append(stored)
        if self._failed_at is None or time.monotonic() - self._failed_at > _AGAIN:
            self._try(self._push)

    def close(self) -> None:
        """Push what is left and how the run ended, and say what to do where that cannot be done."""
        self._try(lambda: push_events(self._folder, self._engine))
        self._try(self._push)
        if self._waiting:
            url = shlex.quote(masked(self._url))
            again = f"harness store push {shlex.quote(str(self._folder))} --store {url}"
            _say(f"{len(self._waiting)} records are not in the database; when it is back: {again}")
        self._engine.dispose()

    def _push(self) -> None:
        pushed = push_records(self._folder, self._waiting, self._runs, self._engine)
        for path, reason in pushed.problems:
            _say(f"not pushed: {path}: {reason}")
        self._waiting = []

    def _try(self, push: Callable[[], None]) -> None:
        try:
            push()
        except UserError as error:
            self._failed_at = time.monotonic()
            if not self._said:
                _say(f"the run goes on without its database: {error}")
                self._said = True
        else:
            self._failed_at = None


def _say(text: str) -> None:
    print(f"harness: {text}", file=sys.stderr)
