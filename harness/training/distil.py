"""Decoders of next tokens fitted by descent: what every one of them does, whatever it reads.

The objective is ``mean KL(p || q)``, ``p`` the model's own distribution and ``q`` the decoder's. Its optimum is the
best predictor that what is read allows: the mean of ``p`` over all tokens that look alike. Passes beyond the one after
which the objective is least on the validation split are undone.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss

from harness.api import Activations, NextToken, Read, Setting, Train, Unembedding
from harness.training.loop import Moment, Optim, Rule, descend, stream

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
        self._val_rows: Rows | None = None

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
        """Initialise, descend, keep the best pass, and measure the divergence on the validation split."""
        self.to(train.device)
        with torch.no_grad():
            self.begin(train)
        self._descend(train)
        self.found["val_kl"] = self._mean_on_val(train, divergence)
        self._val_rows = None

    @final
    def summary(self) -> dict[str, float]:
        """Return what the fit found; empty where the weights were loaded."""
        return dict(self.found)

    @final
    def loss(self, batch: Pairs, moment: Moment) -> Tensor:
        """Return ``KL(p || q)`` averaged over the batch, or where the target is hard the cross-entropy on its mode."""
        if self._end is None:
            raise ValueError("a loss is taken inside 'fit' only")
        return self._objective(batch.logp_BV, self.predict(batch.given_BK, self._end)).mean()

    @property
    def _objective(self) -> Callable[[Tensor, Tensor], Tensor]:
        return divergence if self.target == "soft" else surprise

    @torch.no_grad()
    def _mean_on_val(self, train: Train, value: Callable[[Tensor, Tensor], Tensor]) -> float:
        """Return a value of predictions averaged over all rows of the validation split, nats."""
        targets, end = train.extra["val_targets"], train.extra["unembedding"]
        if self._val_rows is None:
            self._val_rows = self.reader(train.val, train.device)
        total = 0.0
        for index_n in torch.split(torch.arange(len(train.val)), CHUNK_ROWS):
            value_n = value(targets.logp(index_n), self.predict(self._val_rows(index_n), end))
            total += float(value_n.sum(dtype=torch.float64))
        return total / max(len(train.val), 1)

    def _descend(self, train: Train) -> None:
        in_pass = max(len(train.x) // self.optim.batch, 1)
        rows, targets = self.reader(train.x, train.device), train.extra["targets"]
        order = orders(len(train.x), self.optim.batch, train.passes, stream(self.setting.seed, "order"))
        pairs = (Pairs(rows(index_B), targets.logp(index_B)) for index_B in order)
        best = BestPass(self, in_pass, lambda: self._mean_on_val(train, self._objective))
        self._end = train.extra["unembedding"]
        steps = train.passes * in_pass
        self.found["final_loss"] = descend(self, [best], pairs, steps, self.optim, train.progress)
        self.found |= {"steps": steps, "best_pass": best.taken}
        best.restore()
        self._end = None


class BestPass(Rule):
    """Keeps the weights of the pass after which something is least."""

    def __init__(self, module: nn.Module, in_pass: int, value: Callable[[], float]) -> None:
        self.module, self.in_pass, self.value = module, in_pass, value
        self.least = math.inf
        self.taken = 0
        self._kept: dict[str, Tensor] = {}

    def before(self, moment: Moment) -> None:
        """Do nothing."""

    def after(self, moment: Moment, adam: torch.optim.Adam) -> None:
        """At the end of a pass, see whether it was the best so far."""
        done, rest = divmod(moment.step + 1, self.in_pass)
        if rest:
            return
        value = self.value()
        if value < self.least:
            self.least, self.taken = value, done
            self._kept = {name: weight.detach().clone() for name, weight in self.module.state_dict().items()}

    def restore(self) -> None:
        """Put the kept weights back; where no pass gave a number, the last ones stay."""
        if self._kept:
            self.module.load_state_dict(self._kept)


def divergence(logp_NV: Tensor, logq_NV: Tensor) -> Tensor:
    """Return ``KL(p || q)`` of each row, nats, ``[N]``."""
    return torch.einsum("nv,nv->n", logp_NV.exp(), logp_NV - logq_NV)


def surprise(logp_NV: Tensor, logq_NV: Tensor) -> Tensor:
    """Return ``−ln q`` of each row's likeliest class under ``p``, nats, ``[N]``."""
    return nll_loss(logq_NV, logp_NV.argmax(1), reduction="none")


def orders(rows: int, size: int, passes: int, seed: int) -> Iterator[Tensor]:
    """Yield shuffled row numbers, as ``Activations.batches`` orders its rows."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(passes):
        order_N = torch.randperm(rows, generator=generator)
        for start in range(0, max(rows - size, 0) + 1, size):
            yield order_N[start : start + size]
