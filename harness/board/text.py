"""The board as Markdown, CSV and JSON. Whatever records say is data there too: it cannot become markup or a formula."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from harness.board import formats
from harness.board.rows import Board, Column, Row, Score, Table

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*( of [A-Za-z0-9][A-Za-z0-9_.-]*)?")
_MARKUP = re.compile(r"([\\`*_\[\]{}|#~!])")
# A spreadsheet runs a cell that begins with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
_FIELDS = (
    "task", "task_version", "table", "method", "role", "of", "identity", "title", "metric", "unit", "direction",
    "value", "lo", "hi", "interval", "seed_sd", "seeds_ok", "seeds_failed", "seeds_missing", "clusters", "rank", "tied",
    "margin", "margin_lo", "margin_hi", "margin_control", "margin_verdict", "bar_low", "bar_high", "bar_met",
    "unranked", "reason", "fit_seconds", "peak_mb",
)  # fmt: skip


def plain(value: float | None) -> float | None:
    """Return the number with ten figures: files must not differ by the rounding of the machine that built them."""
    return None if value is None else float(f"{value:.10g}")


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, on one line, inside a table."""
    line = " ".join(text.split())
    if _SLUG.fullmatch(line):
        return line
    return _MARKUP.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def neutral(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def markdown(board: Board) -> str:
    """Return the board as GitHub-flavoured Markdown, one table after the other."""
    lines = ["# Leaderboard", "", _standing(board), ""]
    for table in board.tables:
        lines += _markdown_table(table)
    if board.problems:
        lines += ["## Records that could not be used", ""]
        lines += [f"- {escape_markdown(p.path)}: {escape_markdown(p.reason)}" for p in board.problems]
    return "\n".join(lines).rstrip() + "\n"


def _standing(board: Board) -> str:
    if not board.tables:
        return "No records yet."
    versions = escape_markdown(", ".join(board.versions))
    return f"{board.records} records, the newest of {escape_markdown(board.newest or '')}; package {versions}."


def _markdown_table(table: Table) -> list[str]:
    columns = [f"{escape_markdown(c.name)} {formats.ARROWS[c.direction]}" for c in table.columns]
    header = ["row", "role", *columns, "seeds"]
    lines = [
        f"## {escape_markdown(table.title)}",
        "",
        f"Task {escape_markdown(table.task)}, table {table.hash[:8]}.",
        "",
    ]
    lines += [f"- {escape_markdown(label)}: {escape_markdown(text)}" for label, text in table.facts]
    lines += [f"- differs in {escape_markdown(label)}: {escape_markdown(text)}" for label, text in table.differs]
    lines += ["", f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for row in table.rows:
        texts = [_markdown_score(row.scores[c.name], formats.column_decimals(table, c)) for c in table.columns]
        cells = [escape_markdown(row.label), formats.role(row), *texts, formats.seeds(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", *_remarks(table)]


def _markdown_score(score: Score, places: int) -> str:
    if score.value is None:
        return formats.DASH
    parts = [formats.fixed(score.value, places), formats.interval(score.lo, score.hi, places)]
    if score.rank is not None:
        parts.append(f"rank {formats.rank(score)}")
    if score.bar is not None:
        parts.append("bar met" if score.bar else "bar missed")
    if score.margin and score.margin.value is not None:
        margin = f"{formats.signed(score.margin.value, places)} over {escape_markdown(score.margin.control or '')}"
        parts.append(f"{margin} ({formats.VERDICTS[score.margin.verdict or 'no interval']})")
    return "; ".join(part for part in parts if part)


def _remarks(table: Table) -> list[str]:
    lines = [f"- {escape_markdown(note)}" for note in table.notes]
    for row in table.rows:
        label = escape_markdown(row.label)
        if row.unranked:
            lines.append(f"- {label} is unranked: {escape_markdown(row.unranked)}.")
        lines += [f"- {label}, seed {s.seed}, failed: {escape_markdown(s.reason or '')}" for s in row.failed]
    lines += [f"- {escape_markdown(labels)}: {escape_markdown(text)}" for labels, text in table.warnings]
    return [*lines, ""] if lines else []


def csv_text(board: Board) -> str:
    """Return one line per row and metric; numbers are numbers, and text cannot be a formula."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _FIELDS, lineterminator="\n")
    writer.writeheader()
    for table in board.tables:
        for row in table.rows:
            for column in table.columns:
                values = _line(table, row, column)
                writer.writerow({k: neutral(v) if isinstance(v, str) else v for k, v in values.items()})
    return buffer.getvalue()


def _line(table: Table, row: Row, column: Column) -> dict[str, Any]:
    score, margin = row.scores[column.name], row.scores[column.name].margin
    counts = {f"seeds_{s}": sum(seed.status == s for seed in row.seeds) for s in ("ok", "failed", "missing")}
    line: dict[str, Any] = {
        "task": table.task, "task_version": table.version, "table": table.hash, "method": row.name,
        "role": formats.role(row), "of": row.of, "identity": row.identity, "title": row.title, "metric": column.name,
        "unit": column.unit, "direction": column.direction, "value": plain(score.value), "lo": plain(score.lo),
        "hi": plain(score.hi), "interval": score.how, "seed_sd": plain(score.seed_sd), "clusters": score.clusters,
        "rank": score.rank, "tied": score.tied if score.rank else None, "bar_low": column.low, "bar_high": column.high,
        "bar_met": score.bar, "unranked": row.unranked, "reason": score.reason,
        "fit_seconds": plain(row.cost.fit_seconds), "peak_mb": plain(row.cost.peak_mb),
    }  # fmt: skip
    if margin is not None:
        line |= {"margin": plain(margin.value), "margin_lo": plain(margin.lo), "margin_hi": plain(margin.hi)}
        line |= {"margin_control": margin.control, "margin_verdict": margin.verdict}
    return line | counts


def json_text(board: Board) -> str:
    """Return the board as JSON: the same rows with every detail, records by the path they lie at."""
    return json.dumps(_jsonable(board), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _jsonable(board: Board) -> dict[str, Any]:
    return {
        "records": board.records,
        "newest": board.newest,
        "versions": list(board.versions),
        "problems": [asdict(problem) for problem in board.problems],
        "tables": [_json_table(table) for table in board.tables],
    }


def _json_table(table: Table) -> dict[str, Any]:
    return {
        "key": table.key, "task": table.task, "title": table.title, "version": table.version, "track": table.track,
        "hash": table.hash, "l0": table.l0, "newest": table.newest, "facts": dict(table.facts),
        "differs": dict(table.differs), "notes": list(table.notes), "columns": [asdict(c) for c in table.columns],
        "rows": list(_json_rows(table)),
    }  # fmt: skip


def _json_rows(table: Table) -> Iterator[dict[str, Any]]:
    for row in table.rows:
        yield {
            "key": row.key, "label": row.label, "method": row.name, "title": row.title, "identity": row.identity,
            "role": formats.role(row), "of": row.of, "source": row.source, "seeded": row.seeded, "causal": row.causal,
            "params": row.params, "unranked": row.unranked, "warnings": list(row.warnings), "cost": asdict(row.cost),
            "seeds": [{"seed": s.seed, "status": s.status, "reason": s.reason, "path": s.path} for s in row.seeds],
            "scores": {column.name: _json_score(row.scores[column.name]) for column in table.columns},
        }  # fmt: skip


def _json_score(score: Score) -> dict[str, Any]:
    found = asdict(score)
    for key in ("value", "lo", "hi", "seed_sd"):
        found[key] = plain(found[key])
    found["by_seed"] = {str(seed): plain(value) for seed, value in score.by_seed.items()}
    if score.margin is not None:
        numbers = {key: plain(found["margin"][key]) for key in ("value", "lo", "hi")}
        found["margin"] = found["margin"] | numbers | {"verdict": score.margin.verdict}
    return found
