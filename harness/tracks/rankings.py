"""What an order of the active latents of one prediction comes to, when they are taken out in that order.

``comp`` and ``suff`` as in ERASER (arXiv 1911.03429, section 4): averages over several shares of the latents of what
``M`` loses without the first, and with the first alone. ``cpr`` and ``cmd`` are areas over the share of latents that is
kept (MIB, arXiv 2504.13151, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from torch import Tensor

PERCENT = (1, 5, 10, 20, 50)
"""Of the active latents; one latent at least."""
LEAST_GAP = 0.1
"""Nats that all latents together must move ``M`` by, for shares of that move to say anything."""

Without = Callable[[Tensor], NDArray[np.float64]]
"""``M`` with some of the ``m`` active latents taken out: bool ``[A, m]`` → ``[A]``."""


@dataclass(frozen=True)
class Curves:
    """What orders ``O`` of one prediction's latents come to; ``cpr`` and ``cmd`` are 0 where ``gap`` is too small.

    Attributes:
        comp_OK: nats lost without the first latents, by share of the latents.
        suff_OK: nats lost where only the first are kept, by share.
        cpr_O: area under ``F``, the share of ``M(full) − M(none)`` that the first latents alone give.
        cmd_O: area under ``|1 − F|``.
        gap: ``M(full) − M(none)``.
    """

    comp_OK: NDArray[np.float64]
    suff_OK: NDArray[np.float64]
    cpr_O: NDArray[np.float64]
    cmd_O: NDArray[np.float64]
    gap: float

    @property
    def comp_O(self) -> NDArray[np.float64]:
        """Mean of ``comp_OK`` over the shares."""
        return np.asarray(self.comp_OK.mean(1))

    @property
    def suff_O(self) -> NDArray[np.float64]:
        """Mean of ``suff_OK`` over the shares."""
        return np.asarray(self.suff_OK.mean(1))

    @property
    def counted(self) -> bool:
        """Whether ``cpr`` and ``cmd`` say anything."""
        return abs(self.gap) >= LEAST_GAP


def kept(active: int, percent: Sequence[int] = PERCENT) -> list[int]:
    """Return how many latents each share is, rounded up."""
    return [max(1, -(-share * active // 100)) for share in percent]


def curves(without: Without, full: float, order_Om: Tensor, percent: Sequence[int] = PERCENT) -> Curves:
    """Return what orders come to, from one call of ``without``; where no latent is active, every order moves nothing.

    Args:
        without: gives ``M``.
        full: ``M`` of the prediction as it is.
        order_Om: int64; each row holds ``0 … m - 1``, the most important first.
        percent: shares of the latents that are taken out, or kept.
    """
    orders, active = order_Om.shape
    if active == 0:
        nothing_OK, nothing_O = np.zeros((orders, len(percent))), np.zeros(orders)
        return Curves(nothing_OK, nothing_OK, nothing_O, nothing_O, 0.0)
    counts = kept(active, percent)
    # The place of each latent in each order; what lies before a count is taken out, then what lies behind it.
    place_Om = order_Om.argsort(1)
    first_OKm = place_Om[:, None, :] < torch.tensor(counts)[None, :, None]
    drop_Am = torch.cat([first_OKm.flatten(0, 1), ~first_OKm.flatten(0, 1), torch.ones(1, active, dtype=torch.bool)])
    value_A = without(drop_Am)
    missing_OK = value_A[: orders * len(counts)].reshape(orders, -1)
    only_OK, none = value_A[orders * len(counts) : -1].reshape(orders, -1), float(value_A[-1])
    gap = full - none
    share_K = np.array([0.0, *(count / active for count in counts), 1.0])
    reached_OK = np.pad((only_OK - none) / gap if abs(gap) >= LEAST_GAP else 0 * only_OK, ((0, 0), (1, 1)))
    reached_OK[:, -1] = 1.0
    areas = [trapezoid(y_OK, share_K, axis=1) for y_OK in (reached_OK, np.abs(1 - reached_OK))]
    if abs(gap) < LEAST_GAP:
        areas = [np.zeros(orders), np.zeros(orders)]
    return Curves(full - missing_OK, full - only_OK, areas[0], areas[1], gap)


def orders(active: int, draws: int, seed: int) -> Tensor:
    """Return random orders, int64 ``[draws, m]``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(draws, active, generator=generator).argsort(1)


@dataclass(frozen=True)
class Spread:
    """How the importance of one prediction spreads over its active latents.

    Attributes:
        mass10: share of the sum of ``|I|`` that the ten largest hold.
        mass100: the same of a hundred.
        gini: Gini coefficient of ``|I|``.
        n_eff: exponential of the entropy of ``|I| / sum |I|``: as many equal latents spread alike.
    """

    mass10: float
    mass100: float
    gini: float
    n_eff: float


def top_share(size_m: NDArray[np.float64], count: int) -> float:
    """Return the share of the sum that the ``count`` largest of ``size_m`` hold."""
    return float(np.sort(size_m)[::-1][:count].sum() / size_m.sum())


def spread(importance_m: NDArray[np.float64]) -> Spread | None:
    """Return how ``|I|`` spreads over active latents; None where all of it is 0."""
    size_m = np.sort(np.abs(importance_m.astype(np.float64)))
    total, active = size_m.sum(), len(size_m)
    if total <= 0:
        return None
    share_m = size_m / total
    gini = float((2 * np.arange(1, active + 1) - active - 1) @ share_m / active)
    positive = share_m[share_m > 0]
    return Spread(
        top_share(size_m, 10), top_share(size_m, 100), gini, float(np.exp(-(positive * np.log(positive)).sum()))
    )
