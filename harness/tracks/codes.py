"""Folded codes of a split as sparse rows, read from disk for every pass: memory does not grow with tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from harness.api import Dictionary
from harness.tracks.coding import codes
from harness.tracks.sums import Contribution

# Entries held at once: 12 bytes each.
ENTRIES = 2**23
Floats = NDArray[np.float64]


def folded(z_NF: Tensor, norm_F: Tensor) -> Contribution:
    """Return ``|code| x ||direction||`` as compressed sparse rows (signed codes count by their size)."""
    value_NF = z_NF.abs() * norm_F
    row_E, column_E = torch.nonzero(value_NF, as_tuple=True)
    per_row = torch.bincount(row_E, minlength=z_NF.shape[0])
    return {
        "indptr": np.concatenate([[0], per_row.cumsum(0).cpu().numpy()]).astype(np.int64),
        "indices": column_E.to(torch.int32).cpu().numpy(),
        "data": value_NF[row_E, column_E].float().cpu().numpy(),
    }


def encoded(method: Dictionary, x_ND: Tensor, doc_N: Tensor) -> Contribution:
    """Encode whole documents, few at a time, and return the folded codes; raises ``CellError`` on a wrong output."""
    norm_F = method.directions().norm(dim=1).to(x_ND.device)
    return stacked([folded(z_NF, norm_F) for _, z_NF in codes(method, x_ND, doc_N)])


def width(method: Dictionary) -> int:
    """Return how many latents a dictionary has."""
    return int(method.directions().shape[0])


def stacked(pieces: Sequence[Contribution]) -> Contribution:
    """Join rows of several pieces."""
    ends = np.cumsum([0, *(piece["indptr"][-1] for piece in pieces)])
    indptr = [np.zeros(1, np.int64), *(p["indptr"][1:] + end for p, end in zip(pieces, ends, strict=False))]
    rest = {name: np.concatenate([piece[name] for piece in pieces]) for name in ("indices", "data")}
    return {"indptr": np.concatenate(indptr), **rest}


class Codes:
    """The codes ``[N, F]`` of a split in chunks of pieces. A single chunk is kept; several are read on every pass.

    The first ``shared`` latents code the document.
    """

    def __init__(self, pieces: Sequence[Contribution], latents: int, shared: int = 0) -> None:
        self._pieces, self.latents, self.shared = pieces, latents, shared
        self._only: sparse.csr_array | None = None

    def chunks(self) -> Iterator[tuple[int, sparse.csr_array]]:
        """Yield the first token of each chunk and its codes ``[n, F]``, float32."""
        if self._only is not None:
            yield 0, self._only
            return
        held: list[Contribution] = []
        entries = start = 0
        for piece in self._pieces:
            if held and entries + piece["data"].size > ENTRIES:
                chunk = self._matrix(held)
                yield start, chunk
                start, held, entries = start + chunk.shape[0], [], 0
            held.append(piece)
            entries += piece["data"].size
        chunk = self._matrix(held)
        if start == 0:
            self._only = chunk
        yield start, chunk

    def _matrix(self, held: Sequence[Contribution]) -> sparse.csr_array:
        joined = stacked(held)
        # int32 throughout: products of matrices whose indices differ in type are converted each time.
        indptr = joined["indptr"].astype(np.int32)
        shape = (indptr.size - 1, self.latents)
        return sparse.csr_array((joined["data"], joined["indices"].astype(np.int32), indptr), shape=shape)

    def weighted(self, rows_RN: sparse.csr_array, columns: NDArray[np.int64] | None = None) -> Floats:
        """Return ``rows @ codes``, float64 ``[R, F]`` (or some columns): sums of codes over the tokens of each row."""
        width = self.latents if columns is None else columns.size
        total = np.zeros((rows_RN.shape[0], width))
        for start, chunk in self.chunks():
            whole = start == 0 and chunk.shape[0] == rows_RN.shape[1]
            rows = rows_RN if whole else rows_RN[:, start : start + chunk.shape[0]]
            total += (rows @ (chunk if columns is None else chunk[:, columns])).toarray()
        return total
