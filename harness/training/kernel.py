"""The sparse kernel: encoder and decoder that touch active entries only, forwards and backwards.

Both are autograd functions, so an objective is written in plain torch on the entries' values. On the CPU a decoder
product is a weighted bag of decoder rows, and both weight gradients are bags of batch rows ordered by latent. Where
many entries are active, or on a GPU, the same functions go through dense products; values agree to rounding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from harness.training.active import Active, Select

DENSE_SHARE = 0.1
"""Share of active entries from which dense products are faster on a CPU (measured: equal at about an eighth)."""


class Scratch:
    """Memory used again at every step: fresh pages for the pre-activations would cost a fifth of a step."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def empty(self, name: str, rows: int, columns: int, like: Tensor) -> Tensor:
        """Return an uninitialised ``[rows, columns]``, valid until the next call under the same name."""
        held = self._held.get(name)
        size = rows * columns
        if held is None or held.numel() < size or held.device != like.device or held.dtype != like.dtype:
            held = self._held[name] = like.new_empty(size)
        return held[:size].view(rows, columns)


class Encoder(NamedTuple):
    """``pre = (x - centre) @ W.T + bias``.

    Attributes:
        W_FD: rows.
        bias_F: bias.
        centre_D: subtracted from inputs, or ``None``; usually the decoder's bias, which then learns through it too.
    """

    W_FD: Tensor
    bias_F: Tensor
    centre_D: Tensor | None

    def inputs(self, x_ND: Tensor) -> Tensor:
        """Return centred inputs."""
        return x_ND if self.centre_D is None else x_ND - self.centre_D

    def pre_activations(self, inputs_ND: Tensor, scratch: Scratch) -> Tensor:
        """Return pre-activations ``[N, F]`` of centred inputs, in the scratch's memory."""
        out_NF = scratch.empty("pre", inputs_ND.shape[0], self.W_FD.shape[0], inputs_ND)
        return torch.addmm(self.bias_F, inputs_ND, self.W_FD.T, out=out_NF)


def encode(weights: Encoder, x_ND: Tensor, select: Select, scratch: Scratch) -> tuple[Active, Tensor]:
    """Return the active entries and their pre-activations ``[E]``, differentiable in the weights (not in ``x_ND``).

    Args:
        weights: encoder rows, bias and centre.
        x_ND: inputs.
        select: which entries are active, given all pre-activations (valid during the call only).
        scratch: memory to work in.
    """
    active: Active
    active, pre_E = _Encode.apply(*weights, x_ND, select, scratch)  # type: ignore[no-untyped-call]
    return active, pre_E


def decode(active: Active, value_E: Tensor, W_dec_FD: Tensor, b_dec_D: Tensor) -> Tensor:
    """Return ``code @ W_dec + b_dec`` as ``[N, D]``, differentiable in values, decoder and bias."""
    out: Tensor = _Decode.apply(active, value_E, W_dec_FD, b_dec_D)  # type: ignore[no-untyped-call]
    return out


def latent_sums(active: Active, value_E: Tensor) -> Tensor:
    """Return the sum of each latent's values over the batch, ``[F]``; differentiable."""
    return value_E.new_zeros(active.latents).index_add(0, active.latent_E, value_E)


def is_dense(active: Active) -> bool:
    """Return whether products with this code go through dense matrices."""
    return active.latent_E.is_cuda or active.entries > DENSE_SHARE * active.rows * active.latents


def _bag(table: Tensor, index_E: Tensor, start: Tensor, weight_E: Tensor) -> Tensor:
    """Return, for each bag, the weighted sum of rows of ``table``."""
    return embedding_bag(index_E, table, start, mode="sum", per_sample_weights=weight_E)


def _weight_gradient(active: Active, value_E: Tensor, row_ND: Tensor) -> Tensor:
    """Return ``code.T @ row_ND`` as ``[F, D]``."""
    if is_dense(active):
        return active.place(value_E).T @ row_ND
    order = active.by_latent
    return _bag(row_ND, order.row_E, order.start_F, value_E[order.order_E])


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, W_FD: Tensor, bias_F: Tensor, centre_D: Tensor | None, *given: Any) -> tuple[Active, Tensor]:
        given_ND, select, scratch = given
        encoder = Encoder(W_FD, bias_F, centre_D)
        x_ND = encoder.inputs(given_ND)
        pre_NF = encoder.pre_activations(x_ND, scratch)
        ctx.active = select(pre_NF)
        ctx.save_for_backward(x_ND, W_FD)
        return ctx.active, ctx.active.pick(pre_NF)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: None, dpre_E: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, W_FD = ctx.saved_tensors
        dbias_F = latent_sums(ctx.active, dpre_E)
        # the centre moves every row alike: its gradient needs the sum over rows only
        dcentre_D = -(dbias_F @ W_FD) if ctx.needs_input_grad[2] else None
        return _weight_gradient(ctx.active, dpre_E, x_ND), dbias_F, dcentre_D, None, None, None


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, active: Active, value_E: Tensor, W_dec_FD: Tensor, b_dec_D: Tensor) -> Tensor:
        ctx.active = active
        ctx.save_for_backward(value_E, W_dec_FD)
        if is_dense(active):
            return torch.addmm(b_dec_D, active.place(value_E), W_dec_FD)
        return _bag(W_dec_FD, active.latent_E, active.start_N, value_E).add_(b_dec_D)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_ND: Tensor) -> tuple[Tensor | None, ...]:
        value_E, W_dec_FD = ctx.saved_tensors
        active: Active = ctx.active
        dvalue_E = _row_products(active, g_ND, W_dec_FD)
        return None, dvalue_E, _weight_gradient(active, value_E, g_ND), g_ND.sum(0)


def _row_products(active: Active, g_ND: Tensor, W_FD: Tensor) -> Tensor:
    """Return ``<g_n, W_f>`` for each entry (n, f), ``[E]``."""
    if is_dense(active):
        return active.pick(g_ND @ W_FD.T)
    # the operator behind the gradient of a bag in its weights: no gathered rows in memory
    out_E: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        g_ND, W_FD, active.latent_E, active.start_N, active.row_E, 0
    )
    return out_E
