"""The board as Markdown, CSV and JSON. Whatever records say is data there too: it cannot become markup or a formula."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from harness.board import formats
from harness.board.across import across
from harness.board.apart import imported_json, imported_markdown
from harness.board.escaping import escape_markdown, neutral, plain
from harness.board.overview_text import overview_json, overview_markdown
from harness.board.rows import Board, Column, Reference, Row, Score, Table

_FIELDS = (
    "task", "task_version", "table", "method", "role", "of", "identity", "title", "metric", "unit", "direction",
    "value", "lo", "hi", "interval", "seed_sd", "seeds_ok", "seeds_failed", "seeds_missing", "clusters", "rank", "tied",
    "margin", "margin_lo", "margin_hi", "margin_control", "margin_verdict", "bar_low", "bar_high", "bar_met",
    "unranked", "reason", "diagnostic", "fit_seconds", "measure_seconds", "shared_seconds", "peak_mb", "parameters",
    "train_tokens", "test_tokens", "source",
)  # fmt: skip


def markdown(board: Board) -> str:
    """Return the board as GitHub-flavoured Markdown, one table after the other."""
    lines = ["# Leaderboard", "", _standing(board), "", *overview_markdown(across(board))]
    for table in board.tables:
        lines += _markdown_table(table)
    lines += imported_markdown(board.imported)
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
    places = [formats.column_decimals(table, column) for column in table.columns]
    for row in table.rows:
        texts = [_markdown_score(row.scores[c.name], c, p) for c, p in zip(table.columns, places, strict=True)]
        cells = [escape_markdown(row.label), formats.role(row), *texts, formats.seeds(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", *_remarks(table), *_quoted(table)]


def _quoted(table: Table) -> list[str]:
    """Return the rows quoted from papers: a list of their own, since nothing there may be read across."""
    if not table.references:
        return []
    lines = ["Quoted from papers: other models, data and code; never ranked.", ""]
    for quoted in table.references:
        values = ", ".join(f"{name} {value:g}" for name, value in quoted.values.items()) or "no metric of ours"
        said = ". ".join(text.rstrip(".") for text in (values, quoted.setting, quoted.source, quoted.note) if text)
        lines.append(f"- {escape_markdown(quoted.label)}: {escape_markdown(said)}.")
    return [*lines, ""]


def _markdown_score(score: Score, column: Column, places: int) -> str:
    if score.value is None:
        return formats.DASH
    parts = [formats.fixed(score.value, places), formats.interval(score.lo, score.hi, places)]
    if score.rank is not None:
        parts.append(f"rank {formats.rank(score)}")
    if met := formats.met(column, score):
        parts.append(f"bar {met}")
    if score.margin and score.margin.value is not None:
        margin = f"{formats.signed(score.margin.value, places)} over {escape_markdown(score.margin.control or '')}"
        parts.append(f"{margin} ({formats.VERDICTS[score.margin.verdict or 'no interval']})")
    return "; ".join(part for part in parts if part)


def _remarks(table: Table) -> list[str]:
    lines = [f"- {escape_markdown(note)}" for note in table.notes]
    lines += [
        f"- {escape_markdown(c.name)} is diagnostic only: {escape_markdown(c.diagnostic)}."
        for c in table.columns
        if c.diagnostic
    ]
    for row in table.rows:
        label = escape_markdown(row.label)
        if row.unranked:
            lines.append(f"- {label} is unranked: {escape_markdown(row.unranked)}.")
        lines += [
            f"- {label}, {escape_markdown(v.name)}: **{escape_markdown(v.word)}**. {escape_markdown(v.reason)}."
            for v in row.verdicts
        ]
        lines += [f"- {label}, seed {s.seed}, failed: {escape_markdown(s.reason or '')}" for s in row.failed]
    lines += [f"- {escape_markdown(labels)}: {escape_markdown(text)}" for labels, text in table.warnings]
    return [*lines, ""] if lines else []


def csv_text(board: Board) -> str:
    """Return one line per row and metric; numbers are numbers, and text cannot be a formula.

    Rows quoted from papers have the role ``reference``, their setting as title and their note as reason.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _FIELDS, lineterminator="\n")
    writer.writeheader()
    for table in board.tables:
        for row in table.rows:
            writer.writerows(_neutral(_line(table, row, column)) for column in table.columns)
        for quoted in table.references:
            writer.writerows(_neutral(line) for line in _reference_lines(table, quoted))
    return buffer.getvalue()


def _neutral(line: dict[str, Any]) -> dict[str, Any]:
    return {key: neutral(value) if isinstance(value, str) else value for key, value in line.items()}


