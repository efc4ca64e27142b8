"""Some documents of a split, chosen by what they say: those nearest to a query, or those least like each other.

Texts are points on a grid (``GRID`` steps to a unit), so that every comparison is of whole numbers and comes out the
same on every machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.data.splits import Document
from harness.specs.data import Select

Points = NDArray[np.float64]
# Products of two unit vectors in these steps add up to 1e12: exact in float64, in whatever order they are added.
GRID = 1_000_000


@dataclass(frozen=True)
class Embedded:
    """Texts as points.

    Attributes:
        x_ND: whole numbers; each row has the length ``GRID``, up to rounding.
        cut_N: whether the end of a text was left out.
    """

    x_ND: Points
    cut_N: NDArray[np.bool_]


class Embedding(Protocol):
    """What makes points of texts. ``weights`` is the SHA-256 of the model's; ``pieces`` is what it reads of a text."""

    @property
    def name(self) -> str:
        """What the model is called."""

    @property
    def weights(self) -> str:
        """SHA-256 of its weights."""

    @property
    def pieces(self) -> int:
        """Word pieces that are read of a text."""

    def __call__(self, texts: Sequence[str]) -> Embedded:
        """Return points, in the order of the texts."""


@dataclass(frozen=True)
class Selected:
    """What was chosen, and by what.

    Attributes:
        by: the model of sentences.
        weights: SHA-256 of its weights.
        ids: by split, the documents in the order they were chosen.
    """

    by: str
    weights: str
    ids: dict[str, tuple[str, ...]]


def nearest(x_ND: Points, query_D: Points, number: int) -> list[int]:
    """Return the rows most like a query (by the cosine), the nearest first; ties keep the order of rows."""
    return [int(row) for row in np.argsort(-(x_ND @ query_D), kind="stable")[:number]]


def diverse(x_ND: Points, number: int) -> list[int]:
    """Return rows that are far from each other, each the one farthest from those before it; ties go to the first.

    Farthest-point traversal (Gonzalez 1985, "Clustering to minimize the maximum intercluster distance"; Ravi,
    Rosenkrantz and Tayi 1994, "Heuristic and special case algorithms for dispersion problems"): no choice of as many
    rows keeps the two nearest of them more than twice as far apart. The first is the row least like the sum of all.
    """
    square_N = np.square(x_ND).sum(1)
    # The sum of all is the one number that may be too large for float64 to be exact.
    row = int(np.argmin(x_ND.astype(np.int64) @ x_ND.sum(0).astype(np.int64)))
    apart_N, chosen = np.full(len(x_ND), np.inf), [row]
    while len(chosen) < min(number, len(x_ND)):
        apart_N = np.minimum(apart_N, square_N + square_N[row] - 2 * (x_ND @ x_ND[row]))
        # Also where all that are left say the same as one that is chosen.
        apart_N[row] = -1
        row = int(np.argmax(apart_N))
        chosen.append(row)
    return chosen


def select(
    splits: Mapping[str, Sequence[Document]], asked: Select, by: Embedding
) -> tuple[dict[str, tuple[Document, ...]], Selected, tuple[str, ...]]:
    """Return splits with the chosen documents alone, in the order they had; what was chosen; and what to know of it.

    Problems of several levels of difficulty are chosen level by level, for only one level is measured.
    """
    query_D = by([asked.nearest]).x_ND[0] if asked.nearest is not None else None
    kept, ids, warnings = dict[str, tuple[Document, ...]](), dict[str, tuple[str, ...]](), list[str]()
    for split, documents in splits.items():
        if split not in (asked.splits or splits):
            kept[split] = tuple(documents)
            continue
        points = by([document.text for document in documents])
        order = _order(documents, points.x_ND, query_D, asked.number)
        ids[split] = tuple(documents[row].id for row in order)
        kept[split] = tuple(documents[row] for row in sorted(order))
        warnings += _warnings(split, points, len(order), asked, by)
    return kept, Selected(by.name, by.weights, ids), tuple(warnings)


def _order(documents: Sequence[Document], x_ND: Points, query_D: Points | None, number: int) -> list[int]:
    levels: dict[int | None, list[int]] = defaultdict(list)
    for row, document in enumerate(documents):
        levels[document.level].append(row)
    order: list[int] = []
    for rows in levels.values():
        own_nD = x_ND[rows]
        found = diverse(own_nD, number) if query_D is None else nearest(own_nD, query_D, number)
        order += [rows[row] for row in found]
    return order


def _warnings(split: str, points: Embedded, chosen: int, asked: Select, by: Embedding) -> list[str]:
    found = []
    if chosen == len(points.x_ND):
        found.append(f"data.select asks for {asked.number} documents of '{split}', which has {chosen}: all are kept")
    elif points.cut_N.any():
        found.append(
            f"data.select compared {int(points.cut_N.sum())} of {len(points.x_ND)} documents of '{split}' by their "
            f"first {by.pieces} word pieces: {by.name} reads no more"
        )
    return found
