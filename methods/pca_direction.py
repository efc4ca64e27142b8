"""PCA direction: the first principal component of activations around the words of a task (arXiv 2501.17148)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Setting, Train
from harness.training.directions import Direction, behaviour_of, mean_of


class PCADirection(Direction):
    """Adds the first component; its sign is that of the difference of the means around the words and elsewhere."""

    @dataclass(frozen=True)
    class Params:
        """``pca_direction`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting)
        self.found: dict[str, float] = {}

    def choose(self, train: Train) -> Tensor:
        """Diagonalise the covariance of the rows around the words, accumulated in float64."""
        in_N = behaviour_of(train).in_N
        mean_D = mean_of(train.x, in_N)
        scatter_DD = torch.zeros(len(mean_D), len(mean_D), dtype=torch.float64)
        for part_n in torch.split(torch.nonzero(in_N).flatten(), 8192):
            centred_ND = train.x.take(part_n).double() - mean_D
            scatter_DD += centred_ND.T @ centred_ND
        values_D, vectors_DD = torch.linalg.eigh(scatter_DD)  # ascending
        self.found["explained"] = float(values_D[-1] / values_D.sum().clamp_min(1e-30))
        first_D: Tensor = vectors_DD[:, -1]
        towards = first_D @ (mean_D - mean_of(train.x, ~in_N))
        return first_D.float() if towards >= 0 else -first_D.float()

    def summary(self) -> dict[str, float]:
        """Return the unit, and the share of the variance around the words that the component holds."""
        return super().summary() | self.found
