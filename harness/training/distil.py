"""Decoders of next tokens fitted by descent: what every one of them does, whatever it reads.

The objective is ``mean KL(p || q)``, ``p`` the model's own distribution and ``q`` the decoder's. Its optimum is the
best predictor that what is read allows: the mean of ``p`` over all tokens that look alike.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from harness.api import Activations, NextToken, Read, Setting, Targets, Train, Unembedding
from harness.training.loop import Moment, Optim, descend, stream

CHUNK_ROWS = 1024
Target = Literal["soft", "hard"]
# Rows of one split (int64, CPU) become what is read of them, ``[n, K]`` on the device of the fit.
Rows = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Pairs:
    """A batch: what is read ``[B, K]``, and the model's own log-probabilities ``[B, V]``."""

    given_BK: Tensor
    logp_BV: Tensor


class Distilled(NextToken):
    """A decoder with weights; fitting sets them, on the train split alone."""

    def __init__(self, setting: Setting, optim: Optim, target: Target) -> None:
        super().__init__()
        self.setting, self.optim, self.target = setting, optim, target
        self.found: dict[str, float] = {}
        self._end: Unembedding | None = None

    @abstractmethod
    def reader(self, x: Activations, device: torch.device) -> Rows:
        """Return what is read of each row of a split."""

    @abstractmethod
    def given(self, read: Read) -> Tensor:
        """Return the same of tokens that are measured, ``[N, K]``."""

    @abstractmethod
    def predict(self, given_NK: Tensor, unembedding: Unembedding) -> Tensor:
        """Return log-probabilities ``[N, V]``; differentiable in the weights."""

    @abstractmethod
    def begin(self, train: Train) -> None:
        """Set the weights that descent starts from; the module is on the device of the fit."""

    @final
    def logp(self, read: Read) -> Tensor:
        """Return log-probabilities ``[N, V]``."""
        return self.predict(self.given(read), read.unembedding)

    @final
    def fit(self, train: Train) -> None:
        """Initialise, descend, and measure the divergence on the validation split."""
        self.to(train.device)
        with torch.no_grad():
            self.begin(train)
        self._descend(train)
        self.found["val_kl"] = self.divergence(train.val, train.extra["val_targets"], train)

    @final
    def summary(self) -> dict[str, float]:
        """Return what the fit found; empty where the weights were loaded."""
        return dict(self.found)

    @final
    def loss(self, batch: Pairs, moment: Moment) -> Tensor:
        """Return ``KL(p || q)`` averaged over the batch, or where the target is hard the cross-entropy on its mode."""
        if self._end is None:
            raise ValueError("a loss is taken inside 'fit' only")
        logq_BV = self.predict(batch.given_BK, self._end)
        if self.target == "hard":
            return nll_loss(logq_BV, batch.logp_BV.argmax(1))
        return divergence(batch.logp_BV, logq_BV).mean()

    @final
    @torch.no_grad()
    def divergence(self, x: Activations, targets: Targets, train: Train) -> float:
        """Return ``KL(p || q)`` averaged over all rows of a split, nats."""
        rows, end = self.reader(x, train.device), train.extra["unembedding"]
        total = 0.0
        for index_n in torch.split(torch.arange(len(x)), CHUNK_ROWS):
            gap_n = divergence(targets.logp(index_n), self.predict(rows(index_n), end))
            total += float(gap_n.sum(dtype=torch.float64))
        return total / max(len(x), 1)

    def _descend(self, train: Train) -> None:
        steps = train.passes * max(len(train.x) // self.optim.batch, 1)
        rows, targets = self.reader(train.x, train.device), train.extra["targets"]
        order = orders(len(train.x), self.optim.batch, train.passes, stream(self.setting.seed, "order"))
        pairs = (Pairs(rows(index_B), targets.logp(index_B)) for index_B in order)
        self._end = train.extra["unembedding"]
        self.found["final_loss"] = descend(self, [], pairs, steps, self.optim, train.progress)
        self.found["steps"] = steps
        self._end = None


def divergence(logp_NV: Tensor, logq_NV: Tensor) -> Tensor:
    """Return ``KL(p || q)`` of each row, nats, ``[N]``."""
    return torch.einsum("nv,nv->n", logp_NV.exp(), logp_NV - logq_NV)


def orders(rows: int, size: int, passes: int, seed: int) -> Iterator[Tensor]:
    """Yield shuffled row numbers, as ``Activations.batches`` orders its rows."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(passes):
        order_N = torch.randperm(rows, generator=generator)
        for start in range(0, max(rows - size, 0) + 1, size):
            yield order_N[start : start + size]
