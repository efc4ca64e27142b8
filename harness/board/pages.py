"""The board as one self-contained page, with Markdown, CSV and JSON of the same rows beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from harness.board import formats
from harness.board.chart import Plot, plot
from harness.board.escaping import plain
from harness.board.maps import Picture, pictures
from harness.board.page import environment, inline, package_version
from harness.board.rows import Board, BuiltPages, Row, Table
from harness.board.table import load_board
from harness.board.text import csv_text, json_text, markdown
from harness.store.files import write_text

# Metrics worth a plot against L0, where a table has them.
PLOTTED = ("fvu", "kl_splice")


@dataclass(frozen=True)
class TableView:
    """A table with what the page needs besides: an id for anchors, decimals by column, plots and maps."""

    table: Table
    id: str
    name: str
    decimals: dict[str, int]
    plots: tuple[Plot, ...]
    maps: tuple[Picture, ...]

    def row_id(self, row: Row) -> str:
        """Return the anchor of a row's details."""
        return f"{self.id}-row-{self.table.rows.index(row)}"


def build(folder: Path, out: Path) -> BuiltPages:
    """Build the pages of the records under ``FOLDER/results`` into the folder ``out``."""
    return _write(load_board(folder), out)


def write_pages(board: Board, out_dir: Path) -> list[Path]:
    """Write ``index.html``, ``board.md``, ``board.csv`` and ``board.json``; equal records give equal bytes."""
    return _write(board, out_dir).paths


def _write(board: Board, out: Path) -> BuiltPages:
    built = BuiltPages(out / "index.html", out / "board.md", out / "board.csv", out / "board.json")
    texts = (html(board), markdown(board), csv_text(board), json_text(board))
    for path, text in zip(built.paths, texts, strict=True):
        write_text(path, text)
    return built


def html(board: Board) -> str:
    """Return the page. Everything is inside it, and its policy forbids loading anything else."""
    return (
        environment()
        .get_template("board.html.j2")
        .render(
            board=board,
            views=_views(board),
            formats=formats,
            plain=plain,
            svg=Markup,
            version=package_version(),
            **inline("board.css", script="board.js"),
        )
    )


def _views(board: Board) -> list[TableView]:
    views = []
    for number, table in enumerate(board.tables):
        # A key holds a task's name, and an id must not hold everything a name might.
        key = f"{re.sub(r'[^A-Za-z0-9_-]', '-', table.key)}-{number}"
        decimals = {column.name: formats.column_decimals(table, column) for column in table.columns}
        plots = tuple(p for metric in PLOTTED if (p := plot(table, metric, f"{key}-{metric}")))
        several = sum(other.task == table.task for other in board.tables) > 1
        traits = ", ".join(f"{label} {text}" for label, text in table.differs[:2])
        name = f"{table.title} ({traits})" if several else table.title
        views.append(TableView(table, key, name, decimals, plots, pictures(table, key)))
    return views
