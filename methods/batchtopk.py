"""BatchTopK SAE: the k * B largest pre-activations of a batch (arXiv 2412.06410)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Setting, Train
from harness.checkpoints.card import OneLayer
from harness.training.active import Active, batch_top_k
from harness.training.autoencoder import Autoencoder, squared_error
from harness.training.dead import AuxK, Revival
from harness.training.loop import Moment, Optim, Rule
from harness.training.rules import UnitRows
from harness.training.threshold import MovingThreshold, calibrate, checked


class BatchTopK(Autoencoder):
    """Training keeps the ``l0 * B`` largest of a batch; inference keeps what exceeds one threshold, set on ``val``."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``batchtopk``; k is the task's target L0."""

        optim: Optim
        """optimiser"""
        aux: AuxK
        """revival of dead latents"""

    threshold: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.optim)
        self.params = params
        self.moving = MovingThreshold()
        self.register_buffer("threshold", torch.tensor(torch.nan))

    def begin(self, train: Train) -> Sequence[Rule]:
        """Revive dead latents; keep decoder rows at norm 1."""
        self.revival = Revival(self.params.aux, self)
        return (self.revival, UnitRows(self.W_dec))

    def code(self, pre_NF: Tensor) -> Tensor:
        """Return pre-activations above the threshold, else 0."""
        return torch.where(pre_NF > checked(self.threshold), pre_NF, 0.0)

    def select(self, pre_BF: Tensor) -> Active:
        """Return the ``l0 * B`` largest positive entries."""
        return batch_top_k(pre_BF, self.setting.l0, guess=self.moving.last)

    def loss(self, x_BD: Tensor, moment: Moment) -> Tensor:
        """Return squared error."""
        active, value_E, xhat_BD = self.reconstruct(x_BD, self.select)
        self.moving.see(float(value_E.detach().min()), moment.steps)
        self.revival.see(active, value_E, x_BD, xhat_BD)
        return squared_error(x_BD, xhat_BD)

    def finish(self, train: Train) -> None:
        """Set the threshold that gives ``l0`` on ``val``."""
        self.threshold.fill_(calibrate(self.pre_activation_chunks(train.val), self.setting.l0, len(train.val)))
        self.found |= self.revival.summary()
        self.found |= {"threshold": float(self.threshold), "threshold_in_training": self.moving.value}

    def portable(self) -> OneLayer:
        """Return the dictionary as other libraries hold it."""
        return self.one_layer("threshold", threshold=checked(self.threshold).expand(len(self.W_dec)))
