"""Everybody gets what is another's: the permutation behind controls that exchange rows."""

from __future__ import annotations

import torch
from torch import Tensor


def derangement(n: int, seed: int) -> Tensor:
    """Return a random permutation of ``n`` without fixed point: one cycle through all (Sattolo's).

    Raises:
        ValueError: there are fewer than two, so that nothing can be exchanged.
    """
    if n < 2:
        raise ValueError(f"of {n} nothing can be exchanged; there must be 2 or more")
    cycle_n = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    source_n = torch.empty_like(cycle_n)
    source_n[cycle_n] = cycle_n.roll(1)
    return source_n
