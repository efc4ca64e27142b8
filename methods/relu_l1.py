"""ReLU SAE with an L1 penalty on codes folded with free decoder norms (transformer-circuits, April 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.linalg import vector_norm

from harness.api import Setting, Train
from harness.checkpoints.card import OneLayer
from harness.training.autoencoder import Autoencoder, squared_error
from harness.training.codes import Coder
from harness.training.control import Control, L0Controller
from harness.training.loop import Moment, Optim, Rule
from harness.training.threshold import calibrate


class ReLUL1(Autoencoder):
    """``f = ReLU(pre)``; squared error plus ``lambda * sum_i f_i ||W_dec_i||``."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``relu_l1``; lambda is whatever reaches the task's target L0."""

        optim: Optim
        """optimiser"""
        control: Control
        """how lambda is steered to the target L0"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.optim)
        self.params = params
        self.coder = Coder()

    def begin(self, train: Train) -> Sequence[Rule]:
        """Start the controller; decoder norms are free."""
        self.control = L0Controller(self.params.control, self.setting.l0, self.spread, self.l0_on(train.val))
        return ()

    def code(self, pre_NF: Tensor) -> Tensor:
        """Return what is positive."""
        return pre_NF.relu()

    def loss(self, x_BD: Tensor, moment: Moment) -> Tensor:
        """Return squared error plus penalty."""
        code = self.coder(self.encoder(), x_BD, 0.0, self._scratch)
        value = code.pre.relu()
        norm_F: Tensor = vector_norm(self.W_dec, dim=1)
        penalty = (code.sums(value) * norm_F).sum() / len(x_BD)
        coefficient = self.control(self.coder.share * self.setting.latents, moment)
        return squared_error(x_BD, code.decode(value, self.W_dec, self.b_dec)) + coefficient * penalty

    def finish(self, train: Train) -> None:
        """Shift ``b_enc`` by what little is missing to the target L0 on ``val``; record where the controller ended."""
        reached = self.measure(train.val)["val_l0"]
        shift = calibrate(self.pre_activation_chunks(train.val), self.setting.l0, len(train.val), floor=-math.inf)
        self.b_enc.sub_(shift)
        self.found |= self.control.summary() | {"l0_before_shift": reached, "shift": shift}

    def portable(self) -> OneLayer:
        """Return the dictionary as other libraries hold it."""
        return self.one_layer("relu")
