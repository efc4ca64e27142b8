"""Numbers as text: three or four figures, equal decimals down a column, never more digits than mean something."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from datetime import UTC, datetime

from harness.board.rows import Column, Row, Score, Table, Verdict

DASH = "—"
ARROWS = {"up": "↑", "down": "↓", "target": "◎"}
VERDICTS: dict[Verdict, str] = {
    "above": "above its null",
    "null": "not above its null",
    "below": "below its null",
    "no interval": "no interval",
}
# What rounding leaves of a 0, such as the loss of a perfect reconstruction.
ROUNDING = 1e-9
_FIGURES = 3
_MOST_DECIMALS = 5


def significant(value: float, figures: int = _FIGURES) -> str:
    """Write a number with so many significant figures, in scientific notation where it is very small or large."""
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(float(f"{value:.{figures - 1}e}"))))
    if not -5 <= size < 7:
        mantissa, exponent = f"{value:.{figures - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.{max(figures - 1 - size, 0)}f}"


def decimals(values: Iterable[float]) -> int:
    """Return how many decimals give the typical (median) of the values three figures."""
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return _FIGURES
    return min(max(_FIGURES - 1 - math.floor(math.log10(statistics.median(sizes))), 0), _MOST_DECIMALS)


def fixed(value: float, places: int) -> str:
    """Write a number with so many decimals; one they would leave without meaning gets figures of its own."""
    if value == 0:
        return "0"
    if abs(value) < ROUNDING:
        return "≈0"
    if abs(value) < 10.0 ** (1 - places) or abs(value) >= 1e7:
        return significant(value, 2)
    return f"{value:.{places}f}"


def column_decimals(table: Table, column: Column) -> int:
    """Return the decimals of a column, from its methods, or from all rows where no method has a value."""
    for rows in (table.methods, table.controls):
        values = [row.scores[column.name].value for row in rows]
        found = [value for value in values if value]
        if found:
            return decimals(found)
    return _FIGURES


def interval(lo: float | None, hi: float | None, places: int) -> str:
    """Write an interval, or nothing where there is none."""
    return "" if lo is None or hi is None else f"[{fixed(lo, places)}, {fixed(hi, places)}]"


def signed(value: float, places: int) -> str:
    """Write a difference, always with its sign, in the decimals of the scores it is the difference of."""
    if abs(value) < ROUNDING:
        return "0" if value == 0 else "≈0"
    # Below half of the last decimal one figure is kept, so that no difference looks like none.
    small = abs(value) < 0.5 * 10.0**-places
    text = significant(value, 1) if small else f"{value:.{places}f}"
    return text if value < 0 else f"+{text}"


def rank(score: Score) -> str:
    """Write a rank, with ``=`` where others share it."""
    return "" if score.rank is None else f"{score.rank}{'=' if score.tied else ''}"


def bar(column: Column) -> str:
    """Write the bar of a column, or nothing where there is none."""
    low, high = column.low, column.high
    whole = " (whole interval)" if column.whole else ""
    if low is not None and high is not None:
        return f"{low:g} to {high:g}{whole}"
    if high is not None:
        return f"≤ {high:g}{whole}"
    return f"≥ {low:g}{whole}" if low is not None else ""


def met(column: Column, score: Score) -> str:
    """Say whether a score meets its column's bar, or nothing where there is no bar or no value."""
    if score.bar is None:
        return "not decided" if column.level.given and score.value is not None else ""
    return "met" if score.bar else "missed"


def better(column: Column) -> str:
    """Say in words which side is better."""
    return {"up": "higher is better", "down": "lower is better"}.get(column.direction, "target, unranked")


def seconds(value: float | None) -> str:
    """Write a duration."""
    if value is None:
        return DASH
    if value < 90:
        return f"{significant(value, 2) if value < 10 else f'{value:.0f}'} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def megabytes(value: float | None) -> str:
    """Write an amount of memory."""
    if value is None:
        return DASH
    return f"{value:.0f} MB" if value < 1000 else f"{value / 1024:.1f} GB"


def amount(value: float | None) -> str:
    """Write a count in thousands or millions."""
    if value is None:
        return DASH
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{significant(value / size)} {letter}"
    return f"{value:.0f}"


def date(text: str | None) -> str:
    """Write a time in words; one that is not a time as it is."""
    try:
        return f"{datetime.fromisoformat(text or '').astimezone(UTC):%-d %B %Y, %H:%M} UTC"
    except ValueError:
        return text or "no date"


def role(row: Row) -> str:
    """Name the role of a row."""
    return row.role or "method"


def seeds(row: Row) -> str:
    """Write how many cells of a row were measured, failed and are missing."""
    counts = {state: sum(seed.status == state for seed in row.seeds) for state in ("ok", "failed", "missing")}
    rest = [f"{counts[state]} {state}" for state in ("failed", "missing") if counts[state]]
    return ", ".join((str(counts["ok"]), *rest))


def visible(token: str) -> str:
    """Return a token with its blanks made visible."""
    return token.replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥") or "∅"
