"""The overview across tasks as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
from typing import Any

from harness.board import formats
from harness.board.across import Across, Crossing, MethodLine, TaskColumn
from harness.board.escaping import escape_markdown, neutral, plain

_FIELDS = (
    "method", "title", "track", "task", "table", "metric", "unit", "direction", "state", "value", "lo", "hi", "rank",
    "tied", "margin_verdict", "reason",
)  # fmt: skip


def overview_markdown(found: Across) -> list[str]:
    """Return the lines of one table: methods by tasks, the main metric of each; none without a method."""
    if not found.lines:
        return []
    places = [formats.column_decimals(c.table, c.main) if c.main else 0 for c in found.columns]
    header = ["method", *(_heading(column) for column in found.columns), "first", "above its null", "measured"]
    lines = [
        "## Across tasks",
        "",
        "The main metric of the newest table of each task. Units and difficulty differ, so nothing is averaged.",
        "",
        f"| {' | '.join(header)} |",
        f"|{' --- |' * len(header)}",
    ]
    for line in found.lines:
        cells = [_cell(crossing, p) for crossing, p in zip(line.crossings, places, strict=True)]
        measured = f"{line.measured} of {len(found.columns)}"
        row = [escape_markdown(line.label), *cells, str(line.first), str(line.above), measured]
        lines.append(f"| {' | '.join(row)} |")
    return [*lines, ""]


def _heading(column: TaskColumn) -> str:
    name = f"{column.main.name} {formats.ARROWS[column.main.direction]}" if column.main else "no metric"
    return escape_markdown(f"{column.table.task}: {name}")


def _cell(crossing: Crossing, places: int) -> str:
    if crossing.score is None or crossing.score.value is None:
        return crossing.state
    score = crossing.score
    parts = [formats.fixed(crossing.score.value, places)]
    parts.append(f"rank {formats.rank(score)}" if score.rank is not None else crossing.state)
    if score.margin and score.margin.verdict:
        parts.append(formats.VERDICTS[score.margin.verdict])
    return "; ".join(parts)


def overview_csv(found: Across) -> str:
    """Return one line per method and task; a method that was never measured on a task has the state ``missing``."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _FIELDS, lineterminator="\n")
    writer.writeheader()
    for line in found.lines:
        for column, crossing in zip(found.columns, line.crossings, strict=True):
            values = _line(line, column, crossing)
            writer.writerow({k: neutral(v) if isinstance(v, str) else v for k, v in values.items()})
    return buffer.getvalue()


def _line(line: MethodLine, column: TaskColumn, crossing: Crossing) -> dict[str, Any]:
    values: dict[str, Any] = {
        "method": line.label, "title": line.title, "track": column.table.track, "task": column.table.task,
        "table": column.table.hash, "state": crossing.state, "reason": crossing.reason,
    }  # fmt: skip
    if column.main is not None:
        values |= {"metric": column.main.name, "unit": column.main.unit, "direction": column.main.direction}
    if crossing.score is not None:
        score = crossing.score
        values |= {"value": plain(score.value), "lo": plain(score.lo), "hi": plain(score.hi)}
        values |= {"rank": score.rank, "tied": score.tied if score.rank else None}
        values["margin_verdict"] = score.margin.verdict if score.margin else None
    return values


def overview_json(found: Across) -> dict[str, Any]:
    """Return the overview as plain data: counts and one entry for each task of every method."""
    return {
        "tasks": [
            {"task": c.table.task, "table": c.table.hash, "track": c.table.track, "metric": c.main and c.main.name}
            for c in found.columns
        ],
        "methods": [
            {
                "label": line.label,
                "first": line.first,
                "above": line.above,
                "measured": line.measured,
                "tasks": [
                    _line(line, column, crossing)
                    for column, crossing in zip(found.columns, line.crossings, strict=True)
                ],
            }
            for line in found.lines
        ],
    }
