"""Correlations between latents over all tokens, in memory that does not grow with the tokens.

Every token gets ``S`` random signs; a latent's sketch is the sum of its activations times these signs. The cosine of
two centred sketches estimates the Pearson correlation of the activations, with a standard error of about ``1/sqrt(S)``
(Johnson-Lindenstrauss with random signs, Achlioptas 2003). Tokens have the same signs at every layer, so latents of
different layers can be correlated too.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Sketch:
    """Accumulates sketches ``[F, S]``."""

    def __init__(self, latents: int, signs: int) -> None:
        self._total_FS = torch.zeros(latents, signs)
        self._signs_S = torch.zeros(signs)
        self._sum_F = torch.zeros(latents, dtype=torch.float64)
        self._tokens = 0

    def add(self, z_MF: Tensor, signs_MS: Tensor) -> None:
        """Add tokens."""
        self._total_FS += z_MF.T @ signs_MS
        self._signs_S += signs_MS.sum(0)
        self._sum_F += z_MF.sum(0, dtype=torch.float64)
        self._tokens += z_MF.shape[0]

    def unit(self) -> Tensor:
        """Return centred sketches of unit length ``[F, S]``; zeros for a latent that is constant."""
        mean_F = (self._sum_F / max(self._tokens, 1)).float()
        centred_FS = self._total_FS - mean_F[:, None] * self._signs_S
        norm_F1 = centred_FS.norm(dim=1, keepdim=True)
        # What rounding leaves of a constant latent is no direction.
        floor_F1 = 1e-5 * (self._total_FS.norm(dim=1, keepdim=True) + 1e-30)
        return torch.where(norm_F1 > floor_F1, centred_FS / norm_F1.clamp(min=1e-30), 0.0)


def signs(first: int, tokens: int, width: int) -> Tensor:
    """Return ±1 ``[tokens, width]`` that depend only on where the tokens start."""
    generator = torch.Generator().manual_seed(first + 1)
    return torch.randint(0, 2, (tokens, width), generator=generator, dtype=torch.int8).float() * 2 - 1


def chance(count: int, dims: int) -> float:
    """Return about the largest cosine among all pairs of ``count`` random unit vectors of ``dims`` dimensions.

    ``sqrt(2 ln(pairs) / dims)``, the leading term of the extreme value of that many normal cosines.
    """
    pairs = max(count * (count - 1) // 2, 2)
    return min(math.sqrt(2 * math.log(pairs) / dims), 1.0)
