"""Thresholds chosen from data: the number above which, on average, L0 pre-activations of a token lie."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from harness.errors import CellError


def calibrate(chunks: Iterable[Tensor], l0: int, rows: int, floor: float = 0.0) -> float:
    """Return the threshold that exactly ``l0 * rows`` entries exceed, or ``floor`` where fewer exceed that.

    Args:
        chunks: pre-activations ``[n, F]`` of all rows, in parts.
        l0: entries a row, on average.
        rows: number of rows in all; memory is ``l0`` numbers a row.
        floor: the lowest threshold allowed.
    """
    wanted = l0 * rows + 1
    top_E = torch.empty(0)
    bound = floor
    for pre_NF in chunks:
        top_E = torch.cat([top_E.to(pre_NF.device), pre_NF[pre_NF > bound]])
        if top_E.numel() >= wanted:
            top_E = top_E.topk(wanted, sorted=False).values
            bound = float(top_E.min())
    return bound


class MovingThreshold:
    """Mean of a bound over the last tenth of the steps or so, from the first step on (``beta = 1 - 10 / steps``)."""

    def __init__(self) -> None:
        self.value = math.nan
        self.last = math.nan

    def see(self, bound: float, steps: int) -> None:
        """Take the bound of one step."""
        self.last = bound
        beta = max(1.0 - 10.0 / steps, 0.0)
        self.value = bound if math.isnan(self.value) else beta * self.value + (1.0 - beta) * bound


def checked(threshold: Tensor) -> Tensor:
    """Return ``threshold``; raises ``CellError`` where it was never set, since every latent would then pass."""
    if bool(torch.isnan(threshold).any()):
        raise CellError("the threshold is not set: fit the dictionary, or load a fitted one, before encoding")
    return threshold
