"""Codes of a whole split, computed once and held as their entries that are not 0."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Activations, Dictionary

ROWS = 2048


@dataclass(frozen=True)
class StoredCodes:
    """Codes ``[N, F]`` row after row, on one device.

    Attributes:
        value_E: float32, the entries.
        latent_E: int64, the latent of each.
        start_N: int64 ``[N + 1]``, where each row's entries begin.
        latents: ``F``.
    """

    value_E: Tensor
    latent_E: Tensor
    start_N: Tensor
    latents: int

    @classmethod
    @torch.no_grad()
    def of(cls, dictionary: Dictionary, x: Activations, device: torch.device) -> StoredCodes:
        """Encode every row of a split, whole documents at a time."""
        values, latents, counts = [], [], [torch.zeros(1, dtype=torch.int64, device=device)]
        for x_ND, doc_N in x.documents(ROWS):
            z_NF = dictionary.encode(x_ND.to(device), doc_N.to(device))
            row_E, latent_E = z_NF.nonzero(as_tuple=True)
            values.append(z_NF[row_E, latent_E])
            latents.append(latent_E)
            counts.append(torch.bincount(row_E, minlength=len(z_NF)))
        width = dictionary.directions().shape[0]
        return cls(torch.cat(values), torch.cat(latents), torch.cat(counts).cumsum(0), width)

    def __len__(self) -> int:
        return len(self.start_N) - 1

    def take(self, index_N: Tensor) -> Tensor:
        """Return rows ``index_N`` (int64) as dense codes ``[n, F]``."""
        index_N = index_N.to(self.start_N.device)
        first_N, count_N = self.start_N[index_N], self.start_N[index_N + 1] - self.start_N[index_N]
        row_E = torch.repeat_interleave(torch.arange(len(index_N), device=index_N.device), count_N)
        before_N = count_N.cumsum(0) - count_N
        entry_E = torch.arange(len(row_E), device=index_N.device) + (first_N - before_N)[row_E]
        z_NF = torch.zeros(len(index_N), self.latents, device=index_N.device)
        z_NF[row_E, self.latent_E[entry_E]] = self.value_E[entry_E]
        return z_NF
