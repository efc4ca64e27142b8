"""Right and wrong answers of two rows to the same items, one fit against one: McNemar's exact test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from harness.board.pairs import Pair
from harness.metrics.contract import Metric, Parts
from harness.stats.turned import turned


def item_notes(pair: Pair, metrics: Sequence[Metric]) -> tuple[str, ...]:
    """Say of every share of right answers how many items only one side gets right.

    Only where every cluster is one item: of larger ones the sums do not tell which items are right. It is no verdict,
    which needs more than one fit, and all metrics of the table at once.
    """
    notes = []
    for metric in metrics:
        each = list(_each(pair, metric)) if metric.share else []
        if each:
            notes.append(f"{metric.name}, item by item, one fit against one (McNemar's exact test): {'; '.join(each)}.")
    return tuple(notes)


def _each(pair: Pair, metric: Metric) -> Iterator[str]:
    for a, b in _matches(pair.a.measured, pair.b.measured):
        parts_a, parts_b = pair.a.measured[a], pair.b.measured[b]
        held = [parts.get(metric.share or "") for parts in (parts_a, parts_b)]
        single = all((parts["n"] == 1).all() for parts in (parts_a, parts_b))
        right_a, right_b = held
        if right_a is None or right_b is None or not single or not np.isin(np.stack([right_a, right_b]), (0, 1)).all():
            continue
        found = turned(right_b, right_a, np.arange(len(right_a)))
        yield f"A alone is right on {found.gained}, B alone on {found.lost}, p = {found.p:.2g} (seeds {a} and {b})"


def _matches(a: Mapping[int, Parts], b: Mapping[int, Parts]) -> Iterator[tuple[int, int]]:
    """Yield the seeds that are held against each other: in order, or the only one of a side against all."""
    first, second = list(a), list(b)
    if len(first) == 1 or len(second) == 1:
        yield from ((i, j) for i in first for j in second)
    elif len(first) == len(second):
        yield from zip(first, second, strict=True)
