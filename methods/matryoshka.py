"""Matryoshka SAE: a BatchTopK code whose leading latents must reconstruct without the rest (arXiv 2503.17547)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.api import Setting
from harness.errors import CellError
from harness.training.active import Active
from harness.training.dead import AuxK
from harness.training.kernel import decode, encode
from harness.training.loop import Moment, Optim
from harness.training.thresholded import Thresholded


class Matryoshka(Thresholded):
    """Mean over nested prefixes of the latents of the squared error of what each prefix reconstructs alone."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``matryoshka``; k is the task's target L0."""

        optim: Optim
        """optimiser"""
        aux: AuxK
        """revival of dead latents"""
        groups: tuple[float, ...]
        """sizes of the groups that prefixes are made of, as shares of the latents; they add up to 1"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.optim, params.aux)
        self.ends = prefixes(params.groups, setting.latents)

    def loss(self, x_BD: Tensor, moment: Moment) -> Tensor:
        """Return the mean over prefixes of the squared error."""
        active, pre_E = encode(self.encoder(), x_BD, self.select, self._scratch)
        value_E = pre_E.relu()
        split, order_E = by_group(active, self.ends)
        start_BD = self.b_dec - x_BD
        nothing_D = torch.zeros_like(self.b_dec)
        part_PBD = decode(split, value_E.index_select(0, order_E), self.W_dec, nothing_D).view(-1, *x_BD.shape)
        error, left_BD = nested_error(part_PBD, start_BD)
        self.note(active, value_E, x_BD, x_BD + left_BD, moment)
        return error / len(part_PBD)


def nested_error(part_PBD: Tensor, start_BD: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared errors ``start + part_1 + ... + part_p`` summed over ``p`` and width, averaged over the batch.

    Also returned is the last of those errors, ``[B, D]``, without gradient. ``part_PBD`` is overwritten.
    """
    error, left_BD = _NestedError.apply(part_PBD, start_BD)  # type: ignore[no-untyped-call]
    return error, left_BD


class _NestedError(torch.autograd.Function):
    """Running sums in place, there and back: the gradient in a part is the sum of all errors it takes part in."""

    @staticmethod
    def forward(ctx: Any, part_PBD: Tensor, start_BD: Tensor) -> tuple[Tensor, Tensor]:
        part_PBD[0] += start_BD
        for p in range(1, len(part_PBD)):
            part_PBD[p] += part_PBD[p - 1]
        left_BD = part_PBD[-1].clone()
        flat = part_PBD.view(-1)
        ctx.left_PBD = part_PBD
        ctx.mark_non_differentiable(left_BD)
        return flat.dot(flat) / len(start_BD), left_BD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, derror: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        left_PBD = ctx.left_PBD
        for p in reversed(range(len(left_PBD) - 1)):
            left_PBD[p] += left_PBD[p + 1]
        left_PBD *= 2 * derror / left_PBD.shape[1]
        return left_PBD, left_PBD[0]


def prefixes(shares: tuple[float, ...], latents: int) -> tuple[int, ...]:
    """Return where each prefix ends; prefixes that rounding makes equal count once."""
    if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise CellError(f"groups must be positive shares that add up to 1, got {list(shares)} (sum {sum(shares):g})")
    total, ends = 0.0, []
    for share in shares:
        total += share
        ends.append(max(round(total * latents), 1))
    return tuple(dict.fromkeys(ends))


def by_group(active: Active, ends: tuple[int, ...]) -> tuple[Active, Tensor]:
    """Return a code of ``groups * rows`` rows, each holding one row's entries in one group; and the entries' order."""
    end_P = torch.tensor(ends, device=active.latent_E.device)
    group_E = torch.bucketize(active.latent_E, end_P, right=True)
    order_E = group_E.to(torch.uint8 if len(ends) < 256 else torch.int64).sort(stable=True).indices
    count_G = torch.bincount(group_E * active.rows + active.row_E, minlength=active.rows * len(ends))
    return Active(active.latent_E[order_E], count_G.cumsum(0) - count_G, active.latents), order_E
