"""Rows of a source: JSON Lines files, and values looked up by column."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from harness.errors import UserError

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """The rows of one split of a source.

    Attributes:
        columns: every column that occurs.
        rows: the rows in source order; gone through once, so a large set need not be held.
    """

    columns: tuple[str, ...]
    rows: Iterable[Row]


def table(rows: Iterable[Row]) -> Table:
    """Return rows as a table whose columns are those that occur in any of them."""
    held = list(rows)
    return Table(tuple(dict.fromkeys(name for row in held for name in row)), held)


def unpivoted(held: Table, columns: Iterable[str], name: str) -> Table:
    """Return one row per row and column of ``columns``: its inner values, the other columns, and the column's name.

    Raises ``UserError`` where a column is not there or does not hold an object.
    """
    chosen = tuple(columns)
    for column in chosen:
        if column not in held.columns:
            raise UserError(f"data.unpivot: column '{column}' is not there. Columns: {', '.join(held.columns)}.")
    return table(row for whole in held.rows for row in _one_each(whole, chosen, name))


def _one_each(whole: Row, columns: tuple[str, ...], name: str) -> Iterable[Row]:
    rest = {key: value for key, value in whole.items() if key not in columns}
    for column in columns:
        inner = whole[column]
        if not isinstance(inner, Mapping):
            raise UserError(f"data.unpivot: column '{column}' must hold an object, got {type(inner).__name__}.")
        yield {**rest, **inner, name: column}


def read_jsonl(path: Path, rows: int | None = None) -> Table:
    """Read a UTF-8 file of one JSON object per line, at most ``rows`` of them; blank lines are skipped.

    Raises ``UserError`` with file and line for anything else.
    """
    try:
        with path.open("rb") as stream:
            parsed = (_object(line, f"{path}:{number}") for number, line in enumerate(stream, start=1) if line.strip())
            return table(islice(parsed, rows))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def _object(line: bytes, where: str) -> Row:
    try:
        # Some editors put a byte order mark before the first line.
        value = json.loads(line.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8: byte {error.start + 1} of the line is {line[error.start]:#04x}") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{where}: not a JSON object on one line: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: every line must be a JSON object, got {type(value).__name__}")
    return value


def lookup(row: Row, column: str) -> Any:
    """Return the value of a column; ``a.b`` looks into nested objects. Raises ``KeyError`` where there is none."""
    if column in row:
        return row[column]
    head, _, rest = column.partition(".")
    inner = row[head]
    if not rest or not isinstance(inner, Mapping):
        raise KeyError(column)
    return lookup(inner, rest)


def as_word(value: Any) -> str:
    """Return a value as text that is equal exactly where the value is, whatever order a mapping has."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
