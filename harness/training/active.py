"""Which latents are active: sparse codes in compressed rows, and the fast ways to select them.

A batch of 2 048 rows and 4 608 latents holds 9.4 million pre-activations, of which 65 thousand survive. Nothing here
writes a dense code: what survives is kept as entries ``E`` in row order, the form the kernel multiplies with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from harness.errors import CellError

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
    """Active entries of a code ``[N, F]`` in row order.

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
        # int32 keys halve the passes of the radix sort
        order_E = self.latent_E.int().sort(stable=True).indices
        count_F = torch.bincount(self.latent_E, minlength=self.latents)
        return ByLatent(order_E, self.row_E[order_E], count_F.cumsum(0) - count_F)

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
    latent_Nk = _top_k_indices(pre_NF, k)
    start_N = torch.arange(0, n * k, k, device=pre_NF.device)
    return Active(latent_Nk.reshape(-1), start_N, latents)


def positive(pre_NF: Tensor) -> Active:
    """Return every entry above 0."""
    return _from_mask(pre_NF > 0)


def above(pre_NF: Tensor, threshold: float | Tensor) -> Active:
    """Return every entry above ``threshold`` (a number, or ``[F]``)."""
    return _from_mask(pre_NF > threshold)


def batch_top_k(pre_NF: Tensor, k: int, guess: float) -> Active:
    """Return the ``k * N`` largest entries of the batch, positive ones only.

    Args:
        pre_NF: pre-activations.
        k: mean number per row.
        guess: a value that about ``k * N`` entries exceed, such as the last batch's bound; it only changes the speed.
    """
    wanted = k * pre_NF.shape[0]
    found = _at_least(pre_NF, wanted, guess)
    if found.entries <= wanted:
        return found
    return _keep(found, _largest(found.pick(pre_NF), wanted))


def _at_least(pre_NF: Tensor, wanted: int, guess: float) -> Active:
    """Return the entries above some bound that ``wanted`` or more exceed, or every positive entry."""
    bound = 0.95 * guess
    while bound > 1e-3:
        found = above(pre_NF, bound)
        if found.entries >= wanted:
            return found
        bound *= 0.85 if found.entries > 0.5 * wanted else 0.3
    return positive(pre_NF)


def _largest(value_E: Tensor, count: int) -> Tensor:
    """Return a mask of exactly ``count`` largest values; of equal ones at the border the first are kept."""
    border = _kth(value_E, value_E.shape[0] - count)
    keep_E = value_E > border
    spare = count - int(keep_E.sum())
    tied = torch.nonzero(value_E == border).flatten()[:spare]
    keep_E[tied] = True
    return keep_E


def _kth(value_E: Tensor, place: int) -> float:
    """Return the value at ``place`` (from 0) in ascending order."""
    if value_E.is_cuda:
        return float(value_E.kthvalue(place + 1).values)
    # numpy selects with vector instructions, ten times faster than torch
    return float(np.partition(value_E.detach().numpy(), place)[place])


def _keep(active: Active, keep_E: Tensor) -> Active:
    row_E = active.row_E[keep_E]
    count_N = torch.bincount(row_E, minlength=active.rows)
    return Active(active.latent_E[keep_E], count_N.cumsum(0) - count_N, active.latents)


def _from_mask(mask_NF: Tensor) -> Active:
    n, latents = mask_NF.shape
    flat_E = _nonzero(mask_NF)
    row_E = flat_E.div(latents, rounding_mode="floor")
    count_N = torch.bincount(row_E, minlength=n)
    return Active(flat_E - row_E * latents, count_N.cumsum(0) - count_N, latents)


def _nonzero(mask_NF: Tensor) -> Tensor:
    """Return the flat positions of ``True``; eight booleans at a time, which is three times faster when few are set."""
    if mask_NF.numel() % 8:
        return mask_NF.reshape(-1).nonzero().flatten()
    words = mask_NF.reshape(-1).view(torch.int64)
    word_W = words.nonzero().flatten()
    inside = words[word_W].view(torch.bool).nonzero().flatten()
    return word_W[inside >> 3] * 8 + (inside & 7)


def _top_k_indices(pre_NF: Tensor, k: int) -> Tensor:
    """Return indices ``[N, k]``.

    The columns are dealt into groups. The ``k`` largest of a row lie in the ``k`` groups of largest maximum, so a
    search among group maxima and one among the members of those groups replace the search of the whole row.
    """
    n, latents = pre_NF.shape
    if k > latents:
        raise CellError(f"k = {k} exceeds the {latents} latents of the dictionary")
    size = _group_size(latents, k)
    if size == 1 or pre_NF.is_cuda:
        return pre_NF.topk(k, dim=1, sorted=False).indices
    groups = latents // size
    # members of a group are `groups` columns apart, so that the maximum runs along contiguous memory
    best = pre_NF.view(n, size, groups).amax(1).topk(k, dim=1, sorted=False)
    step_S = torch.arange(0, latents, groups)
    member_NC = (best.indices[:, None, :] + step_S[None, :, None]).reshape(n, size * k)
    value_NC = pre_NF.gather(1, member_NC)
    # the k maxima are k values already, so nothing below the least of them can be among the k largest
    return member_NC.gather(1, _few_largest(value_NC, best.values.amin(1, keepdim=True), k))


def _few_largest(value_NC: Tensor, bound_N1: Tensor, k: int) -> Tensor:
    """Return the places ``[N, k]`` of the ``k`` largest of each row, of which only those from ``bound_N1`` up count."""
    n, columns = value_NC.shape
    flat_E = _nonzero(value_NC >= bound_N1)
    row_E = flat_E.div(columns, rounding_mode="floor")
    count_N = torch.bincount(row_E, minlength=n)
    fewest, most = int(count_N.min()), int(count_N.max())
    if fewest < k or 2 * most > columns:  # not a number, or many equal values
        return value_NC.topk(k, dim=1, sorted=False).indices
    slot_E = torch.arange(len(flat_E)) + (most * torch.arange(n) - count_N.cumsum(0) + count_N)[row_E]
    packed_NM = torch.full((n, most), -torch.inf, dtype=value_NC.dtype)
    packed_NM.view(-1)[slot_E] = value_NC.view(-1)[flat_E]
    place_NM = torch.zeros((n, most), dtype=torch.int64)
    place_NM.view(-1)[slot_E] = flat_E - row_E * columns
    return place_NM.gather(1, packed_NM.topk(k, dim=1, sorted=False).indices)


def _group_size(latents: int, k: int) -> int:
    """Return the divisor of ``latents`` that makes both searches shortest, 1 where grouping does not pay."""
    best, cost = 1, 0.7 * latents
    for size in range(2, math.isqrt(latents) + 1):
        if latents % size == 0 and latents // size >= k and latents // size + size * k < cost:
            best, cost = size, latents / size + size * k
    return best
