"""The tuned lens (arXiv 2303.08112): an affine map before the model's own end, fitted to the model's predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from harness.api import Activations, Read, Setting, Train, Unembedding
from harness.training.distil import Distilled, Rows
from harness.training.loop import Optim


class TunedLens(Distilled):
    """``x + (s x A + b) / s`` before the model's own end; ``s`` scales activations, and ``A`` and ``b`` start at 0."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``tuned_lens``."""

        optim: Optim
        """optimiser"""

    scale: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        # Nothing is drawn but the order of the batches, and that is the same in every fit.
        super().__init__(replace(setting, seed=0), params.optim, "soft")
        self.A = nn.Parameter(torch.zeros(setting.width, setting.width))
        self.b = nn.Parameter(torch.zeros(setting.width))
        self.register_buffer("scale", torch.ones(()))

    @classmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Accept every task: the map is as wide as the model."""

    def begin(self, train: Train) -> None:
        """Start as the logit lens."""
        self.scale.fill_(train.x.scale())

    def reader(self, x: Activations, device: torch.device) -> Rows:
        """Return activations by row."""
        return lambda index_N: x.take(index_N).to(device)

    def given(self, read: Read) -> Tensor:
        """Return the activations."""
        return read.x_ND

    def predict(self, given_NK: Tensor, unembedding: Unembedding) -> Tensor:
        """Return log-probabilities ``[N, V]`` of activations ``[N, D]``."""
        return unembedding.logp(given_NK + torch.addmm(self.b, given_NK * self.scale, self.A) / self.scale)
