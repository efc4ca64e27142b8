"""Gated SAE: which latents are active and how strongly are decided apart (arXiv 2404.16014)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from harness.api import Activations, Setting, Train
from harness.training import compiled
from harness.training.active import is_compiled
from harness.training.autoencoder import Autoencoder, squared_error
from harness.training.codes import Coder
from harness.training.compiled import Array
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
        return gates(pre_NF, *self._gain_and_shift()).value

    def loss(self, x_BD: Tensor, moment: Moment) -> Tensor:
        """Return squared error, penalty, and squared error of the auxiliary reconstruction."""
        code = self.coder(self.encoder(), x_BD, 0.0, self._scratch)
        found = gates(code.pre, *map(code.per_entry, self._gain_and_shift()))
        xhat_BD = code.decode(found.value, self.W_dec, self.b_dec)
        aux_BD = code.decode(found.gate, self.W_dec.detach(), self.b_dec.detach())
        penalty = self.control(found.on / len(x_BD), moment) * found.sums.sum() / len(x_BD)
        return squared_error(x_BD, xhat_BD) + squared_error(x_BD, aux_BD) + penalty

    def _gain_and_shift(self) -> tuple[Tensor, Tensor]:
        """Return what makes magnitudes of the gate's pre-activations; the shift takes the gate's bias out."""
        gain_F = self.log_gain.exp()
        return gain_F, self.b_mag - gain_F * self.b_enc

    def finish(self, train: Train) -> None:
        """Shift the gate by what little is missing to the target L0 on ``val``; magnitudes stay."""
        reached = self.measure(train.val)["val_l0"]
        shift = calibrate(self._open_gates(train.val), self.setting.l0, len(train.val), floor=-math.inf)
        self.b_enc.sub_(shift)
        self.found |= self.control.summary() | {"l0_before_shift": reached, "shift": shift}

    def _open_gates(self, x: Activations) -> Iterator[Tensor]:
        """Yield the gate's pre-activations of all rows; where the magnitude is 0 the gate could not open."""
        for pre_NF in self.pre_activation_chunks(x):
            gain_F, shift_F = self._gain_and_shift()
            magnitude_NF = torch.addcmul(shift_F, gain_F, pre_NF)
            yield torch.where(magnitude_NF > 0, pre_NF, -torch.inf)


class Gates(NamedTuple):
    """What a gate lets through.

    Attributes:
        gate: ``ReLU(pi)``.
        value: ``1[pi > 0] ReLU(gain pi + shift)``.
        sums: ``gate`` summed over rows.
        on: how many values are above 0.
    """

    gate: Tensor
    value: Tensor
    sums: Tensor
    on: int


def gates(pre: Tensor, gain: Tensor, shift: Tensor) -> Gates:
    """Return what gates of pre-activations ``[N, F]`` or ``[E]`` let through; differentiable but for ``on``.

    Args:
        pre: ``pi``.
        gain: of the shape of a row of ``pre``, ``[F]`` or ``[E]``.
        shift: likewise.
    """
    return Gates(*_Gate.apply(pre, gain, shift))  # type: ignore[no-untyped-call]


