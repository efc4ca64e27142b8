"""Puts rows into the tables so that the outcome does not depend on who writes first, or on how often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, insert
from sqlalchemy.dialects import postgresql, sqlite

from harness.store.sql.rows import Row, Rows, plain_text, utc
from harness.store.sql.schema import ACTIVATIONS, CLUSTERS, FILES, METRICS, RECORDS, RUNS

# Tables of what belongs to a cell, and the field of ``Rows`` that fills each.
_VALUES: dict[Table, str] = {METRICS: "metrics", FILES: "files", CLUSTERS: "clusters"}
_ENDS = {"run_finished": "finished", "run_interrupted": "interrupted"}


def put_records(connection: Connection, found: Iterable[Rows]) -> int:
    """Put cells into the tables, but for those they hold already or hold one of that goes before; return how many went.

    The row of a record stays locked until the transaction ends, so a cell's values are always those of one record.
    """
    upsert, changed = _upsert(connection.dialect.name), {}
    for rows in found:
        if connection.execute(upsert, rows.record).first() is not None:
            changed[rows.record["cell"]] = rows
    _remove_values(connection, changed)
    for table, name in _VALUES.items():
        values = [value for rows in changed.values() for value in getattr(rows, name)]
        if values:
            connection.execute(insert(table), values)
    return len(changed)


def remove_records(connection: Connection, cells: Iterable[str]) -> None:
    """Take cells out of the tables."""
    cells = list(cells)
    _remove_values(connection, cells)
    _remove(connection, RECORDS, cells)


def _remove_values(connection: Connection, cells: Iterable[str]) -> None:
    """Take what belongs to cells out of the tables, but not the cells."""
    cells = list(cells)
    for table in _VALUES:
        _remove(connection, table, cells)


def _remove(connection: Connection, table: Table, cells: Sequence[str]) -> None:
    if cells:
        connection.execute(delete(table).where(table.c.cell == bindparam("gone")), [{"gone": cell} for cell in cells])


@lru_cache(maxsize=2)
def _upsert(dialect: str) -> Any:
    """Return the statement that puts a record where there is none or one that it goes before; made once, for speed."""
    statement = _insert(dialect, RECORDS)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[RECORDS.c.cell],
        set_={column.name: new[column.name] for column in RECORDS.columns if column.name != "cell"},
        where=RECORDS.c.precedence < new.precedence,
    ).returning(RECORDS.c.cell)


def put_events(connection: Connection, events: Iterable[Mapping[str, Any]]) -> None:
    """Put what an event log says of runs and of activations into the tables; what is there already is replaced."""
    runs: dict[str, Row] = {}
    activations: dict[tuple[str, int], Row] = {}
    for event in events:
        if event["event"] == "run_started":
            runs[event["run"]] = _run(event)
        elif event["event"] in _ENDS and event["run"] in runs:
            runs[event["run"]] |= {"status": _ENDS[event["event"]], "finished": utc(event["time"])}
        elif event["event"] == "activations_read":
            row = {name: event[name] for name in ACTIVATIONS.columns.keys()}  # noqa: SIM118, iterating gives columns
            activations[row["fingerprint"], row["block"]] = row
    # In one order for everybody: two that wait for each other's rows would both be refused.
    _put(connection, RUNS, [runs[key] for key in sorted(runs)])
    _put(connection, ACTIVATIONS, [activations[key] for key in sorted(activations)])


def _run(event: Mapping[str, Any]) -> Row:
    return {
        "run": event["run"], "command": plain_text(event["command"]), "version": event["version"],
        "revision": event["commit"], "started": utc(event["time"]), "finished": None, "status": "running",
    }  # fmt: skip


def _put(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    keys = [column.name for column in table.primary_key]
    for row in rows:
        statement = _insert(connection.dialect.name, table).values(row)
        new = {name: statement.excluded[name] for name in row if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new))


def _insert(dialect: str, table: Table) -> Any:
    # The statement is the same on both; SQLAlchemy knows it per database only.
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
