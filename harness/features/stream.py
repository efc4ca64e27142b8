"""Walks through a split once and hands out the codes of a few whole pieces at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api import Dictionary
from harness.data.tokens import TokenBatch
from harness.features.text import Text
from harness.tracks.site import Site
from harness.tracks.sums import check_output


@dataclass(frozen=True)
class Chunk:
    """Whole pieces with the folded codes of their tokens.

    Attributes:
        pieces: their numbers in the text, one run.
        z_MF: float32 folded codes ``f_i ||d_i||`` on the CPU, 0 where the token was not measured.
        measured_M: bool, whether the token counts under the task's mask.
    """

    pieces: range
    z_MF: Tensor
    measured_M: NDArray[np.bool_]


class Stream:
    """Reads the test sequences of a site and encodes them with several methods in turn."""

    def __init__(self, site: Site, text: Text, codes: int) -> None:
        self.site, self.text, self.codes = site, text, codes
        self._bounds = np.searchsorted(text.batch_P, np.arange(len(site.test.batches) + 1))

    @torch.no_grad()
    def chunks(self, methods: Mapping[str, Dictionary], progress: Any, label: str) -> Iterator[tuple[str, Chunk]]:
        """Yield ``(name, chunk)`` for every method over every piece; the model runs once for all of them."""
        total = len(self.site.test.batches)
        norms = {name: method.directions().norm(dim=1) for name, method in methods.items()}
        for number, batch in enumerate(self.site.test.batches):
            x_BTD = self.site.read(batch)
            batch = self.site.mask(batch, x_BTD)
            for name, method in methods.items():
                for pieces in self._parts(number, norms[name].shape[0]):
                    yield name, self._encode(method, norms[name], batch, x_BTD, pieces)
            progress(label, number + 1, total)

    def _parts(self, batch: int, latents: int) -> Iterator[range]:
        """Cut the pieces of a batch into runs of at most ``codes`` codes (one piece at least)."""
        first, end = int(self._bounds[batch]), int(self._bounds[batch + 1])
        most = max(self.codes // max(latents, 1), 1)
        start = first
        for p in range(first, end):
            last = p == end - 1
            if last or self.text.first_P[p + 2] - self.text.first_P[start] > most:
                yield range(start, p + 1)
                start = p + 1

    def _encode(self, method: Dictionary, norm_F: Tensor, batch: TokenBatch, x_BTD: Tensor, pieces: range) -> Chunk:
        row, column = self._places(pieces)
        keep_M = batch.keep_BT[row, column]
        x_ND = x_BTD[row.to(x_BTD.device), column.to(x_BTD.device)][keep_M.to(x_BTD.device)].float()
        lengths = np.diff(self.text.first_P)[pieces.start : pieces.stop]
        piece_M = torch.from_numpy(np.repeat(np.arange(len(pieces)), lengths))
        z_MF = torch.zeros(keep_M.shape[0], norm_F.shape[0])
        if x_ND.shape[0]:
            z_NF = method.encode(x_ND, piece_M[keep_M].to(x_ND.device))
            check_output("encode", z_NF, (x_ND.shape[0], norm_F.shape[0]))
            z_MF[keep_M] = (z_NF * norm_F).float().cpu()
        return Chunk(pieces, z_MF, keep_M.numpy())

    def _places(self, pieces: range) -> tuple[Tensor, Tensor]:
        text = self.text
        rows, columns = [], []
        for p in pieces:
            length = int(text.first_P[p + 1] - text.first_P[p])
            rows.append(torch.full((length,), int(text.row_P[p])))
            columns.append(torch.arange(length) + int(text.column_P[p]))
        return torch.cat(rows), torch.cat(columns)
