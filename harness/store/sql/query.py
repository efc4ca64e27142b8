"""Asks an index or a store for records."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, select

from harness.errors import UserError, unknown
from harness.store.sql.schema import METRICS, RECORDS

_CONDITION = re.compile(r"\s*(?P<metric>[^<>=\s]+)\s*(?P<sign><=|>=|<|>)\s*(?P<bound>[^<>=\s]+)\s*")
_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# What is told of a record, in this order.
COLUMNS = (
    "task", "method", "of", "role", "seed", "status", "reason", "cell", "task_table", "identity", "model", "run",
    "finished", "path",
)  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """A metric and what its value has to be. A cell without a value never meets one."""

    metric: str
    sign: str
    bound: float


@dataclass(frozen=True)
class Wanted:
    """Which records: None means any."""

    task: str | None = None
    method: str | None = None
    status: str | None = None
    conditions: tuple[Condition, ...] = ()


def parse_condition(text: str) -> Condition:
    """Return ``"fvu<0.2"`` as a condition; raises ``UserError``."""
    found = _CONDITION.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        return Condition(found["metric"], found["sign"], float(found["bound"]))
    except ValueError:
        raise UserError(
            f"--metric: write a metric, one of {', '.join(_SIGNS)} and a number, as in 'fvu<0.2', got '{text}'"
        ) from None


def find(connection: Connection, wanted: Wanted) -> list[dict[str, Any]]:
    """Return the records that are wanted, each with its metrics; by task, table, method and seed.

    Raises ``UserError`` on a task, method or metric that no record has.
    """
    check_names(connection, wanted.task, wanted.method)
    _check_metrics(connection, wanted.conditions)
    columns = [RECORDS.c[name] for name in COLUMNS]
    rows = connection.execute(select(*columns).where(*_clauses(wanted))).mappings().all()
    found = [dict(row) for row in rows]
    metrics = _metrics(connection, {row["cell"] for row in found})
    ordered = sorted(
        found, key=lambda r: (r["task"], r["task_table"], r["method"], r["of"] or "", r["seed"], r["cell"])
    )
    return [row | {"metrics": metrics.get(row["cell"], {})} for row in ordered]


def check_names(connection: Connection, task: str | None, method: str | None) -> None:
    """Raise ``UserError`` for a task or a method that no record is of: nothing would be found, and nobody told why."""
    for what, given in (("task", task), ("method", method)):
        if given is not None:
            known = set(connection.execute(select(RECORDS.c[what]).distinct()).scalars())
            if given not in known:
                raise unknown(what, given, known, f"--{what}")


def _check_metrics(connection: Connection, conditions: Iterable[Condition]) -> None:
    known = set(connection.execute(select(METRICS.c.metric).distinct()).scalars()) if conditions else set()
    for condition in conditions:
        if condition.metric not in known:
            raise unknown("metric", condition.metric, known, "--metric")


def _clauses(wanted: Wanted) -> list[ColumnElement[bool]]:
    given = {"task": wanted.task, "method": wanted.method, "status": wanted.status}
    clauses: list[ColumnElement[bool]] = [
        RECORDS.c[name] == value for name, value in given.items() if value is not None
    ]
    for condition in wanted.conditions:
        value = _SIGNS[condition.sign](METRICS.c.value, condition.bound)
        clauses.append(exists().where(METRICS.c.cell == RECORDS.c.cell, METRICS.c.metric == condition.metric, value))
    return clauses


def _metrics(connection: Connection, cells: set[str]) -> dict[str, dict[str, Any]]:
    """Return the metrics of every cell; a store is small enough to read them in one go."""
    columns = (METRICS.c.cell, METRICS.c.metric, METRICS.c.value, METRICS.c.lo, METRICS.c.hi, METRICS.c.reason)
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(select(*columns).order_by(METRICS.c.cell, METRICS.c.metric)):
        if row.cell in cells:
            found.setdefault(row.cell, {})[row.metric] = {
                "value": row.value, "lo": row.lo, "hi": row.hi, "reason": row.reason,
            }  # fmt: skip
    return found
