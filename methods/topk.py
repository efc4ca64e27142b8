"""TopK SAE: of each token, the k largest pre-activations (arXiv 2406.04093)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from harness.api import Setting, Train
from harness.checkpoints.card import OneLayer
from harness.training.active import Active, top_k
from harness.training.autoencoder import Autoencoder, squared_error
from harness.training.dead import AuxK, Revival
from harness.training.loop import Moment, Optim, Rule
from harness.training.rules import UnitRows


class TopK(Autoencoder):
    """``f`` keeps the ``l0`` largest ReLU pre-activations of each token, in training and at inference alike."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``topk``; k is the task's target L0."""

        optim: Optim
        """optimiser"""
        aux: AuxK
        """revival of dead latents"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.optim)
        self.params = params

    def begin(self, train: Train) -> Sequence[Rule]:
        """Revive dead latents; keep decoder rows at norm 1."""
        self.revival = Revival(self.params.aux, self)
        return (self.revival, UnitRows(self.W_dec))

    def code(self, pre_NF: Tensor) -> Tensor:
        """Return the ``l0`` largest of each row, clipped at 0."""
        active = self.select(pre_NF)
        return active.place(active.pick(pre_NF).relu())

    def select(self, pre_NF: Tensor) -> Active:
        """Return the ``l0`` largest of each row."""
        return top_k(pre_NF, self.setting.l0)

    def loss(self, x_BD: Tensor, moment: Moment) -> Tensor:
        """Return squared error."""
        active, value_E, xhat_BD = self.reconstruct(x_BD, self.select)
        self.revival.see(active, value_E, x_BD, xhat_BD)
        return squared_error(x_BD, xhat_BD)

    def finish(self, train: Train) -> None:
        """Record how many latents were dead at the end of training."""
        self.found |= self.revival.summary()

    def portable(self) -> OneLayer:
        """Return the dictionary as other libraries hold it."""
        return self.one_layer("topk", k=self.setting.l0)
