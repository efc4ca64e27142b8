"""Findings in words and figures; page, Markdown and terminal say them alike."""

from __future__ import annotations

from harness.board import formats
from harness.reporting.contract import Measure
from harness.reporting.errors.findings import Effects, Table

# Shades of a map; 0 is the ground.
SHADES = 9
READING = (
    "A wrong answer is the positive class. Probabilities come from the fold that did not see the answer's group; a "
    "cluster is a group, and every interval is over clusters, at 95 % where nothing else is said.",
    "Margins are differences of AUROC on the same answers, paired over clusters; a positive one favours the row.",
    "leak_check is balanced accuracy on labels drawn at random for each group where answers, not groups, are divided. "
    "It measures what a split by rows would add, and is no score of a probe.",
    "Every number of a place stands beside the same number where groups have exchanged their labels. A map without its "
    "null beside it says nothing.",
    "Examples are the answers a probe was surest of, one of a group. They show how it errs, and not how often.",
)


def figure(found: Measure) -> str:
    """Write a value with its interval, or a dash."""
    if found.value is None:
        return formats.DASH
    ends = "" if found.lo is None or found.hi is None else f" [{found.lo:.3f}, {found.hi:.3f}]"
    return f"{found.value:.3f}{ends}"


def count(found: Measure) -> str:
    """Write a count, or a mean of counts."""
    return formats.DASH if found.value is None else f"{found.value:.3g}"


def size(table: Table) -> str:
    """Say how many answers there are."""
    return f"{table.answers} answers in {table.groups} groups, {table.wrong:.1%} wrong; read by {table.model}"


def adjusted(table: Table) -> str:
    """Say how conclusions are adjusted."""
    return f"{table.comparisons} intervals are judged together, each at {100 * table.level:.2f} %"


def threshold(found: Effects) -> str:
    """Say what single features come to."""
    if found.reason or found.largest is None:
        return found.reason or "no feature varies"
    told = f"{found.features} features, {found.constant} of them constant; largest |d| {found.largest:.3f}"
    if found.threshold is None:
        return f"{told}; the record holds no threshold"
    return (
        f"{told}. Where groups exchange their labels the largest |d| is below {found.threshold:.3f} in 95 of 100"
        f"{_band(found)}. {found.above} features are above{_top(found)}"
    )


def _top(found: Effects) -> str:
    if found.mean_top is None:
        return ""
    own, null = found.mean_top
    return f". The hundred largest have a mean of {own:.3f}, and of {null:.3f} under exchanged labels"


def _band(found: Effects) -> str:
    if found.null is None:
        return ""
    lo, middle, hi = found.null
    return f" (median {middle:.3f}, 95 % from {lo:.3f} to {hi:.3f})"


def controls(table: Table) -> tuple[str, ...]:
    """Return the controls that margins are taken over, in their order."""
    return tuple(dict.fromkeys(one.control for score in table.scores for one in score.versus))


def shade(found: Measure, low: float, high: float) -> int:
    """Return the shade of a value between two ends, 0 where there is none or it is not above the low one."""
    if found.value is None or found.value <= low:
        return 0
    return min(1 + int((found.value - low) / (high - low) * SHADES), SHADES)


def notes(table: Table) -> tuple[str, ...]:
    """Return what a reader should know of the table, and what its methods' records warn of."""
    warned = (f"{s.label}: {text}" for s in table.scores if s.role is None for text in s.warnings)
    return (*table.notes, *dict.fromkeys(warned))
