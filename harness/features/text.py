"""The tokens that are looked at, and how they are cut into pieces and windows.

A piece is one document in one sequence. Windows are consecutive parts of a piece, of nearly equal length. Kept for the
whole measurement: about 60 bytes a token, whatever the number of latents.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.splits import Document, cut
from harness.data.tokens import TokenBatch

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Text:
    """All tokens of a split, piece after piece.

    Shapes: ``M`` tokens, ``P`` pieces, ``W`` windows.

    Attributes:
        type_M: index of the token's type in ``types_V``.
        types_V: token ids that occur, ascending.
        first_P: where each piece starts; one more entry ends the last.
        doc_P: document of each piece, by its index in the split.
        batch_P: the batch each piece comes from.
        row_P: its row there.
        column_P: the column there at which it starts.
        start_W: where each window starts.
        length_W: its tokens.
        piece_W: its piece.
        side_P: 0 or 1: the half of the groups the piece's document belongs to.
        group_P: index of its group.
    """

    type_M: Ints
    types_V: Ints
    first_P: Ints
    doc_P: Ints
    batch_P: Ints
    row_P: Ints
    column_P: Ints
    start_W: Ints
    length_W: Ints
    piece_W: Ints
    side_P: Ints
    group_P: Ints

    @property
    def piece_M(self) -> Ints:
        """The piece of each token."""
        return np.repeat(np.arange(self.doc_P.size), np.diff(self.first_P))

    def neighbour(self, step: int) -> Ints:
        """Return the type of the token ``step`` places on in the same piece, -1 where there is none: ``[M]``."""
        piece_M = self.piece_M
        at_M = np.arange(self.type_M.size) + step
        inside_M = (at_M >= 0) & (at_M < self.type_M.size)
        at_M = at_M.clip(0, self.type_M.size - 1)
        return np.where(inside_M & (piece_M[at_M] == piece_M), self.type_M[at_M], -1)


def read_text(batches: Sequence[TokenBatch], documents: Sequence[Document], window: int, short: int) -> Text:
    """Go through the batches of a split once, without a model, and note its tokens, pieces and windows."""
    ids: list[Ints] = []
    place: list[tuple[int, int, int, int]] = []
    for number, batch in enumerate(batches):
        for row in range(batch.ids_BT.shape[0]):
            for start, end in _stretches(batch.doc_BT[row].numpy()):
                ids.append(batch.ids_BT[row, start:end].numpy())
                place.append((int(batch.doc_BT[row, start]), number, row, start))
    first_P = np.concatenate([[0], np.cumsum([piece.size for piece in ids])]).astype(np.int64)
    doc_P, batch_P, row_P, column_P = (np.array(column, dtype=np.int64) for column in zip(*place, strict=True))
    types_V, type_M = np.unique(np.concatenate(ids), return_inverse=True)
    start_W, length_W, piece_W = _windows(first_P, window, short)
    side_P, group_P = _sides(doc_P, documents)
    return Text(
        type_M.astype(np.int64), types_V, first_P, doc_P, batch_P, row_P, column_P,
        start_W, length_W, piece_W, side_P, group_P,
    )  # fmt: skip


def _stretches(doc_T: Ints) -> list[tuple[int, int]]:
    edges = [0, *(np.flatnonzero(np.diff(doc_T)) + 1).tolist(), doc_T.size]
    return [(a, b) for a, b in itertools.pairwise(edges) if doc_T[a] >= 0]


def _windows(first_P: Ints, window: int, short: int) -> tuple[Ints, Ints, Ints]:
    start, length, piece = [], [], []
    for p, (a, b) in enumerate(zip(first_P[:-1].tolist(), first_P[1:].tolist(), strict=True)):
        parts = math.ceil((b - a) / window)
        edges = [a + (b - a) * i // parts for i in range(parts + 1)]
        for s, e in itertools.pairwise(edges):
            if e - s >= short:
                start.append(s)
                length.append(e - s)
                piece.append(p)
    return (np.array(values, dtype=np.int64) for values in (start, length, piece))  # type: ignore[return-value]


def _sides(doc_P: Ints, documents: Sequence[Document]) -> tuple[Ints, Ints]:
    """Divide the groups in halves: what a label is made from and what it is tested on share no group."""
    names = sorted({documents[doc].group for doc in doc_P.tolist()})
    number = {name: i for i, name in enumerate(names)}
    try:
        second = cut(names, (0.5, 0.5))[1]
    except ValueError:  # a single group cannot be halved; labels are then null, and say why
        second = frozenset()
    groups = [documents[doc].group for doc in doc_P.tolist()]
    return np.array([int(g in second) for g in groups]), np.array([number[g] for g in groups])
