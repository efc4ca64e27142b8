"""PCA of document means plus an SAE on the remainder: a shared code without joint training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Setting
from harness.training.document import Coding, DocumentAutoencoder
from harness.training.loop import Rule


class SharedPCA(DocumentAutoencoder):
    """``z_s = (xbar - mu) P``, ``z_u = BatchTopK(E (x - z_s P^T - b))``, ``xhat = z_s P^T + z_u D + b``."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``shared_pca``."""

        shared: int
        """principal components of the means, at most the width; the unique code has the rest of the task's latents"""
        coding: Coding
        """what all dictionaries with a code per document have in common"""

    centre: Tensor
    components: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        shared = min(params.shared, setting.width)
        super().__init__(setting, params.coding, shared, setting.latents - shared)
        self.register_buffer("centre", torch.zeros(setting.width))
        self.register_buffer("components", torch.zeros(shared, setting.width))

    def begin(self, mean_KD: Tensor) -> Sequence[Rule]:
        """Diagonalise the covariance of the means, each document counting once."""
        mean_KD = mean_KD.double()
        self.centre.copy_(mean_KD.mean(0))
        centred_KD = mean_KD - mean_KD.mean(0)
        _, vectors_DD = torch.linalg.eigh(centred_KD.T @ centred_KD)  # ascending
        leading_RD = vectors_DD.flip(1).T[: self.shared]
        # an eigenvector's sign is arbitrary: its largest entry is made positive
        self.components.copy_(leading_RD * leading_RD.gather(1, leading_RD.abs().argmax(1, keepdim=True)).sign())
        return ()

    def share(self, mean_ND: Tensor) -> Tensor:
        """Return projections."""
        return (mean_ND - self.centre) @ self.components.T

    def shared_rows(self) -> Tensor:
        """Return the components."""
        return self.components

    def inputs(self, x_ND: Tensor, part_ND: Tensor) -> Tensor:
        """Return the remainder."""
        return x_ND - part_ND

    def penalty(self, z_BR: Tensor) -> Tensor:
        """Return 0."""
        return z_BR.new_zeros(())
