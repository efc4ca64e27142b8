"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.errors import UserError

F = Callable[..., Any]

include_path = click.option(
    "--include-path",
    multiple=True,
    metavar="DIR",
    help="Folder with your own methods/, tasks/ or metrics/. May be given several times.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")


def integers(text: str | None, option: str) -> tuple[int, ...] | None:
    """Return ``"0,1,2"`` as numbers, or None for None; raises ``UserError``."""
    if text is None:
        return None
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UserError(f"{option}: give whole numbers separated by commas, got '{text}'") from None


def settings(words: tuple[str, ...]) -> dict[str, str]:
    """Return ``("a.b=c",)`` as a mapping; raises ``UserError`` on a word without '=' or a key given twice."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set: write key=value, as in --set budget.l0=32, got '{word}'")
        if key.strip() in found:
            raise UserError(f"--set: key '{key.strip()}' is given twice")
        found[key.strip()] = value.strip()
    return found


def folder_of(path: str) -> Path:
    """Return a run folder that has results; raises ``UserError``."""
    folder = Path(path)
    if not (folder / "results").is_dir():
        raise UserError(f"'{path}' holds no results; give a folder that `harness eval --output-path` wrote")
    return folder
