"""A comparison as one self-contained page, with Markdown and JSON of the same findings beside it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from harness.board import formats
from harness.board.escaping import shown
from harness.board.page import environment, inline, package_version
from harness.comparison import words
from harness.comparison.findings import Comparison, TableFinding
from harness.comparison.forest import Forest, forest
from harness.comparison.text import json_text, markdown
from harness.store.files import write_text

_LONGEST = 60


@dataclass(frozen=True)
class TableView:
    """A table with its title and plot."""

    table: TableFinding
    title: str
    forest: Forest | None


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Write ``A-vs-B.html``, ``.md`` and ``.json`` into a folder; equal findings give equal bytes."""
    name = f"{slug(comparison.a)}-vs-{slug(comparison.b)}"
    texts = {".html": html(comparison), ".md": markdown(comparison), ".json": json_text(comparison)}
    for suffix, text in texts.items():
        write_text(folder / f"{name}{suffix}", text)
    return [folder / f"{name}{suffix}" for suffix in texts]


def slug(text: str) -> str:
    """Return a name that is one part of a path on any system; a hash tells apart what had to be changed."""
    kept = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip(".-")[:_LONGEST]
    if kept == text:
        return kept
    return f"{kept or 'side'}-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:6]}"


def html(comparison: Comparison) -> str:
    """Return the page. Everything is inside it, and its policy forbids loading anything else."""
    views = [TableView(t, words.title(comparison, t), forest(t.metrics)) for t in comparison.tables]
    page = (
        environment()
        .get_template("compare.html.j2")
        .render(
            comparison=comparison,
            views=views,
            words=words,
            formats=formats,
            version=package_version(),
            digest="",
            **inline(("board.css", "pages.css", "scores.css", "compare.css"), ("theme.js",)),
        )
    )
    return shown(page)
