"""Results of other tools on a board: set apart under their tool, never ranked, and in no table of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.board import formats
from harness.board.escaping import escape_markdown
from harness.board.printable import printable
from harness.board.rows import Problem
from harness.exchange.imported import Imported, ImportedValue, read_imported

# Where each tool's results are described; what a tool is called there.
TITLES = {"saebench": "SAEBench", "lm-eval": "LM Evaluation Harness"}
# A file may hold a hundred thousand numbers; a page that a browser opens at once does not.
MOST = 500


@dataclass(frozen=True)
class ToolResults:
    """The imported files of one tool, by what was measured."""

    tool: str
    title: str
    files: tuple[Imported, ...]


def imported_results(folder: Path) -> tuple[tuple[Imported, ...], list[Problem]]:
    """Return the imported results of a board's folder, their text fit to be shown, and the files that are none."""
    found, unreadable = read_imported(folder)
    shown = tuple(Imported.model_validate(printable(one.model_dump())) for one in found)
    return shown, [Problem(printable(one.path), printable(one.reason)) for one in unreadable]


def by_tool(imported: Sequence[Imported]) -> tuple[ToolResults, ...]:
    """Return the results under their tools, tools and files in the order they come in."""
    tools = dict.fromkeys(one.tool for one in imported)
    return tuple(ToolResults(t, TITLES[t], tuple(one for one in imported if one.tool == t)) for t in tools)


def number(value: float | None) -> str:
    """Write a number of another tool with six figures, whatever its size."""
    return formats.DASH if value is None else f"{value:.6g}"


def source(one: Imported) -> str:
    """Say in one line where results come from."""
    said = (
        one.tool_version and f"tool version {one.tool_version}",
        one.model and f"model {one.model}",
        one.measured and f"measured {formats.date(one.measured)}",
        f"file {one.file}",
        f"sha256 {one.sha256}",
    )
    return ", ".join(part for part in said if part)


def imported_markdown(imported: Sequence[Imported]) -> list[str]:
    """Return the lines of a section of its own; none without results."""
    if not imported:
        return []
    lines = [
        "## Imported from other tools",
        "",
        "Numbers of their tools, to six figures; never ranked with ours. After ± stands a standard error.",
        "",
    ]
    for group in by_tool(imported):
        lines += [f"### {escape_markdown(group.title)}", ""]
        for one in group.files:
            lines += _markdown(one)
    return lines


def _markdown(one: Imported) -> list[str]:
    lines = [f"{escape_markdown(one.subject)}: {escape_markdown(source(one))}.", "", "| task | metric | value |"]
    lines.append("| --- | --- | --- |")
    for value in one.values[:MOST]:
        cells = (escape_markdown(value.task), escape_markdown(value.metric), escape_markdown(_said(value)))
        lines.append(f"| {' | '.join(cells)} |")
    more = len(one.values) - MOST
    return [*lines, "", *([f"{more} more values are in board.json.", ""] if more > 0 else [])]


def _said(value: ImportedValue) -> str:
    if value.value is None:
        return f"none: {value.reason or 'no reason recorded'}"
    return number(value.value) if value.stderr is None else f"{number(value.value)} ± {number(value.stderr)}"


def imported_json(imported: Sequence[Imported]) -> list[dict[str, Any]]:
    """Return the results as plain data, as they are kept."""
    return [one.model_dump(mode="json") for one in imported]
