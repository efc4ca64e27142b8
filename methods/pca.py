"""PCA: the best linear code of L0 numbers a token, none of whose indices has to be said."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Dictionary, Setting, Train


class PCA(Dictionary):
    """Signed projections on the leading principal components about the train mean, in raw units."""

    @dataclass(frozen=True)
    class Params:
        """``pca`` has no parameters; the number of components is the task's target L0."""

    mean: Tensor
    components: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(setting.width))
        self.register_buffer("components", torch.zeros(min(setting.l0, setting.width), setting.width))
        self.found: dict[str, float] = {}

    def fit(self, train: Train) -> None:
        """Diagonalise the covariance of the train split, accumulated in float64."""
        self.to(train.device)
        mean_D = train.x.mean().double()
        scatter_DD = torch.zeros(len(mean_D), len(mean_D), dtype=torch.float64)
        for x_ND, _ in train.x.documents(8192):
            centred_ND = x_ND.double() - mean_D
            scatter_DD += centred_ND.T @ centred_ND
        values_D, vectors_DD = torch.linalg.eigh(scatter_DD)  # ascending
        leading_KD = vectors_DD.flip(1).T[: len(self.components)]
        # an eigenvector's sign is arbitrary: its largest entry is made positive
        sign_K1 = leading_KD.gather(1, leading_KD.abs().argmax(1, keepdim=True)).sign()
        self.mean.copy_(mean_D)
        self.components.copy_(leading_KD * sign_K1)
        self.found["explained"] = float(values_D[-len(self.components) :].sum() / values_D.sum().clamp_min(1e-30))

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return projections ``[N, K]``."""
        return (x_ND - self.mean) @ self.components.T

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return mean plus weighted components."""
        return torch.addmm(self.mean, z_NF, self.components)

    def directions(self) -> Tensor:
        """Return unit components ``[K, D]``."""
        return self.components.clone()

    def summary(self) -> dict[str, float]:
        """Return the share of the train variance the components hold."""
        return dict(self.found)
