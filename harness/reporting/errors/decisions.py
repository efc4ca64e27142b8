"""What a probe said of single answers: how often it was right, by its own probability, and examples with their text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.board.pool import Entry
from harness.board.printable import printable
from harness.metrics.contract import Array, Parts
from harness.metrics.errors import BINS
from harness.reporting.contract import Measure, Source, measure
from harness.reporting.errors.findings import Bin, Calibration, Example, Examples
from harness.stats.proportions import acc_ci
from harness.store.items import Item

LISTED = 3
LIMIT = 0.5
# Wrong or not, and said to be or not; a probe is right where they agree.
KINDS = {"caught": (True, True), "missed": (True, False), "false alarm": (False, True), "passed": (False, False)}
# What is shown with text; what was passed is no news.
TOLD = ("caught", "missed", "false alarm")


def calibration(entry: Entry) -> Calibration:
    """Return ten bins of one row, from its first seed."""
    parts = next(iter(entry.measured.values()))
    bin_n = np.minimum((parts["item_p"] * BINS).astype(np.int64), BINS - 1)
    return Calibration(entry.label, tuple(_bin(parts, b, bin_n == b) for b in range(BINS)))


def _bin(parts: Parts, index: int, inside_n: NDArray[np.bool_]) -> Bin:
    edges, n = (index / BINS, (index + 1) / BINS), int(inside_n.sum())
    if n == 0:
        return Bin(*edges, 0, None, Measure(None, reason="no answer"))
    found = measure(acc_ci(parts["item_y"][inside_n], parts["item_cluster"][inside_n]))
    # Of few groups the interval is symmetric, and may leave the range of a share.
    lo, hi = (None if end is None else min(max(end, 0.0), 1.0) for end in (found.lo, found.hi))
    return Bin(*edges, n, float(parts["item_p"][inside_n].mean()), replace(found, lo=lo, hi=hi))


def examples(source: Source, entry: Entry) -> Examples:
    """Return the decisions of one row, from its first seed, and the surest of each kind, of as many groups."""
    parts = next(iter(entry.measured.values()))
    wrong_n, said_n = parts["item_y"] > 0, parts["item_p"] >= LIMIT
    rows = {kind: np.flatnonzero((wrong_n == w) & (said_n == s)) for kind, (w, s) in KINDS.items()}
    counts = {kind: len(found) for kind, found in rows.items()}
    items = source.stored(entry).items()
    reason = _missing(source.stored(entry).record.items_sha256, items, len(wrong_n))
    if items is None or reason:
        return Examples(entry.label, counts, {}, reason)
    said = _said(source, len(wrong_n))
    kinds = {kind: _surest(rows[kind], parts["item_p"], KINDS[kind][1], items, said) for kind in TOLD}
    return Examples(entry.label, counts, kinds)


def _missing(digest: str | None, items: Sequence[Item] | None, answers: int) -> str | None:
    if digest is None:
        return "texts were not kept with these records"
    if items is None:
        return "the texts did not come along with the records; boards leave them in the run folder"
    return None if len(items) == answers else f"{len(items)} texts were kept of {answers} answers"


def _said(source: Source, answers: int) -> dict[str, Array]:
    """Return what every floor said of each answer."""
    found = {control.label: next(iter(control.measured.values())).get("item_p") for control in source.controls}
    return {label: p_n for label, p_n in found.items() if p_n is not None and len(p_n) == answers}


def _surest(
    rows: NDArray[np.int64], p_n: Array, high: bool, items: Sequence[Item], said: Mapping[str, Array]
) -> tuple[Example, ...]:
    order = rows[np.argsort(-p_n[rows] if high else p_n[rows], kind="stable")]
    firsts: dict[str, int] = {}
    for row in order.tolist():
        firsts.setdefault(items[row].group, row)
    return tuple(_example(items[row], row, p_n, said) for row in list(firsts.values())[:LISTED])


def _example(item: Item, row: int, p_n: Array, said: Mapping[str, Array]) -> Example:
    said_of = {label: float(of[row]) for label, of in said.items()}
    author = printable(item.author) if item.author else None
    group, prompt, answer, label = (printable(text) for text in (item.group, item.prompt, item.answer, item.label))
    numbers = printable(dict(item.numbers))
    return Example(group, author, prompt, answer, label, float(p_n[row]), said_of, numbers)
