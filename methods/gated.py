"""Gated SAE: which latents are active and how strongly are decided apart (arXiv 2404.16014)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.api import Activations, Setting, Train
from harness.training.autoencoder import Autoencoder, squared_error
from harness.training.codes import Coder
from harness.training.control import Control, L0Controller
from harness.training.loop import Moment, Optim, Rule
from harness.training.rules import UnitRows
from harness.training.threshold import calibrate


class Gated(Autoencoder):
    """``pi = W (x - b_dec) + b_enc``, ``f = 1[pi > 0] ReLU(exp(r) W (x - b_dec) + b_mag)``.

    The penalty acts on ``ReLU(pi)`` and not on ``f``, so it does not shrink; since the indicator has no gradient, the
    gate learns from an auxiliary reconstruction by ``ReLU(pi)`` through a decoder that does not learn from it.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``gated``; the penalty's coefficient is whatever reaches the task's target L0."""

        optim: Optim
        """optimiser"""
        control: Control
        """how the coefficient is steered to the target L0"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.optim)
        self.params = params
        self.coder = Coder()
        self.log_gain = nn.Parameter(torch.zeros(setting.latents))
        self.b_mag = nn.Parameter(torch.zeros(setting.latents))

    def begin(self, train: Train) -> Sequence[Rule]:
        """Start the controller; keep decoder rows at norm 1."""
        self.control = L0Controller(self.params.control, self.setting.l0, self.spread, self.l0_on(train.val))
        return (UnitRows(self.W_dec),)

    def code(self, pre_NF: Tensor) -> Tensor:
        """Return magnitudes where the gate is open."""
        magnitude_NF = torch.addcmul(self.b_mag, pre_NF - self.b_enc, self.log_gain.exp()).relu()
        return torch.where(pre_NF > 0, magnitude_NF, 0.0)

    def loss(self, x_BD: Tensor, moment: Moment) -> Tensor:
        """Return squared error, penalty, and squared error of the auxiliary reconstruction."""
        code = self.coder(self.encoder(), x_BD, 0.0, self._scratch)
        gate = code.pre.relu()
        # taking the gate's bias out takes its gradient out too
        project = code.pre - code.per_entry(self.b_enc)
        magnitude = torch.addcmul(code.per_entry(self.b_mag), project, code.per_entry(self.log_gain.exp()))
        value = torch.where(code.pre > 0, magnitude.relu(), 0.0)
        xhat_BD = code.decode(value, self.W_dec, self.b_dec)
        aux_BD = code.decode(gate, self.W_dec.detach(), self.b_dec.detach())
        coefficient = self.control(float((value > 0).sum()) / len(x_BD), moment)
        return squared_error(x_BD, xhat_BD) + squared_error(x_BD, aux_BD) + coefficient * gate.sum() / len(x_BD)

    def finish(self, train: Train) -> None:
        """Shift the gate by what little is missing to the target L0 on ``val``; magnitudes stay."""
        reached = self.measure(train.val)["val_l0"]
        shift = calibrate(self._open_gates(train.val), self.setting.l0, len(train.val), floor=-math.inf)
        self.b_enc.sub_(shift)
        self.found |= self.control.summary() | {"l0_before_shift": reached, "shift": shift}

    def _open_gates(self, x: Activations) -> Iterator[Tensor]:
        """Yield the gate's pre-activations of all rows; where the magnitude is 0 the gate could not open."""
        for pre_NF in self.pre_activation_chunks(x):
            magnitude_NF = torch.addcmul(self.b_mag, pre_NF - self.b_enc, self.log_gain.exp())
            yield torch.where(magnitude_NF > 0, pre_NF, -torch.inf)
