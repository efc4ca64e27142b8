"""Latents are matched with true directions, and their firing compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from harness.tracks.sums import Contribution


def abs_cosine(true_GD: Tensor, row_FD: Tensor) -> NDArray[np.float64]:
    """Return ``|cos|`` of every true direction with every latent, ``[G, F]``; a latent without direction has 0."""
    cosine: NDArray[np.float64] = (_unit(true_GD) @ _unit(row_FD).T).abs().clamp(max=1.0).cpu().numpy()
    return cosine


def _unit(row_ND: Tensor) -> Tensor:
    row_ND = row_ND.double()
    norm_N1 = row_ND.norm(dim=1, keepdim=True)
    return row_ND / torch.where(norm_N1 > 0, norm_N1, torch.ones_like(norm_N1))


@dataclass(frozen=True)
class Match:
    """The one-to-one matching of true directions with latents that has the largest sum of |cos|.

    Attributes:
        cos_GF: what was matched.
        true_P, latent_P: the ``min(G, F)`` pairs.
    """

    cos_GF: NDArray[np.float64]
    true_P: NDArray[np.int64]
    latent_P: NDArray[np.int64]

    @classmethod
    def of(cls, cos_GF: NDArray[np.float64]) -> Match:
        """Match (Hungarian algorithm)."""
        true_P, latent_P = linear_sum_assignment(cos_GF, maximize=True)
        return cls(cos_GF, true_P, latent_P)

    def parts(self) -> Contribution:
        """Return what does not depend on tokens; how often a true direction is the nearest one is its ``claims``."""
        nearest_F = self.cos_GF.argmax(axis=0)[self.cos_GF.max(axis=0) > 0]
        count, latents = self.cos_GF.shape
        return {
            "cos_matched": self.cos_GF[self.true_P, self.latent_P],
            "cos_best": self.cos_GF.max(axis=1),
            "claims": np.bincount(nearest_F, minlength=count).astype(np.float64),
            "latents": np.array(float(latents)),
        }

    def supports(self, z_NF: Tensor, code_NG: Tensor) -> dict[str, Tensor]:
        """Return per token and true direction, bool ``[N, G]``: whether it fires, its latent does, and both do."""
        true_NG = code_NG != 0
        latent_NG = torch.zeros_like(true_NG)
        true_P, latent_P = (torch.from_numpy(index).to(z_NF.device) for index in (self.true_P, self.latent_P))
        latent_NG[:, true_P] = z_NF[:, latent_P] != 0
        return {"fire_true": true_NG, "fire_latent": latent_NG, "fire_both": true_NG & latent_NG}
