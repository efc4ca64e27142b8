"""A folder of pages from a board: one across tasks, one for each table, one for each row, and the rows as text files.

A page whose table has not changed is left as it is, so that a board of thousands of rows is published in seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.board import formats, links
from harness.board.across import MethodLine, across
from harness.board.apart import MOST, by_tool, number
from harness.board.cell_page import cell_view, fact_list
from harness.board.escaping import shown
from harness.board.overview_text import overview_csv
from harness.board.page import code_digest, environment, inline, package_version
from harness.board.rows import Board, BuiltPages, Row, Table
from harness.board.table import load_board
from harness.board.task_page import COSTS, task_view
from harness.board.text import csv_text, json_text, markdown
from harness.errors import UserError
from harness.metrics.contract import all_metrics
from harness.store.files import sha256_text, write_text

# The pages that were written, so that those of vanished tables can be removed and nothing else ever is.
LIST = "pages.json"
_DIGEST = re.compile(rb'<meta name="digest" content="([0-9a-f]{64})">')
_HEAD = 256


def build(folder: Path, out: Path) -> BuiltPages:
    """Build the pages of the records under ``FOLDER/results`` into the folder ``out``."""
    return _write(load_board(folder), out, folder)


def write_pages(board: Board, out_dir: str | Path, folder: str | Path | None = None) -> list[Path]:
    """Write all pages and return ``index.html``, ``board.md``, ``board.csv``, ``board.json``, ``overview.csv``.

    Equal records give equal bytes.

    Args:
        board: what ``load_board`` returned.
        out_dir: where the pages go.
        folder: where the board was read from, ``out_dir`` by default; pages of rows read their records there.
    """
    return _write(board, Path(out_dir), Path(folder or out_dir)).paths


def _write(board: Board, out: Path, folder: Path) -> BuiltPages:
    built = BuiltPages(out / links.INDEX, out / "board.md", out / "board.csv", out / "board.json", out / "overview.csv")
    pages = Pages(board, folder)
    written = [*pages.write_tables(out), *pages.write_imported(out)]
    _remove_stale(out, written)
    write_text(out / LIST, json.dumps(sorted(written), indent=0) + "\n")
    texts = (pages.overview(), markdown(board), csv_text(board), json_text(board), overview_csv(across(board)))
    for path, text in zip(built.paths, texts, strict=True):
        write_text(path, text)
    return built


class Pages:
    """Renders the pages of a board, one at a time."""

    def __init__(self, board: Board, folder: Path) -> None:
        self._board, self._folder = board, folder
        self._code = code_digest()
        self._version = package_version()
        self._metrics = all_metrics()
        self._task = inline(("board.css", "pages.css", "scores.css"), ("theme.js", "scores.js"))
        self._cell = inline(("board.css", "pages.css", "cell.css"), ("theme.js", "cell.js"))

    def write_tables(self, out: Path) -> Iterator[str]:
        """Write every page of every table that is not there yet, and yield the paths of all of them."""
        for table in self._board.tables:
            # A table that does not say what it was made from may have changed.
            digest = self._digest(table) if table.digest else ""
            path = links.task_page(table)
            for folder in {
                (out / name).parent for name in (path, *(links.cell_page(table, r) for r in table.rows[:1]))
            }:
                _refuse_links_out(out, folder)
            if not _is_current(out / path, digest):
                write_text(out / path, self.task(table))
            yield path
            for row in table.rows:
                path = links.cell_page(table, row)
                if not _is_current(out / path, digest):
                    write_text(out / path, self.cell(table, row))
                yield path

    def write_imported(self, out: Path) -> Iterator[str]:
        """Write the page of other tools' results, where there are any, and yield its path."""
        if self._board.imported:
            write_text(out / links.IMPORTED, self.imported())
            yield links.IMPORTED

    def imported(self) -> str:
        """Return the page of other tools' results."""
        groups = by_tool(self._board.imported)
        return self._render(
            "imported.html.j2", self._cell, sha256_text(self._code), groups=groups, most=MOST, value=number
        )

    def overview(self) -> str:
        """Return the page across tasks."""
        found = across(self._board)
        decimals = {c.table.key: formats.column_decimals(c.table, c.main) if c.main else 0 for c in found.columns}
        keys = [(links.table_name(column.table), column.table.task) for column in found.columns]
        assets = inline(("board.css", "pages.css", "scores.css", "overview.css"), ("theme.js", "scores.js"))
        edges = [sum(len(columns) for _, columns in found.tracks[:i]) for i in range(len(found.tracks))]
        return self._render(
            "overview.html.j2", assets, sha256_text(self._code), board=self._board, found=found, decimals=decimals,
            keys=keys, edges=edges, line_link=lambda line: _line_link(line, found.columns),
            tools=by_tool(self._board.imported),
        )  # fmt: skip

    def task(self, table: Table) -> str:
        """Return the page of a table."""
        others = [other for other in self._board.tables if other.task == table.task]
        view = task_view(table, others)
        return self._render("task.html.j2", self._task, self._digest(table), view=view, costs=COSTS)

    def cell(self, table: Table, row: Row) -> str:
        """Return the page of a row; its records are read for it and let go again."""
        view = cell_view(table, row, self._folder, self._metrics)
        return self._render("cell.html.j2", self._cell, self._digest(table), view=view, facts=fact_list, value=_figures)

    def _digest(self, table: Table) -> str:
        # What sets a table apart depends on the other tables of its task, which its own digest does not cover.
        return sha256_text(json.dumps([self._code, table.digest, table.hash, table.title, table.differs]))

    def _render(self, template: str, assets: dict[str, Any], digest: str, **values: Any) -> str:
        page = (
            environment()
            .get_template(template)
            .render(
                formats=formats, links=links, short=_short, version=self._version, digest=digest, **assets, **values
            )
        )
        return shown(page)


def _short(value: float) -> str:
    """Write a number for sorting: the figures that can decide an order, and no zero that says nothing."""
    text = f"{value:.5g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _figures(value: float | None, figures: int = 4) -> str:
    """Write a number with so many figures; a macro of the template would cost more than the rest of its line."""
    return formats.DASH if value is None else formats.significant(value, figures)


def _line_link(line: MethodLine, columns: Iterable[Any]) -> str:
    """Return the page of the first cell a method has."""
    pairs = zip(columns, line.crossings, strict=True)
    return next(links.cell_page(column.table, crossing.row) for column, crossing in pairs if crossing.row)


def _refuse_links_out(out: Path, folder: Path) -> None:
    if not _is_inside(out, folder):
        raise UserError(f"'{folder}' is a link that leads out of '{out}'; nothing is written through it")


def _is_inside(out: Path, folder: Path) -> bool:
    return folder.resolve().is_relative_to(out.resolve())


def _is_current(path: Path, digest: str) -> bool:
    """Say whether a page was made from this digest."""
    try:
        with path.open("rb") as stream:
            found = _DIGEST.search(stream.read(_HEAD))
    except OSError:
        return False
    return found is not None and found.group(1) == digest.encode()


def _remove_stale(out: Path, written: Iterable[str]) -> None:
    """Remove the pages that an earlier build listed and this one did not make."""
    try:
        listed = json.loads((out / LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    kept = set(written)
    for name in listed if isinstance(listed, list) else []:
        # The list is a file like any other, so it is not trusted with paths.
        inside = isinstance(name, str) and links.is_page(name) and _is_inside(out, (out / name).parent)
        if inside and name not in kept:
            (out / name).unlink(missing_ok=True)
            folder = (out / name).parent
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
