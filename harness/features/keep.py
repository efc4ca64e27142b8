"""The few windows of each latent that are kept while all of them stream by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

Payload = Callable[[Tensor], Mapping[str, Tensor]]


class Best:
    """Keeps, for each of ``F`` latents, the ``size`` candidates of largest key with what belongs to them.

    With keys that are activations these are the strongest; with keys that are random numbers of the candidates
    (``priority``) they are a uniform sample without replacement. Memory does not grow with the stream.
    """

    def __init__(self, size: int, latents: int) -> None:
        self.size = size
        self.key_KF = torch.full((0, latents), -torch.inf)
        self.held: dict[str, Tensor] = {}

    def add(self, key_WF: Tensor, payload: Payload) -> None:
        """Offer candidates; ``-inf`` offers none.

        ``payload`` is asked for tensors ``[k, F, ...]`` of the candidates in ``index_kF``.
        """
        found_kF, index_kF = key_WF.topk(min(self.size, key_WF.shape[0]), dim=0)
        key_KF = torch.cat([self.key_KF, found_kF])
        self.key_KF, order_KF = key_KF.topk(min(self.size, key_KF.shape[0]), dim=0)
        for name, value in payload(index_kF).items():
            every = torch.cat([self.held[name], value]) if name in self.held else value
            shape = (*order_KF.shape, *every.shape[2:])
            view = order_KF.reshape(*order_KF.shape, *[1] * (every.ndim - 2)).expand(shape)
            self.held[name] = every.gather(0, view)

    def of(self, latent: int) -> dict[str, np.ndarray]:
        """Return what is kept of one latent, the largest key first, ``[k, ...]`` by name, with ``key``."""
        there_K = torch.isfinite(self.key_KF[:, latent])
        held = {name: value[:, latent][there_K].numpy() for name, value in self.held.items()}
        return {"key": self.key_KF[:, latent][there_K].numpy(), **held}


def priority(start: np.ndarray, seed: int) -> Tensor:
    """Return a random number in [0, 1) for each integer, float32, the same wherever and whenever it is asked for.

    Source: the finaliser of SplitMix64 (Steele et al. 2014).
    """
    with np.errstate(over="ignore"):
        x = (start.astype(np.uint64) + np.uint64(seed + 1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return torch.from_numpy((x >> np.uint64(40)).astype(np.float32) / np.float32(2**24))
