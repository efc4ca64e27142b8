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
from harness.training.autoencoder import Autoencoder, squared_error
from harness.training.codes import Coder
from harness.training.control import Control, L0Controller
from harness.training.kernel import Encoder
from harness.training.loop import Moment, Optim, Rule
from harness.training.rules import UnitRows
from harness.training.threshold import calibrate, checked

SMALLEST_FACTOR = 1e-6
LARGEST_RISE = 1.25


class JumpReLU(Autoencoder):
    """``f = pi 1[pi > theta]``, ``theta = exp(speed * log_theta)``; squared error plus ``lambda * L0``."""

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
        self.coder = Coder()
        self.log_theta = nn.Parameter(torch.full((setting.latents,), torch.nan))

    @torch.no_grad()
    def begin(self, train: Train) -> Sequence[Rule]:
        """Start at the threshold that gives the target L0; start the controller; keep decoder rows at norm 1."""
        theta = calibrate(self.pre_activation_chunks(train.val), self.setting.l0, len(train.val), SMALLEST_FACTOR)
        self.log_theta.fill_(theta).log_().div_(self.params.speed)
        self.bandwidth = self.params.bandwidth * theta
        variance = self.spread**2  # lambda is the price of a latent, in units of squared error
        self.free = self.params.control.start * variance
        self.control = L0Controller(self.params.control, self.setting.l0, variance, self.l0_on(train.val))
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
        code = self.coder(shifted, x_BD, -self.bandwidth / 2, self._scratch)
        value, on = jump(code.pre, code.per_entry(theta_F), self.bandwidth)
        l0 = on.sum() / len(x_BD)
        # below zero where the reconstruction alone asks for fewer latents than the target
        price = self.control(float(l0.detach()), moment) - self.free
        return squared_error(x_BD, code.decode(value, self.W_dec, self.b_dec)) + price * l0

    def finish(self, train: Train) -> None:
        """Scale all thresholds by what little is missing to the target L0 on ``val``.

        L0 is raised by a quarter at most: where the reconstruction wants far fewer latents than the target, entries far
        below their thresholds would be let in, each with a large value that means nothing.
        """
        reached = self.measure(train.val)["val_l0"]
        wanted = min(self.setting.l0, math.ceil(reached * LARGEST_RISE))
        factor = calibrate(self._ratios(train.val), wanted, len(train.val), SMALLEST_FACTOR)
        self.log_theta.add_(math.log(factor) / self.params.speed)
        self.found |= self.control.summary() | {"l0_before_factor": reached, "factor": factor}
        self.found |= {"bandwidth": self.bandwidth, "median_threshold": float(self.theta_F().median())}

    def _ratios(self, x: Activations) -> Iterator[Tensor]:
        """Yield pre-activations over their thresholds."""
        for pre_NF in self.pre_activation_chunks(x):
            yield pre_NF / self.theta_F()


def jump(excess: Tensor, theta: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
    """Return values ``pi 1[pi > theta]`` and steps ``1[pi > theta]`` for ``pi = excess + theta``.

    Gradients (arXiv 2407.14435): ``df/dpi = 1[pi > theta]``, ``df/dtheta = -theta K / eps``, ``dstep/dtheta = -K/eps``
    where ``K`` is 1 within ``eps / 2`` of the threshold on both sides; that of ``excess`` is that of ``pi``.

    Args:
        excess: by how much pre-activations exceed the threshold, of any shape.
        theta: thresholds; broadcasts against ``excess``.
        bandwidth: ``eps``.
    """
    value, on = _Jump.apply(excess, theta, bandwidth)  # type: ignore[no-untyped-call]
    return value, on


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, excess: Tensor, theta: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(excess, theta)
        ctx.bandwidth = bandwidth
        on = (excess > 0).to(excess.dtype)
        return (excess + theta) * on, on

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dvalue: Tensor, don: Tensor) -> tuple[Tensor | None, ...]:
        excess, theta = ctx.saved_tensors
        kernel = (excess.abs() < ctx.bandwidth / 2) / ctx.bandwidth
        dtheta = (-kernel * (theta * dvalue + don)).sum_to_size(theta.shape)
        return dvalue * (excess > 0), dtheta, None
