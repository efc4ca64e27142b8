"""Shared/Unique SAE: one code for a whole document beside a sparse code for each of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from harness.api import Setting
from harness.training.document import Coding, DocumentAutoencoder
from harness.training.loop import Rule
from harness.training.rules import UnitRows


class SharedUnique(DocumentAutoencoder):
    """``z_s = E_s (xbar - b)``, ``z_u = BatchTopK(E_u (x - b))``, ``xhat = z_s D_s + z_u D_u + b``, fitted together."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``shared_unique``; k of the unique code is the task's target L0."""

        shared: int
        """latents of the shared code, at most the width; the unique code has the rest of the task's latents"""
        relu: bool
        """whether negative shared codes are cut off"""
        l1: float
        """weight of the shared code's absolute sum in the objective"""
        coding: Coding
        """what all dictionaries with a code per document have in common"""

    def __init__(self, params: Params, setting: Setting) -> None:
        shared = min(params.shared, setting.width)
        super().__init__(setting, params.coding, shared, setting.latents - shared)
        self.params = params
        self.E_shared = nn.Parameter(torch.zeros(shared, setting.width))
        self.b_shared = nn.Parameter(torch.zeros(shared))
        self.D_shared = nn.Parameter(torch.zeros(shared, setting.width))

    def begin(self, mean_KD: Tensor) -> Sequence[Rule]:
        """Start from the principal components of the means; keep decoder rows at norm 1."""
        centred_KD = mean_KD.double() - mean_KD.double().mean(0)
        _, vectors_DD = torch.linalg.eigh(centred_KD.T @ centred_KD)  # ascending
        row_RD = normalize(vectors_DD.flip(1).T[: self.shared].float(), dim=1)
        self.D_shared.copy_(row_RD)
        self.E_shared.copy_(row_RD)
        return (UnitRows(self.D_shared),)

    def share(self, mean_ND: Tensor) -> Tensor:
        """Return the linear (or rectified) code of the means."""
        z_NR = torch.addmm(self.b_shared, mean_ND - self.b_dec, self.E_shared.T)
        return z_NR.relu() if self.params.relu else z_NR

    def shared_rows(self) -> Tensor:
        """Return ``D_s``."""
        return self.D_shared

    def inputs(self, x_ND: Tensor, part_ND: Tensor) -> Tensor:
        """Return the activations themselves: which part codes what is for the fit to find."""
        return x_ND

    def penalty(self, z_BR: Tensor) -> Tensor:
        """Return ``l1`` times the mean absolute sum."""
        return self.params.l1 * z_BR.abs().sum() / len(z_BR)