def _line(table: Table, row: Row, column: Column) -> dict[str, Any]:
    score, margin = row.scores[column.name], row.scores[column.name].margin
    counts = {f"seeds_{s}": sum(seed.status == s for seed in row.seeds) for s in ("ok", "failed", "missing")}
    line: dict[str, Any] = {
        "task": table.task, "task_version": table.version, "table": table.hash, "method": row.name,
        "role": formats.role(row), "of": row.of, "identity": row.identity, "title": row.title, "metric": column.name,
        "unit": column.unit, "direction": column.direction, "value": plain(score.value), "lo": plain(score.lo),
        "hi": plain(score.hi), "interval": score.how, "seed_sd": plain(score.seed_sd), "clusters": score.clusters,
        "rank": score.rank, "tied": score.tied if score.rank else None, "bar_low": column.low, "bar_high": column.high,
        "bar_met": score.bar, "unranked": row.unranked, "reason": score.reason, "diagnostic": column.diagnostic,
        "source": row.source,
    }  # fmt: skip
    if margin is not None:
        line |= {"margin": plain(margin.value), "margin_lo": plain(margin.lo), "margin_hi": plain(margin.hi)}
        line |= {"margin_control": margin.control, "margin_verdict": margin.verdict}
    return line | counts | _cost(row)


def _cost(row: Row) -> dict[str, float | None]:
    return {name: plain(value) for name, value in vars(row.cost).items()}


def _reference_lines(table: Table, quoted: Reference) -> Iterator[dict[str, Any]]:
    """Yield a line for every value, and one without a metric where there is none."""
    known = {column.name: column for column in table.columns}
    values: list[tuple[str | None, float | None]] = [*quoted.values.items()] or [(None, None)]
    for name, value in values:
        column = known.get(name or "")
        yield {
            "task": table.task, "task_version": table.version, "table": table.hash, "method": quoted.label,
            "role": "reference", "title": quoted.setting, "metric": name, "value": value,
            "unit": column.unit if column else None, "direction": column.direction if column else None,
            "reason": quoted.note, "source": quoted.source,
        }  # fmt: skip


def json_text(board: Board) -> str:
    """Return the board as JSON: the same rows with every detail, a line each, records by the path they lie at."""
    head = {
        "records": board.records,
        "newest": board.newest,
        "versions": list(board.versions),
        "problems": [asdict(problem) for problem in board.problems],
        "overview": overview_json(across(board)),
        "imported": imported_json(board.imported),
    }
    tables = ",\n".join(_table_text(table) for table in board.tables)
    return f'{_dumped(head)[:-1]},\n"tables": [\n{tables}\n]}}\n'


def _dumped(value: Any) -> str:
    # Without indents, which would take Python's slow writer: a board of ten thousand records is 20 MB of JSON.
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _table_text(table: Table) -> str:
    head = {
        "key": table.key, "task": table.task, "title": table.title, "version": table.version, "track": table.track,
        "hash": table.hash, "l0": table.l0, "newest": table.newest, "facts": dict(table.facts),
        "differs": dict(table.differs), "notes": list(table.notes), "columns": [asdict(c) for c in table.columns],
        "references": [asdict(quoted) for quoted in table.references],
    }  # fmt: skip
    rows = ",\n".join(_dumped(_json_row(table, row)) for row in table.rows)
    return f'{_dumped(head)[:-1]},\n"rows": [\n{rows}\n]}}'


def _json_row(table: Table, row: Row) -> dict[str, Any]:
    return {
        "key": row.key, "label": row.label, "method": row.name, "title": row.title, "identity": row.identity,
        "role": formats.role(row), "of": row.of, "source": row.source, "seeded": row.seeded, "causal": row.causal,
        "params": row.params, "unranked": row.unranked, "warnings": list(row.warnings),
        "verdicts": [asdict(verdict) for verdict in row.verdicts], "cost": _cost(row),
        "seeds": [{"seed": s.seed, "status": s.status, "reason": s.reason, "path": s.path} for s in row.seeds],
        "scores": {column.name: _json_score(row.scores[column.name]) for column in table.columns},
    }  # fmt: skip


def _json_score(score: Score) -> dict[str, Any]:
    found = dict(vars(score))
    for key in ("value", "lo", "hi", "seed_sd"):
        found[key] = plain(found[key])
    found["by_seed"] = {str(seed): plain(value) for seed, value in score.by_seed.items()}
    if score.margin is not None:
        numbers = {key: plain(value) for key, value in vars(score.margin).items() if key in ("value", "lo", "hi")}
        found["margin"] = vars(score.margin) | numbers | {"verdict": score.margin.verdict}
    return found
