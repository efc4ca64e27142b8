"""What the blocks of a language model keep of the tokens before one, so that these are run once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache


@dataclass(frozen=True, eq=False)
class Past:
    """One text up to its last token, run up to the token before.

    Attributes:
        ids_T: int64 token ids.
        layer: the block above which it was run.
        x_TD: what that block returned; the last row is not looked at.
        states: keys and values ``[1, H, T - 1, K]`` of each block above; None where the whole text has to be run.
    """

    ids_T: Tensor
    layer: int
    x_TD: Tensor
    states: tuple[tuple[Tensor, Tensor], ...] | None

    @property
    def before(self) -> int:
        """Tokens before the last."""
        return len(self.ids_T) - 1


def states_of(cache: DynamicCache, layer: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Return what is kept of the blocks above ``layer``; raises ``ValueError`` where that is nothing."""
    found = [(block.keys, block.values) for block in cache.layers[layer + 1 :]]
    if not found or any(keys is None or values is None for keys, values in found):
        raise ValueError("the model keeps no keys and values of its blocks")
    return tuple(found)


def joined(pasts: Sequence[Past]) -> DynamicCache:
    """Return a cache in which the texts stand behind one another."""
    cache = DynamicCache()
    several = [past.states for past in pasts if past.states]
    for block, states in enumerate(zip(*several, strict=True), start=pasts[0].layer + 1):
        keys, values = zip(*states, strict=True)
        cache.update(torch.cat(keys, dim=2), torch.cat(values, dim=2), block)
    return cache


def sees(pasts: Sequence[Past], of_A: Tensor) -> Tensor:
    """Return what each of ``A`` tokens sees, bool ``[A, S + A]``: its own text's ``S`` and itself, and nothing else."""
    text_S = torch.repeat_interleave(torch.arange(len(pasts)), torch.tensor([past.before for past in pasts]))
    return torch.cat([of_A[:, None] == text_S[None, :], torch.eye(len(of_A), dtype=torch.bool)], dim=1)


def as_mask(sees_QS: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to attention, ``[1, 1, Q, S]``."""
    mask_QS = torch.zeros(sees_QS.shape, dtype=dtype).masked_fill(~sees_QS, torch.finfo(dtype).min)
    return mask_QS[None, None]
