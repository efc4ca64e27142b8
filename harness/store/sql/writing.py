"""Puts rows into the tables so that the outcome does not depend on who writes first, or on how often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, delete, insert
from sqlalchemy.dialects import postgresql, sqlite

from harness.store.sql.rows import Row, Rows, plain_text, utc
from harness.store.sql.schema import ACTIVATIONS, CLUSTERS, FILES, METRICS, RECORDS, RUNS

_CHILDREN = (METRICS, FILES, CLUSTERS)
_ENDS = {"run_finished": "finished", "run_interrupted": "interrupted"}


def put_record(connection: Connection, rows: Rows) -> bool:
    """Put a cell into the tables, unless they hold it already or hold one that goes before it; return whether it went.

    The row of the record stays locked until the transaction ends, so a cell's values are always those of one record.
    """
    statement = _insert(connection, RECORDS).values(rows.record)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[RECORDS.c.cell],
        set_={name: new[name] for name in rows.record if name != "cell"},
        where=RECORDS.c.precedence < new.precedence,
    )
    if connection.execute(statement.returning(RECORDS.c.cell)).first() is None:
        return False
    for table in _CHILDREN:
        connection.execute(delete(table).where(table.c.cell == rows.record["cell"]))
    for table, found in zip(_CHILDREN, (rows.metrics, rows.files, rows.clusters), strict=True):
        if found:
            connection.execute(insert(table), found)
    return True


def remove_records(connection: Connection, cells: Iterable[str]) -> None:
    """Take cells out of the tables."""
    for cell in cells:
        for table in (*_CHILDREN, RECORDS):
            connection.execute(delete(table).where(table.c.cell == cell))


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
        statement = _insert(connection, table).values(row)
        new = {name: statement.excluded[name] for name in row if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new))


def _insert(connection: Connection, table: Table) -> postgresql.Insert | Any:
    # The statement is the same on both; SQLAlchemy knows it per database only.
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
