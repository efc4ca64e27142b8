"""Dictionaries trained on the largest pre-activations of a batch and used with one threshold (arXiv 2412.06410)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.api import Setting, Train
from harness.checkpoints.card import OneLayer
from harness.training.active import Active, batch_top_k
from harness.training.autoencoder import Autoencoder
from harness.training.dead import AuxK, Revival
from harness.training.loop import Moment, Optim, Rule
from harness.training.rules import UnitRows
from harness.training.threshold import MovingThreshold, calibrate, checked


class Thresholded(Autoencoder):
    """Training keeps the ``l0 * B`` largest of a batch; inference keeps what exceeds one threshold, set on ``val``.

    The loss is the method's; it tells ``note`` about each batch.
    """

    threshold: Tensor

    def __init__(self, setting: Setting, optim: Optim, aux: AuxK) -> None:
        super().__init__(setting, optim)
        self.aux = aux
        self.moving = MovingThreshold()
        self.register_buffer("threshold", torch.tensor(torch.nan))

    def begin(self, train: Train) -> Sequence[Rule]:
        """Revive dead latents; keep decoder rows at norm 1."""
        self.revival = Revival(self.aux, self)
        return (self.revival, UnitRows(self.W_dec))

    def code(self, pre_NF: Tensor) -> Tensor:
        """Return pre-activations above the threshold, else 0."""
        return torch.where(pre_NF > checked(self.threshold), pre_NF, 0.0)

    def select(self, pre_BF: Tensor) -> Active:
        """Return the ``l0 * B`` largest positive entries."""
        return batch_top_k(pre_BF, self.setting.l0, guess=self.moving.last)

    def note(self, active: Active, value_E: Tensor, x_BD: Tensor, xhat_BD: Tensor, moment: Moment) -> None:
        """Take a batch's code and reconstruction, for threshold and revival."""
        self.moving.see(float(value_E.detach().min()), moment.steps)
        self.revival.see(active, value_E, x_BD, xhat_BD)

    def finish(self, train: Train) -> None:
        """Set the threshold that gives ``l0`` on ``val``."""
        self.threshold.fill_(calibrate(self.pre_activation_chunks(train.val), self.setting.l0, len(train.val)))
        self.found |= {"threshold": float(self.threshold)}
        if self.trained:
            self.found |= self.revival.summary() | {"threshold_in_training": self.moving.value}

    def portable(self) -> OneLayer:
        """Return the dictionary as other libraries hold it."""
        return self.one_layer("threshold", threshold=checked(self.threshold).expand(len(self.W_dec)))
