"""The circular-shift null of ReasonScore: windows keep their shapes and lose their places.

In every shift all windows of a document are turned together by one random offset, drawn per document. The sums over
turned windows are sparse products: a shift costs one visit of every active code under a window. Shifts are taken in
blocks, so memory is ``BLOCK x (R + 1) x F`` whatever the number of tokens.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.api import Progress
from harness.metrics.reasoning import reason_scores
from harness.tracks.codes import Codes, Floats
from harness.tracks.marks import Text, Words, mask, shifted

BLOCK = 25


def null_scores(
    codes: Codes, text: Text, words: Words, alpha: float, shifts: int, seed: int, progress: Progress
) -> NDArray[np.float32]:
    """Return ReasonScore of every latent under every shift, ``[shifts, F]``.

    The dictionary's sums, by which scores are shares, stay those of the windows where they are: a latent is held
    against its own codes elsewhere. Were they shifted too, a latent that is blind to words (a document's shared code)
    would seem to follow them wherever the other latents are weaker inside the windows.

    The same seed gives the same offsets for every method on a text, which pairs them.
    """
    rng = np.random.default_rng([seed, 2])
    everything_F = codes.weighted(sparse.csr_array(np.ones((1, text.ids_N.size))))[0]
    inside_F = codes.weighted(mask([words.union()], text.ids_N.size))[0]
    totals = inside_F.sum(), np.maximum(everything_F - inside_F, 0.0).sum()
    size_R = np.array([p.size for p in words.position_R], dtype=np.float64)
    found = np.empty((shifts, codes.latents), dtype=np.float32)
    for first in range(0, shifts, BLOCK):
        count = min(BLOCK, shifts - first)
        offset_BS = (rng.random((count, text.length_S.size)) * text.length_S).astype(np.int64)
        inside_BF, sum_BRF = window_sums(codes, text, words, offset_BS)
        scores = reason_scores(inside_BF, everything_F - inside_BF, sum_BRF / size_R[:, None], alpha, totals)
        found[first : first + count] = scores
        progress("shifting windows", first + count, shifts)
    return found


def window_sums(codes: Codes, text: Text, words: Words, offset_BS: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the sums over all turned windows ``[B, F]`` and over those of each word ``[B, R, F]``."""
    shifts, count = offset_BS.shape[0], len(words.position_R)
    # The union is the sum of the words less what they share, which is little: half the work of a row of its own.
    shared, extra = _shared(words)
    position = [*words.position_R, shared]
    weight = np.concatenate([*(np.ones(p.size) for p in words.position_R), -extra]).astype(np.float32)
    column_BP = np.concatenate([shifted(text, p, offset_BS) for p in position], axis=1)
    per_row = np.tile([p.size for p in position], shifts)
    indptr = np.concatenate([[0], np.cumsum(per_row)]).astype(np.int32)
    shape = (shifts * (count + 1), text.ids_N.size)
    rows = sparse.csr_array((np.tile(weight, shifts), column_BP.ravel().astype(np.int32), indptr), shape=shape)
    total = codes.weighted(rows).reshape(shifts, count + 1, codes.latents)
    # Rounding may leave a union a little below 0.
    return np.maximum(total.sum(1), 0.0), total[:, :count]


def _shared(words: Words) -> tuple[NDArray[np.int64], Floats]:
    """Return the tokens in windows of several words, and how many words more than one each is in."""
    token, times = np.unique(np.concatenate(words.position_R), return_counts=True)
    return token[times > 1], (times[times > 1] - 1).astype(np.float64)
