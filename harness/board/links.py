"""Where the pages of a board lie. Names come from records, so none of them becomes a part of a path as it is."""

from __future__ import annotations

import re

from harness.board.rows import Row, Table
from harness.store.files import sha256_text

INDEX = "index.html"
IMPORTED = "imported.html"
# Long enough to be told apart, short enough for every file system.
_LETTERS, _HASH = 48, 10
_PAGE = re.compile(r"imported\.html|tasks/[a-z0-9_-]+\.html|cells/[a-z0-9_-]+/[a-z0-9_-]+\.html")


def slug(name: str, *identity: str) -> str:
    """Return a file name: the letters of ``name`` that are safe everywhere, and a hash of the name and ``identity``.

    Two names never share one, also where a file system ignores case.
    """
    letters = re.sub(r"[^a-z0-9_]+", "-", name.lower())[:_LETTERS].strip("-")
    digest = sha256_text("\0".join((name, *identity)))[:_HASH]
    return f"{letters}-{digest}" if letters else digest


def table_name(table: Table) -> str:
    """Return what the page of a table and the folder of its rows are called."""
    return slug(table.task, table.hash)


def task_page(table: Table) -> str:
    """Return the path of a table's page in the board's folder."""
    return f"tasks/{table_name(table)}.html"


def cell_page(table: Table, row: Row) -> str:
    """Return the path of a row's page in the board's folder."""
    return f"cells/{table_name(table)}/{slug(row.label, row.key)}.html"


def is_page(path: str) -> bool:
    """Say whether a path is one that this file makes; a list of pages may have been changed by anyone."""
    return _PAGE.fullmatch(path) is not None
