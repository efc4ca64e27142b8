"""JumpReLU SAE: a threshold per latent, learned through a pseudo-derivative (arXiv 2407.14435)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from harness.api import Activations, Setting, Train
from harness.training.active import Active, above
from harness.training.autoencoder import Autoencoder, squared_error
from harness.training.control import Control, L0Controller
from harness.training.kernel import Encoder, decode, encode
from harness.training.loop import Moment, Optim, Rule
from harness.training.rules import UnitRows
from harness.training.threshold import calibrate, checked

SMALLEST_FACTOR = 1e-6


class JumpReLU(Autoencoder):
    """``f = pi 1[pi > theta]``, ``theta = exp(log_theta)``; squared error plus ``lambda * L0``."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``jumprelu``; lambda is whatever reaches the task's target L0."""

        optim: Optim
        """optimiser"""
        control: Control
        """how lambda is steered to the target L0"""
        speed: float
        """what the learning rate of ``log_theta`` is multiplied with"""
        bandwidth: float
        """width of the kernel that stands in for the derivative of the step, in units of the first threshold"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.optim)
        self.params = params
        self.log_theta = nn.Parameter(torch.full((setting.latents,), torch.nan))

    @torch.no_grad()
    def begin(self, train: Train) -> Sequence[Rule]:
        """Start at the threshold that gives the target L0; start the controller; keep decoder rows at norm 1."""
        theta = calibrate(self.pre_activation_chunks(train.val), self.setting.l0, len(train.val), SMALLEST_FACTOR)
        self.log_theta.fill_(theta).log_().div_(self.params.speed)
        self.bandwidth = self.params.bandwidth * theta
        spread = self.spread**2  # a price of a latent, in units of squared error
        self.control = L0Controller(self.params.control, self.setting.l0, spread, self.l0_on(train.val))
        return (UnitRows(self.W_dec),)

    def code(self, pre_NF: Tensor) -> Tensor:
        """Return pre-activations above their latent's threshold, else 0."""
        return torch.where(pre_NF > self.theta_F(), pre_NF, 0.0)

    def theta_F(self) -> Tensor:
        """Return the thresholds."""
        return (self.params.speed * checked(self.log_theta)).exp()

    def loss(self, x_BD: Tensor, moment: Moment) -> Tensor:
        """Return squared error plus ``lambda`` times the mean number of active latents."""
        theta_F = self.theta_F()
        # thresholds go into the bias, so that one number selects; entries just below them carry a gradient too
        shifted = Encoder(self.W_enc, self.b_enc - theta_F.detach(), self.b_dec)
        active, excess_E = encode(shifted, x_BD, self.select, self._scratch)
        theta_E = theta_F.index_select(0, active.latent_E)
        value_E, on_E = jump(excess_E, theta_E, self.bandwidth)
        l0 = on_E.sum() / len(x_BD)
        xhat_BD = decode(active, value_E, self.W_dec, self.b_dec)
        return squared_error(x_BD, xhat_BD) + self.control(float(l0.detach()), moment) * l0

    def select(self, excess_BF: Tensor) -> Active:
        """Return what lies above the lower edge of the kernel about the threshold."""
        return above(excess_BF, -self.bandwidth / 2)

    def finish(self, train: Train) -> None:
        """Scale all thresholds by what little is missing to the target L0 on ``val``."""
        reached = self.measure(train.val)["val_l0"]
        factor = calibrate(self._ratios(train.val), self.setting.l0, len(train.val), SMALLEST_FACTOR)
        self.log_theta.add_(math.log(factor) / self.params.speed)
        self.found |= self.control.summary() | {"l0_before_factor": reached, "factor": factor}
        self.found |= {"bandwidth": self.bandwidth, "median_threshold": float(self.theta_F().median())}

    def _ratios(self, x: Activations) -> Iterator[Tensor]:
        """Yield pre-activations over their thresholds."""
        for pre_NF in self.pre_activation_chunks(x):
            yield pre_NF / self.theta_F()


def jump(excess_E: Tensor, theta_E: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
    """Return values ``pi 1[pi > theta]`` and steps ``1[pi > theta]`` for ``pi = excess + theta``.

    Gradients (arXiv 2407.14435): ``df/dpi = 1[pi > theta]``, ``df/dtheta = -(theta / eps) K``, ``dstep/dtheta = -K/eps``
    with ``K = 1`` within ``eps / 2`` of the threshold on both sides; that of ``excess`` is that of ``pi``.
    """
    value_E, on_E = _Jump.apply(excess_E, theta_E, bandwidth)  # type: ignore[no-untyped-call]
    return value_E, on_E


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, excess_E: Tensor, theta_E: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(excess_E, theta_E)
        ctx.bandwidth = bandwidth
        on_E = (excess_E > 0).to(excess_E.dtype)
        return (excess_E + theta_E) * on_E, on_E

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dvalue_E: Tensor, don_E: Tensor) -> tuple[Tensor | None, ...]:
        excess_E, theta_E = ctx.saved_tensors
        kernel_E = (excess_E.abs() < ctx.bandwidth / 2) / ctx.bandwidth
        return dvalue_E * (excess_E > 0), -kernel_E * (theta_E * dvalue_E + don_E), None
