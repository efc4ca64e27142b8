"""Mean only: every activation is reconstructed as the train mean. FVU 1 by definition."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Dictionary, Setting, Train


class MeanOnly(Dictionary):
    """One latent that never fires, so that L0 is 0 and whatever expects a latent finds one."""

    @dataclass(frozen=True)
    class Params:
        """``mean_only`` has no parameters."""

    mean: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(setting.width))

    def fit(self, train: Train) -> None:
        """Take the mean of the train split."""
        self.to(train.device)
        self.mean.copy_(train.x.mean())

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return zeros ``[N, 1]``."""
        return x_ND.new_zeros(x_ND.shape[0], 1)

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return the mean for every row."""
        return self.mean.expand(z_NF.shape[0], -1).clone()

    def directions(self) -> Tensor:
        """Return one zero row ``[1, D]``."""
        return torch.zeros_like(self.mean)[None]

    def summary(self) -> dict[str, float]:
        """Return the norm of the mean."""
        return {"mean_norm": float(self.mean.norm())}
