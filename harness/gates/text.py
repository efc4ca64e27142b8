"""A gate as rows, as Markdown for a pull request, and as JSON. What records say is text there, never markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.board.escaping import inert, plain
from harness.board.formats import DASH, significant
from harness.gates.evidence import ALPHA
from harness.gates.outcome import Comparison, Gate
from harness.gates.verdict import POWER
from harness.stats.paired import Verdict

COLUMNS = ("verdict", "task", "method", "metric", "baseline", "run", "loss", "95 % bounds", "tolerance", "remark")
_ORDER: tuple[Verdict, ...] = ("fail", "inconclusive", "pass")
_MARKS: dict[Verdict, str] = {"fail": "❌ fail", "inconclusive": "⚠️ inconclusive", "pass": "✅ pass"}


def rows(gate: Gate) -> list[list[str]]:
    """Return the comparisons as text, failures first, in the order of ``COLUMNS``."""
    return [_row(found) for verdict in _ORDER for found in gate.of(verdict)]


def _row(found: Comparison) -> list[str]:
    evidence, bounds = found.evidence, found.evidence.bounds
    return [
        found.verdict,
        found.task,
        found.method,
        found.metric,
        _number(found.before),
        _number(found.after),
        _number(evidence.value),
        "" if bounds is None else f"[{significant(bounds[0])}, {significant(bounds[1])}]",
        f"{significant(found.tolerance.value)} ({found.tolerance.basis})",
        remark(found),
    ]


def _number(value: float | None) -> str:
    return DASH if value is None else significant(value, 4)


def remark(found: Comparison) -> str:
    """Say what a reader needs beside the numbers: what a sample would have to be, and what the interval rests on."""
    evidence = found.evidence
    texts = [] if evidence.reason is None else [evidence.reason]
    if evidence.how == "constant":
        texts.append("the same in every cell" if evidence.value == 0 else "the same difference in every cell")
    if evidence.how == "card":
        texts.append("noise between seeds taken from the reliability card")
    if found.verdict == "inconclusive" and evidence.bounds is not None:
        texts.append(_needed(found))
    if found.verdict == "fail" and found.judgement.p is not None:
        texts.append(f"p = {significant(found.judgement.p, 2)} over the whole gate")
    return "; ".join(texts)


def _needed(found: Comparison) -> str:
    wanted, evidence = found.judgement.needed, found.evidence
    if found.tolerance.value == 0:
        return "the tolerance is 0: nothing but equality passes; set one"
    if wanted is None:
        return "no sample in reach would decide at this tolerance"
    seeds = max(evidence.seeds)
    if wanted.seeds <= seeds and wanted.clusters <= evidence.clusters:
        return "enough to pass a true loss of 0, but the loss seen is near the tolerance"
    more = [f"{wanted.clusters} clusters (has {evidence.clusters})"] * (wanted.clusters > evidence.clusters)
    more += [f"{wanted.seeds} seeds a side (has {seeds})"] * (wanted.seeds > seeds)
    return f"{' and '.join(more)} would decide, with {100 * POWER:.0f} % power if the true loss is 0"


def summary(gate: Gate) -> str:
    """Return the outcome in a line."""
    counts = ", ".join(f"{len(gate.of(verdict))} {verdict}" for verdict in _ORDER)
    lost = f", {len(gate.failed)} failed cells" if gate.failed else ""
    missing = f", {len(gate.missing)} missing" if gate.missing else ""
    return f"{gate.verdict}: {counts}{lost}{missing}"


def markdown(gate: Gate) -> str:
    """Return the gate as GitHub-flavoured Markdown: what did not pass in the open, the rest folded."""
    lines = [f"## Gate: {_MARKS[gate.verdict]}", "", f"{summary(gate)}.", ""]
    lines += [_lost(cell.task, cell.method, cell.seed, cell.reason) for cell in gate.failed]
    lines += [f"- ⚠️ {inert(text)}" for text in gate.missing]
    lines += [""] if gate.failed or gate.missing else []
    lines += _table([*gate.of("fail"), *gate.of("inconclusive")])
    lines += _folded(f"{len(gate.of('pass'))} passed", _table(gate.of("pass")))
    said = [*gate.notes, *gate.unpaired, *(f"{problem.path}: {problem.reason}" for problem in gate.problems)]
    lines += _folded(f"{len(said)} remarks", [f"- {inert(text)}" for text in said])
    return "\n".join([*lines, _terms()]) + "\n"


def _lost(task: str, method: str, seed: int, reason: str) -> str:
    cell = f"{inert(method)} on {inert(task)}, seed {seed}"
    return f"- ❌ {cell} failed and did not in the baseline: {inert(reason)}"


def _table(comparisons: Sequence[Comparison]) -> list[str]:
    if not comparisons:
        return []
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    for found in comparisons:
        cells = [_MARKS[found.verdict], *_row(found)[1:]]
        lines.append(f"| {' | '.join(inert(cell) for cell in cells)} |")
    return [*lines, ""]


def _folded(title: str, lines: list[str]) -> list[str]:
    return ["<details>", f"<summary>{title}</summary>", "", *lines, "", "</details>", ""] if lines else []


def _terms() -> str:
    level = f"{100 * (1 - ALPHA):.0f} %"
    return (
        f"Loss: baseline minus run in the metric's better direction (run minus baseline for targets). "
        f"Pass: its one-sided {level} bound is below the tolerance, each metric for itself. Fail: it exceeds the "
        f"tolerance, with at most {100 * ALPHA:.0f} % chance of any such fail in the whole gate where only seeds "
        f"changed (not promised for one seed a side, unless a reliability card tells its noise); or the run lost the "
        f"value, or a cell."
    )


def to_json(gate: Gate) -> dict[str, Any]:
    """Return the gate as plain data for JSON."""
    return {
        "verdict": gate.verdict,
        "comparisons": [_fields(found) for found in gate.comparisons],
        "failed_cells": [
            {"task": cell.task, "method": cell.method, "seed": cell.seed, "reason": cell.reason} for cell in gate.failed
        ],
        "missing": list(gate.missing),
        "unpaired": list(gate.unpaired),
        "notes": list(gate.notes),
        "problems": [{"path": problem.path, "reason": problem.reason} for problem in gate.problems],
    }


def _fields(found: Comparison) -> dict[str, Any]:
    evidence, judgement = found.evidence, found.judgement
    bounds = evidence.bounds or (None, None)
    wanted = judgement.needed
    return {
        "task": found.task,
        "table": found.table,
        "method": found.method,
        "role": found.role,
        "metric": found.metric,
        "unit": found.unit,
        "direction": found.direction,
        "verdict": found.verdict,
        "baseline": plain(found.before),
        "run": plain(found.after),
        "loss": plain(evidence.value),
        "lo": plain(bounds[0]),
        "hi": plain(bounds[1]),
        "p": plain(judgement.p),
        "tolerance": plain(found.tolerance.value),
        "tolerance_basis": found.tolerance.basis,
        "how": evidence.how,
        "seeds": {"run": evidence.seeds[0], "baseline": evidence.seeds[1]},
        "clusters": evidence.clusters,
        "needed": None if wanted is None else {"clusters": wanted.clusters, "seeds": wanted.seeds},
        "reason": evidence.reason,
    }
