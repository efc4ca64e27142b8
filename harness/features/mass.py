"""Which token types carry a latent's activation."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
# Chunks are merged when they hold this many entries together.
_MERGE = 2**21


class TokenMass:
    """Sums absolute activation by (latent, token type); holds one entry for each pair that occurred."""

    def __init__(self, types: int) -> None:
        self.types = types
        self._key, self._sum = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.float64)
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._count = 0

    def add(self, z_MF: Tensor, type_M: Tensor) -> None:
        """Add the tokens of a chunk."""
        token, latent = torch.nonzero(z_MF, as_tuple=True)
        key, slot = torch.unique(latent * self.types + type_M[token], return_inverse=True)
        total = torch.zeros(key.shape[0], dtype=torch.float64).index_add_(0, slot, z_MF[token, latent].abs().double())
        self._waiting.append((key, total))
        self._count += key.shape[0]
        if self._count > _MERGE:
            self._merge()

    def _merge(self) -> None:
        key = torch.cat([self._key, *(k for k, _ in self._waiting)])
        value = torch.cat([self._sum, *(v for _, v in self._waiting)])
        self._key, slot = torch.unique(key, return_inverse=True)
        self._sum = torch.zeros(self._key.shape[0], dtype=torch.float64).index_add_(0, slot, value)
        self._waiting, self._count = [], 0

    def of(self, latent: int) -> tuple[NDArray[np.int64], Array]:
        """Return ``(types, shares)`` of one latent, the largest share first; empty where it never fired."""
        if self._waiting:
            self._merge()
        bounds = torch.searchsorted(self._key, torch.tensor([latent, latent + 1]) * self.types)
        part = slice(int(bounds[0]), int(bounds[1]))
        share, type_ = self._sum[part].numpy(), (self._key[part] % self.types).numpy()
        order = np.lexsort((type_, -share))
        return type_[order], share[order] / max(share.sum(), 1e-300)


def token_conc(share_V: Array, top: int = 10) -> float:
    """Return the share of a latent's activation on its ``top`` token types."""
    return float(share_V[:top].sum())


def token_entropy(share_V: Array, types: int) -> float:
    """Return the entropy of the shares over that of equal shares on all types that occur, in [0, 1]."""
    if types < 2:
        return 0.0
    p_V = share_V[share_V > 0]
    return float(-(p_V * np.log(p_V)).sum() / np.log(types)) + 0.0
