"""A comparison as Markdown for a comment, as JSON, and as lines of a table. Names are data there too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from harness.board.escaping import inert, plain
from harness.comparison import words
from harness.comparison.findings import Comparison, MetricFinding, TableFinding

COLUMNS = ("task", "metric", "A", "B", "A − B", "95 % interval", "p adjusted", "effect", "verdict")


def lines(comparison: Comparison) -> list[list[str]]:
    """Return one line per table and metric, as ``COLUMNS`` names them."""
    return [
        [words.title(comparison, table), found.metric, words.value(found.a), words.value(found.b),
         words.shift(found.difference), words.interval(found.difference), words.p(found), words.effect(found),
         words.verdict(found)]
        for table in comparison.tables
        for found in table.metrics
    ]  # fmt: skip


def markdown(comparison: Comparison) -> str:
    """Return GitHub-flavoured Markdown: a compact table per task, everything else folded away."""
    found = [f"## {inert(comparison.a)} (A) against {inert(comparison.b)} (B)", ""]
    for table in comparison.tables:
        found += _table(comparison, table)
    found += _alone(comparison)
    found += _folded("How to read this", [f"- {inert(text)}" for text in words.HOW_TO_READ])
    return "\n".join(found).rstrip() + "\n"


def _table(comparison: Comparison, table: TableFinding) -> Iterator[str]:
    yield f"### {inert(words.title(comparison, table))}"
    yield ""
    warnings = ([] if table.matched else [words.l0(table)]) + list(table.notes)
    for text in warnings:
        yield f"> **{inert(text)}**"
        yield ">"
    if warnings:
        yield ""
    yield f"{inert(words.standing(table))}; {words.size(table)}."
    yield ""
    yield "| metric | A | B | A − B | 95 % interval | p | verdict |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for found in table.metrics:
        cells = (words.value(found.a), words.value(found.b), words.shift(found.difference))
        ends = words.interval(found.difference).replace("[", "\\[").replace("]", "\\]")
        yield f"| {inert(_arrow(found))} | {' | '.join(cells)} | {ends} | {words.p(found)} | {_verdict(found)} |"
    yield ""
    yield from _folded("Effects, remarks, and where each side wins", _details(table))


def _arrow(found: MetricFinding) -> str:
    return f"{found.metric} {'↑' if found.direction == 'up' else '↓'}"


def _verdict(found: MetricFinding) -> str:
    text = inert(words.verdict(found))
    return f"**{text}**" if found.better else text


def _details(table: TableFinding) -> list[str]:
    found = [f"- {inert(words.l0(table))}"] if words.l0(table) else []
    for metric in table.metrics:
        remarks = [text for text in (metric.why, words.margin(metric), words.needed(metric)) if text]
        found.append(f"- **{inert(metric.metric)}**: effect {inert(words.effect(metric))}, {words.relative(metric)}")
        found += [f"  - {inert(text)}" for text in remarks]
        if metric.places is not None:
            found.append(f"  - clusters won: {words.clusters_won(metric)}")
            found.append(f"  - clusters most for A: {inert(words.named(metric.places.for_a))}")
            found.append(f"  - clusters most for B: {inert(words.named(metric.places.for_b))}")
            found += [
                f"  - class {inert(one.name)}: {inert(words.shift(one.difference))} "
                f"{inert(words.interval(one.difference))}, clusters A {one.count.a}, B {one.count.b}"
                for one in metric.places.classes
            ]
    return found + [f"- {inert(name)} is not compared: {inert(why)}" for name, why in table.left_out]


def _alone(comparison: Comparison) -> list[str]:
    found = [f"- {inert(text)}" for text in comparison.unpaired]
    found += [f"- {inert(problem.path)}: {inert(problem.reason)}" for problem in comparison.problems]
    return _folded("Not compared", found) if found else []


def _folded(summary: str, body: list[str]) -> list[str]:
    # Markdown inside HTML begins after an empty line.
    return ["<details>", f"<summary>{summary}</summary>", "", *body, "", "</details>", ""]


def json_text(comparison: Comparison) -> str:
    """Return everything as JSON."""
    return json.dumps(jsonable(comparison), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def jsonable(comparison: Comparison) -> dict[str, Any]:
    """Return everything as plain data; numbers have ten figures."""
    found: dict[str, Any] = _rounded(asdict(comparison))
    for table, of_table in zip(found["tables"], comparison.tables, strict=True):
        for metric, of_metric in zip(table["metrics"], of_table.metrics, strict=True):
            metric["better"] = of_metric.better
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return plain(value)
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, (list, tuple)) else value
