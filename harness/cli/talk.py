"""stdout carries data, stderr carries talk: tables, JSON, progress bars."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from harness.board.escaping import UNSHOWN, shown

_BREAKS = re.compile(r"[\t\n]")
# A line every so often where there is no terminal to draw a bar on.
_EVERY = 10.0


class Talk:
    """Progress of long work on stderr: bars on a terminal, a line every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, float] = {}

    def __enter__(self) -> Talk:
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
            self._bars = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self._console)
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, label: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` units of ``label`` are finished."""
        if self._bars is not None:
            if label not in self._tasks:
                self._tasks[label] = self._bars.add_task(label, total=total)
            self._bars.update(self._tasks[label], completed=done, total=total)
        else:
            self._line(label, done, total)

    def _line(self, label: str, done: int, total: int) -> None:
        now = time.monotonic()
        first = self._said.setdefault(label, now)
        # Work that comes back under one label (every batch of a long measurement) is said to be done once.
        if now - first >= _EVERY or (done >= total and first != float("inf")):
            click.echo(f"{label}: {done}/{total}", err=True)
            self._said[label] = now if done < total else float("inf")


def print_json(value: Any) -> None:
    """Print data as JSON to stdout; NaN is not JSON and is refused. What a terminal would act on is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    click.echo(UNSHOWN.sub(lambda found: f"\\u{ord(found.group()):04x}", text))


def words(row: Mapping[str, Any]) -> list[str]:
    """Return the values of a row as a table shows them; what is not there is called none."""
    return [", ".join(map(str, v)) if isinstance(v, list) else "none" if v is None else str(v) for v in row.values()]


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout: drawn on a terminal, tab-separated in a pipe. Names in it are text, never markup."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            click.echo("\t".join(_BREAKS.sub(" ", shown(cell)) for cell in row))
        return
    table = Table(title=Text(shown(title)), title_justify="left", header_style="bold")
    for name in columns:
        table.add_column(Text(shown(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(cell)) for cell in row))
    Console().print(table)
