"""Codes whose sparsity changes while training: the same objective on all entries or on the active ones.

A penalised dictionary starts with half of its latents active and ends with a few in a hundred. Lists of entries are
faster below ``DENSE_SHARE``, whole matrices above it, several times either way. An objective is written once, on
``pre`` and ``value`` of whichever shape (``...``): ``[E]`` of the active entries, or ``[N, F]``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.training.active import Active, above, count_above
from harness.training.kernel import DENSE_SHARE, Encoder, Scratch, decode, encode, latent_sums


class Code(ABC):
    """Pre-activations of a batch, ``pre`` of shape ``...``; every entry that is left out has the value 0."""

    pre: Tensor

    @abstractmethod
    def per_entry(self, part_F: Tensor) -> Tensor:
        """Return what belongs to each entry's latent, to be used against ``pre``; differentiable."""

    @abstractmethod
    def sums(self, value: Tensor) -> Tensor:
        """Return the sum of each latent's values over the batch, ``[F]``; differentiable."""

    @abstractmethod
    def decode(self, value: Tensor, W_dec_FD: Tensor, b_dec_D: Tensor) -> Tensor:
        """Return ``value @ W_dec + b_dec``, ``[N, D]``; differentiable."""


@final
class Listed(Code):
    """The active entries."""

    def __init__(self, active: Active, pre_E: Tensor) -> None:
        self.active = active
        self.pre = pre_E

    def per_entry(self, part_F: Tensor) -> Tensor:
        """Return ``[E]``."""
        return part_F.index_select(0, self.active.latent_E)

    def sums(self, value: Tensor) -> Tensor:
        """Return ``[F]``."""
        return latent_sums(self.active, value)

    def decode(self, value: Tensor, W_dec_FD: Tensor, b_dec_D: Tensor) -> Tensor:
        """Return ``[N, D]``."""
        return decode(self.active, value, W_dec_FD, b_dec_D)


@final
class Whole(Code):
    """All entries."""

    def __init__(self, pre_NF: Tensor) -> None:
        self.pre = pre_NF

    def per_entry(self, part_F: Tensor) -> Tensor:
        """Return ``[F]``, which broadcasts."""
        return part_F

    def sums(self, value: Tensor) -> Tensor:
        """Return ``[F]``."""
        return value.sum(0)

    def decode(self, value: Tensor, W_dec_FD: Tensor, b_dec_D: Tensor) -> Tensor:
        """Return ``[N, D]``."""
        return torch.addmm(b_dec_D, value, W_dec_FD)


class Coder:
    """Chooses the form of each batch's code by how many entries the last one had; a GPU always takes matrices."""

    def __init__(self) -> None:
        self.share = 1.0

    def __call__(self, weights: Encoder, x_ND: Tensor, bound: float, scratch: Scratch) -> Code:
        """Return the code of a batch whose active entries lie above ``bound``; not differentiable in ``x_ND``."""
        if x_ND.is_cuda or self.share > DENSE_SHARE:
            pre_NF: Tensor = _EncodeWhole.apply(*weights, x_ND)  # type: ignore[no-untyped-call]
            self.share = count_above(pre_NF.detach(), bound) / pre_NF.numel()
            return Whole(pre_NF)
        active, pre_E = encode(weights, x_ND, lambda pre_NF: above(pre_NF, bound), scratch)
        self.share = active.entries / (active.rows * active.latents)
        return Listed(active, pre_E)


class _EncodeWhole(torch.autograd.Function):
    """Autograd would take the gradient of inputs, a fifth more work, for the sake of its sum over rows."""

    @staticmethod
    def forward(ctx: Any, W_FD: Tensor, bias_F: Tensor, centre_D: Tensor | None, given_ND: Tensor) -> Tensor:
        x_ND = Encoder(W_FD, bias_F, centre_D).inputs(given_ND)
        ctx.save_for_backward(x_ND, W_FD)
        return torch.addmm(bias_F, x_ND, W_FD.T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dpre_NF: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, W_FD = ctx.saved_tensors
        dbias_F = dpre_NF.sum(0)
        dcentre_D = -(dbias_F @ W_FD) if ctx.needs_input_grad[2] else None
        return dpre_NF.T @ x_ND, dbias_F, dcentre_D, None