class _Gate(torch.autograd.Function):
    """One pass over memory each way; with an operator for each sign and sum, passes would cost more than products."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, gain: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        pre = pre.contiguous()
        ctx.save_for_backward(pre, gain, shift)
        if not is_compiled(pre):
            gate, value = pre.relu(), torch.where(pre <= 0, 0.0, torch.addcmul(shift, gain, pre).relu())
            return gate, value, gate.sum_to_size(gain.shape), int(value.count_nonzero())
        gate, value, sums = torch.empty_like(pre), torch.empty_like(pre), torch.zeros_like(gain)
        on = _by_columns(_through_gates, pre, gate, value, torch.stack([gain, shift]), sums)
        return gate, value, sums, sum(on)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dgate: Tensor, dvalue: Tensor, dsums: Tensor, _: None) -> tuple[Tensor, ...]:
        pre, gain, shift = ctx.saved_tensors
        if not is_compiled(pre):
            dvalue = torch.where((pre > 0) & (torch.addcmul(shift, gain, pre) > 0), dvalue, 0.0)
            dpre = torch.where(pre > 0, dgate + dsums, 0.0) + gain * dvalue
            return dpre, (pre * dvalue).sum_to_size(gain.shape), dvalue.sum_to_size(gain.shape)
        dpre, (dgain, dshift) = torch.empty_like(pre), (sums := torch.zeros(2, *gain.shape, dtype=gain.dtype))
        _by_columns(_gradient_of_gates, pre, dgate, dvalue, dpre, torch.stack([gain, shift, dsums]), sums)
        return dpre, dgain, dshift


def _by_columns(loop: Callable[..., int], pre: Tensor, *others: Tensor) -> list[int]:
    """Share columns out, not rows: sums over rows then do not depend on the number of threads."""
    given = [np.atleast_2d(part.contiguous().numpy()) for part in (pre, *others)]
    return compiled.over_rows(lambda start, stop: loop(*given, start, stop), pre.shape[-1])


@compiled.compiled
def _through_gates(
    pre_NF: Array, gate_NF: Array, value_NF: Array, terms_2F: Array, sums_1F: Array, start: int, stop: int
) -> int:
    """Write gates, values and sums of gates, given gains and shifts; return how many values are above 0."""
    zero = pre_NF.dtype.type(0)
    gain_F, shift_F, sums_F = terms_2F[0][start:stop], terms_2F[1][start:stop], sums_1F[0][start:stop]
    on = 0
    for n in range(len(pre_NF)):
        pre_F, gate_F, value_F = pre_NF[n][start:stop], gate_NF[n][start:stop], value_NF[n][start:stop]
        for f in range(len(pre_F)):
            magnitude = gain_F[f] * pre_F[f] + shift_F[f]
            # written so that what is not a number passes, and a fit that explodes is noticed
            gate_F[f] = zero if pre_F[f] <= zero else pre_F[f]
            value_F[f] = zero if (pre_F[f] <= zero) | (magnitude <= zero) else magnitude
        # loops of few arrays each become vector instructions; the row is still in the cache
        for f in range(len(pre_F)):
            sums_F[f] += gate_F[f]
        for f in range(len(pre_F)):
            on += value_F[f] > zero
    return on


@compiled.compiled
def _gradient_of_gates(
    pre_NF: Array,
    dgate_NF: Array,
    dvalue_NF: Array,
    dpre_NF: Array,
    terms_3F: Array,
    sums_2F: Array,
    start: int,
    stop: int,
) -> int:
    """Write gradients in pre-activations, gains and shifts, given gains, shifts and the gradient in sums of gates."""
    zero = pre_NF.dtype.type(0)
    gain_F, shift_F, dsums_F = terms_3F[0][start:stop], terms_3F[1][start:stop], terms_3F[2][start:stop]
    dgain_F, dshift_F = sums_2F[0][start:stop], sums_2F[1][start:stop]
    passed_F = np.empty_like(gain_F)
    for n in range(len(pre_NF)):
        pre_F, dgate_F = pre_NF[n][start:stop], dgate_NF[n][start:stop]
        dvalue_F, dpre_F = dvalue_NF[n][start:stop], dpre_NF[n][start:stop]
        for f in range(len(pre_F)):
            is_on = (pre_F[f] > zero) & (gain_F[f] * pre_F[f] + shift_F[f] > zero)
            passed_F[f] = dvalue_F[f] if is_on else zero
        for f in range(len(pre_F)):
            dpre_F[f] = (dgate_F[f] + dsums_F[f] if pre_F[f] > zero else zero) + gain_F[f] * passed_F[f]
        for f in range(len(pre_F)):
            dgain_F[f] += pre_F[f] * passed_F[f]
        for f in range(len(pre_F)):
            dshift_F[f] += passed_F[f]
    return 0
