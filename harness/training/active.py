"""Which latents are active: sparse codes in compressed rows, and the ways to select them.

A batch of 2 048 rows and 4 608 latents holds 9.4 million pre-activations, of which 65 thousand survive. Nothing here
writes a dense code: what survives is kept as entries ``E`` in row order, the form the kernel multiplies with. On the
CPU compiled loops select; elsewhere, and for types they do not know, array operators do the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from harness.errors import CellError
from harness.training import compiled
from harness.training.compiled import Array

EXPECTED = 64
"""Entries a row for which the search above a threshold is laid out; it changes the speed only."""

Select = Callable[[Tensor], "Active"]
"""From pre-activations ``[N, F]`` to the active entries."""


@dataclass(frozen=True)
class ByLatent:
    """The same entries ordered by latent (compressed columns): one order serves both weight gradients.

    Attributes:
        order_E: int64, the entry that stands at each place.
        row_E: int64, the row of that entry.
        start_F: int64, where each latent's entries begin.
    """

    order_E: Tensor
    row_E: Tensor
    start_F: Tensor


@dataclass(frozen=True)
class Active:
    """Active entries of a code ``[N, F]``, row after row; inside a row in no order.

    Attributes:
        latent_E: int64, the latent of each entry.
        start_N: int64, where each row's entries begin.
        latents: ``F``.
    """

    latent_E: Tensor
    start_N: Tensor
    latents: int

    @property
    def rows(self) -> int:
        """``N``."""
        return int(self.start_N.shape[0])

    @property
    def entries(self) -> int:
        """``E``."""
        return int(self.latent_E.shape[0])

    @cached_property
    def row_E(self) -> Tensor:
        """int64 ``[E]``: the row of each entry."""
        end = torch.tensor([self.entries], device=self.start_N.device)
        count_N = torch.diff(self.start_N, append=end)
        row_N = torch.arange(self.rows, device=self.start_N.device)
        return torch.repeat_interleave(row_N, count_N, output_size=self.entries)

    @cached_property
    def by_latent(self) -> ByLatent:
        """The entries ordered by latent, rows ascending inside one (so sums have one order: bit-equal reruns)."""
        count_F = torch.bincount(self.latent_E, minlength=self.latents)
        start_F = count_F.cumsum(0) - count_F
        if self.latent_E.is_cuda:
            order_E = self.latent_E.sort(stable=True).indices
            return ByLatent(order_E, self.row_E[order_E], start_F)
        order_E, row_E = torch.empty_like(self.latent_E), torch.empty_like(self.latent_E)
        given = (self.latent_E, self.row_E, start_F, order_E, row_E)
        compiled.order_by_latent(*(part.numpy() for part in given))
        return ByLatent(order_E, row_E, start_F)

    def place(self, value_E: Tensor) -> Tensor:
        """Return the dense ``[N, F]`` with ``value_E`` at the entries and 0 elsewhere."""
        dense_NF = value_E.new_zeros(self.rows, self.latents)
        dense_NF[self.row_E, self.latent_E] = value_E
        return dense_NF

    def pick(self, dense_NF: Tensor) -> Tensor:
        """Return the values of ``dense_NF`` at the entries, ``[E]``."""
        return dense_NF.reshape(-1)[self.row_E * self.latents + self.latent_E]


def top_k(pre_NF: Tensor, k: int) -> Active:
    """Return the ``k`` largest of each row (exactly; which of two equal values is taken is not specified)."""
    n, latents = pre_NF.shape
    if k > latents:
        raise CellError(f"k = {k} exceeds the {latents} latents of the dictionary")
    start_N = torch.arange(0, n * k, k, device=pre_NF.device)
    return Active(_top_k_indices(pre_NF, k).reshape(-1), start_N, latents)


def _top_k_indices(pre_NF: Tensor, k: int) -> Tensor:
    """Return indices ``[N, k]``."""
    if is_compiled(pre_NF):
        n, latents = pre_NF.shape
        groups = _groups(latents, k)
        latent_Nk = torch.empty((n, k), dtype=torch.int64)
        pre, out = pre_NF.numpy(), latent_Nk.numpy()
        if all(compiled.over_rows(lambda *rows: compiled.top_k_rows(pre, groups, out, *rows), n)):
            return latent_Nk
    return pre_NF.topk(k, dim=1, sorted=False).indices


def kth_largest(value_NF: Tensor, k: int) -> Tensor:
    """Return the ``k``-th largest of each row, ``[N, 1]``."""
    place = value_NF.shape[1] - k
    if not is_compiled(value_NF):
        return value_NF.kthvalue(place + 1, dim=1, keepdim=True).values
    # numpy selects with vector instructions
    return torch.from_numpy(np.partition(value_NF.numpy(), place, axis=1)[:, place : place + 1])


def positive(pre_NF: Tensor) -> Active:
    """Return every entry above 0."""
    return above(pre_NF, 0.0)


def above(pre_NF: Tensor, threshold: float | Tensor) -> Active:
    """Return every entry above ``threshold`` (a number, or ``[F]``)."""
    if isinstance(threshold, Tensor) or not is_compiled(pre_NF):
        return _from_mask(pre_NF > threshold)
    found = _above(pre_NF, threshold)
    return _active(found.latent_E, found.count_N, pre_NF.shape[1])


def count_above(pre_NF: Tensor, bound: float) -> int:
    """Return how many entries exceed ``bound``."""
    if not is_compiled(pre_NF):
        return int((pre_NF > bound).sum())
    pre = pre_NF.numpy()
    return sum(compiled.over_rows(lambda *rows: compiled.count_above(pre, bound, *rows), len(pre)))


def batch_top_k(pre_NF: Tensor, k: int, guess: float) -> Active:
    """Return the ``k * N`` largest entries of the batch, positive ones only.

    Args:
        pre_NF: pre-activations.
        k: mean number per row.
        guess: a value that about ``k * N`` entries exceed, such as the last batch's bound; it only changes the speed.
    """
    wanted = k * pre_NF.shape[0]
    if not is_compiled(pre_NF):
        return _from_mask(_largest(pre_NF, wanted) & (pre_NF > 0))
    found = _at_least(pre_NF, wanted, guess)
    latent_E, excess = found.latent_E, len(found.latent_E) - wanted
    if excess > 0:
        border = np.partition(found.value_E, excess)[excess]
        latent_E = compiled.keep_largest(*found, border, wanted)
    return _active(latent_E, found.count_N, pre_NF.shape[1])


class _Found(NamedTuple):
    """Entries above a bound, row after row, and how many each row has."""

    latent_E: Array
    value_E: Array
    count_N: Array


def _above(pre_NF: Tensor, bound: float) -> _Found:
    n, latents = pre_NF.shape
    pre, count_N, groups = pre_NF.numpy(), np.empty(n, np.int64), _groups(latents, EXPECTED)
    parts = compiled.over_rows(lambda *rows: compiled.above_rows(pre, bound, groups, count_N, *rows), n)
    latent_E, value_E = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Found(latent_E, value_E, count_N)


def _at_least(pre_NF: Tensor, wanted: int, guess: float) -> _Found:
    """Return the entries above some bound that ``wanted`` or more exceed, or every positive entry."""
    bound = 0.95 * guess
    while bound > 1e-3:
        found = _above(pre_NF, bound)
        if len(found.latent_E) >= wanted:
            return found
        bound *= 0.85 if len(found.latent_E) > 0.5 * wanted else 0.3
    return _above(pre_NF, 0.0)


def _active(latent_E: Array, count_N: Array, latents: int) -> Active:
    return Active(torch.from_numpy(latent_E), torch.from_numpy(count_N.cumsum() - count_N), latents)


def _largest(value_NF: Tensor, count: int) -> Tensor:
    """Return a mask of exactly ``count`` largest values."""
    if count >= value_NF.numel():
        return torch.ones_like(value_NF, dtype=torch.bool)
    flat_E = value_NF.reshape(-1)
    keep_E = torch.zeros_like(flat_E, dtype=torch.bool)
    keep_E[flat_E.topk(count, sorted=False).indices] = True
    return keep_E.view_as(value_NF)


def _from_mask(mask_NF: Tensor) -> Active:
    count_N = mask_NF.sum(1)
    return Active(mask_NF.nonzero()[:, 1], count_N.cumsum(0) - count_N, mask_NF.shape[1])


def is_compiled(pre_NF: Tensor) -> bool:
    """Return whether the compiled loops can read a matrix of this device and type."""
    return pre_NF.device.type == "cpu" and pre_NF.dtype in (torch.float32, torch.float64)


def _groups(latents: int, k: int) -> int:
    """Return into how many groups columns are dealt: few make maxima quick to search, many leave few values to see."""
    groups = max(round(math.sqrt(k * latents / 4)), k)
    return groups if 2 * groups <= latents else latents
