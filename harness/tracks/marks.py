"""Where the words of a vocabulary stand among the kept tokens of a split, and where their windows go when shifted.

A **stretch** is one document within one sequence: what the model saw without a break. Kept tokens are numbered over the
whole split, ``0 … N-1``; a stretch is a run of them. Windows are found on whole sequences, then ignored tokens leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from harness.data.tokens import TokenBatch
from harness.data.vocabulary import Entry, find, widen

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Words:
    """Words in a split: ``position_R`` holds the kept tokens in each word's windows, ``count_R`` its occurrences."""

    names: tuple[str, ...]
    position_R: tuple[Ints, ...]
    count_R: tuple[int, ...]

    def union(self) -> Ints:
        """Return the tokens in the windows of any word, each once."""
        return np.unique(np.concatenate([*self.position_R, np.zeros(0, np.int64)]))

    def only(self, chosen: Sequence[int]) -> Words:
        """Return some of the words."""
        names, positions, counts = self.names, self.position_R, self.count_R
        return Words(
            tuple(names[i] for i in chosen), tuple(positions[i] for i in chosen), tuple(counts[i] for i in chosen)
        )


@dataclass(frozen=True)
class Text:
    """The kept tokens of a split.

    Attributes:
        ids_N: token ids.
        stretch_N: stretch of each token, ``0 … S-1``.
        start_S: first token of each stretch.
        length_S: its tokens.
        cluster_S: its cluster.
        batches: the batches with their final masks.
    """

    ids_N: Ints
    stretch_N: Ints
    start_S: Ints
    length_S: Ints
    cluster_S: Ints
    batches: tuple[TokenBatch, ...]

    @classmethod
    def of(cls, batches: Sequence[TokenBatch]) -> Text:
        """Number the kept tokens of batches in order."""
        ids_N, doc_N, row_N, cluster_N = (np.concatenate(parts) for parts in zip(*map(_kept, batches), strict=True))
        first = np.cumsum([0, *(batch.ids_BT.shape[0] for batch in batches)])
        row_N = row_N + np.repeat(first[:-1], [int(batch.keep_BT.sum()) for batch in batches])
        new_N = np.ones(ids_N.size, dtype=bool)
        new_N[1:] = (doc_N[1:] != doc_N[:-1]) | (row_N[1:] != row_N[:-1])
        start_S = np.flatnonzero(new_N)
        length_S = np.diff(np.append(start_S, ids_N.size))
        return cls(ids_N, np.cumsum(new_N) - 1, start_S, length_S, cluster_N[start_S], tuple(batches))

    @property
    def place_N(self) -> Ints:
        """Place of each token in its stretch, from 0."""
        return np.arange(self.ids_N.size) - self.start_S[self.stretch_N]

    def words(self, entries: Sequence[Entry], before: int, after: int) -> Words:
        """Find the words and widen their tokens to windows."""
        found = [self._word(entry, before, after) for entry in entries]
        return Words(tuple(e.word for e in entries), tuple(f[0] for f in found), tuple(f[1] for f in found))

    def _word(self, entry: Entry, before: int, after: int) -> tuple[Ints, int]:
        kept, count = [], 0
        for batch in self.batches:
            ids_BT, doc_BT, keep_BT = batch.ids_BT.numpy(), batch.doc_BT.numpy(), batch.keep_BT.numpy()
            covered_BT, ends_BT = find(ids_BT, doc_BT, entry)
            kept.append(widen(covered_BT, doc_BT, before, after)[keep_BT])
            count += int(ends_BT[keep_BT].sum())
        return np.flatnonzero(np.concatenate(kept)), count


def _kept(batch: TokenBatch) -> tuple[Ints, Ints, Ints, Ints]:
    keep_BT = batch.keep_BT
    row_N = np.nonzero(keep_BT.numpy())[0]
    return _numpy(batch.ids_BT[keep_BT]), _numpy(batch.doc_BT[keep_BT]), row_N, _numpy(batch.cluster_BT[keep_BT])


def _numpy(value: Tensor) -> Ints:
    result: Ints = value.numpy()
    return result


def random_entries(
    text: Text, words: Words, entries: Sequence[Entry], wordlike: Callable[[int], bool], seed: int
) -> list[Entry]:
    """Return a frequency-matched random vocabulary: for each word a token that occurs about as often.

    Drawn among the 5 tokens whose counts are nearest (in ratio), without the tokens of the vocabulary and without
    repetition; among tokens that look like words, where there are enough.
    """
    rng = np.random.default_rng([seed, 1])
    ids, counts = np.unique(text.ids_N, return_counts=True)
    own = {id_ for entry in entries for sequence in entry.sequences for id_ in sequence}
    free = np.array([id_ not in own for id_ in ids.tolist()], dtype=bool)
    like = free & np.array([wordlike(id_) for id_ in ids.tolist()], dtype=bool)
    pool = np.flatnonzero(like if like.sum() >= 5 * len(words.names) else free)
    chosen: list[Entry] = []
    for name, count in zip(words.names, words.count_R, strict=True):
        if pool.size == 0:
            break
        nearest = pool[np.argsort(np.abs(np.log(counts[pool] / max(count, 1))), kind="stable")[:5]]
        pick = int(rng.choice(nearest))
        chosen.append(Entry(f"as frequent as {name}", ((int(ids[pick]),),)))
        pool = pool[pool != pick]
    return chosen


def mask(position_R: Sequence[Ints], tokens: int) -> sparse.csr_array:
    """Return indicator rows ``[R, N]``: 1 where a token is at one of a row's positions."""
    indptr = np.cumsum([0, *(p.size for p in position_R)])
    columns = np.concatenate([*position_R, np.zeros(0, np.int64)])
    return sparse.csr_array((np.ones(columns.size), columns, indptr), shape=(len(position_R), tokens))


def shifted(text: Text, position: Ints, offset_BS: Ints) -> Ints:
    """Return where positions go when every stretch is turned by its offset: ``[B, P]``."""
    stretch = text.stretch_N[position]
    start, length = text.start_S[stretch], text.length_S[stretch]
    return start + (position - start + offset_BS[:, stretch]) % length
