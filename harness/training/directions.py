"""Steering along one direction: how activations are moved, and how a direction is chosen.

``add`` moves every activation by the same vector (arXiv 2503.18878, equation 7). ``clamp`` sets a latent to a level
whatever it was, which is what the evaluation code of that paper does. ``project`` sets the component along the
direction itself.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from harness.api import Activations, Behaviour, Change, Intervention, Setting, Steerer, Train
from harness.training.loop import stream

Way = Literal["add", "clamp", "project"]
_ROWS = 8192


def random_directions(seed: int, count: int, width: int) -> Tensor:
    """Return isotropic unit vectors, ``[count, width]``; the first of them do not depend on how many are drawn."""
    drawn = [torch.Generator().manual_seed(stream(seed, f"direction/{i}")) for i in range(count)]
    return normalize(torch.stack([torch.randn(width, generator=one) for one in drawn]), dim=1)


class Direction(Steerer):
    """Moves activations along one unit direction; strength 1 is ``unit`` in raw model units."""

    direction: Tensor
    unit: Tensor

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.setting = setting
        self.register_buffer("direction", torch.zeros(setting.width))
        self.register_buffer("unit", torch.zeros(()))

    @abstractmethod
    def choose(self, train: Train) -> Tensor:
        """Return the direction, ``[D]``, of any length."""

    def fit(self, train: Train) -> None:
        """Choose the direction; its unit is the largest projection of the train split, about the mean."""
        self.to(train.device)
        self.direction.copy_(normalize(self.choose(train), dim=0))
        self.unit.copy_(self.size(train))

    def size(self, train: Train) -> Tensor:
        """Return what strength 1 is, in raw model units."""
        mean_D = train.x.mean()
        along = [((x_ND - mean_D) @ self.direction.cpu()).max() for x_ND, _ in train.x.documents(_ROWS)]
        return torch.stack(along).max()

    @property
    def way(self) -> Way:
        """How activations are moved."""
        return "add"

    @property
    def history(self) -> bool:
        """Whether how an activation is moved depends on earlier ones."""
        return False

    def level(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return how much of the direction activations have, ``[N]``; of what ``clamp`` sets."""
        return x_ND @ self.direction

    def steer(self, strength: float) -> Intervention:
        """Move activations by ``strength`` units, or set what they have of the direction to as many."""
        if strength == 0:
            return Intervention()
        return Intervention(change=self._moved(strength * float(self.unit)), history=self.history)

    def _moved(self, size: float) -> Change:
        def moved(x_ND: Tensor, doc_N: Tensor) -> Tensor:
            if self.way == "add":
                return x_ND + size * self.direction
            own_N = self.level(x_ND, doc_N) if self.way == "clamp" else x_ND @ self.direction
            return x_ND + (size - own_N)[:, None] * self.direction

        return moved

    def summary(self) -> dict[str, float]:
        """Return the unit."""
        return {"unit": float(self.unit)}


def behaviour_of(train: Train) -> Behaviour:
    """Return the words that a task is about."""
    found = train.extra["behaviour"]
    if not isinstance(found, Behaviour):
        raise TypeError(f"'behaviour' is a {type(found).__name__}")
    return found


def mean_of(x: Activations, in_N: Tensor) -> Tensor:
    """Return the mean of some rows, float64 ``[D]``; raises ``ValueError`` where there is none."""
    rows_n = torch.nonzero(in_N).flatten()
    if len(rows_n) == 0:
        raise ValueError("no activation stands around a word of the task, or all do")
    total_D = torch.zeros(x.width, dtype=torch.float64)
    for part_n in torch.split(rows_n, _ROWS):
        total_D += x.take(part_n).sum(0, dtype=torch.float64)
    return total_D / len(rows_n)
