"""Random direction: what as large a step in no direction in particular does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Setting, Train
from harness.training.directions import Direction, random_directions


class RandomDirection(Direction):
    """Adds an isotropic direction; strength 1 is the mean norm of activations."""

    @dataclass(frozen=True)
    class Params:
        """``random_dir`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting)

    def choose(self, train: Train) -> Tensor:
        """Draw the direction."""
        return random_directions(self.setting.seed, 1, self.setting.width)[0]

    def size(self, train: Train) -> Tensor:
        """Return the mean norm of the train split."""
        return torch.tensor(self.setting.width**0.5 / train.x.scale())
