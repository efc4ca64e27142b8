"""Cards as text: one row per metric, one column per check."""

from __future__ import annotations

from collections.abc import Sequence

from harness.board.escaping import inert
from harness.specs.reliability import Check, ReliabilityCard

# Seeds at which a table names the detectable difference: the fewest that a board ranks.
SEEDS = 3


def rows_of(cards: Sequence[ReliabilityCard]) -> list[list[str]]:
    """Return the header and one row per card of one task."""
    names = list(dict.fromkeys(name for card in cards for name in card.checks))
    header = ["metric", "verdict", *names, f"detectable at {SEEDS} seeds"]
    return [header, *([c.metric, c.verdict, *(_cell(c.checks.get(n)) for n in names), _least(c)] for c in cards)]


def _cell(check: Check | None) -> str:
    """Return a value with its interval, and whether it failed; a check without verdict has none."""
    if check is None or check.value is None:
        return "failed" if check is not None and check.passed is False else "—"
    interval = "" if check.lo is None or check.hi is None else f" [{check.lo:.2f}, {check.hi:.2f}]"
    word = {True: "", False: " low" if not check.decides else " FAILED", None: " open"}[check.passed]
    return f"{check.value:.3g}{interval}{word}"


def _least(card: ReliabilityCard) -> str:
    least = card.detectable.get(SEEDS)
    return "—" if least is None else f"{least:.3g}"


def markdown_of(cards: Sequence[ReliabilityCard]) -> str:
    """Return a table per task, and under it what stands behind each check that failed or was left open."""
    return "\n".join(_task(task, [c for c in cards if c.task == task]) for task in dict.fromkeys(c.task for c in cards))


def _task(task: str, cards: Sequence[ReliabilityCard]) -> str:
    header, *rows = rows_of(cards)
    methods = ", ".join(f"{name} ({seeds})" for name, seeds in cards[0].methods.items())
    lines = [f"## {inert(task)}", "", _line(header), f"|{' --- |' * len(header)}", *(_line(row) for row in rows), ""]
    lines += [f"Rows, with their seeds: {inert(methods)}.", ""]
    for card in cards:
        lines += [
            f"- {inert(card.metric)}, {inert(name)}: {inert(check.reason or '')}"
            for name, check in card.checks.items()
            if _told(check)
        ]
    return "\n".join([*lines, ""])


def _told(check: Check) -> bool:
    return bool(check.reason) and check.passed is not True and check.value is not None


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(inert, cells))} |"
