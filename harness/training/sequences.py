"""Small networks that classify sequences: fitted in seconds, stopped early on groups of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from harness.training.logistic import folds

Ints = NDArray[np.int64]

# One fold of this many is held out to stop at.
PARTS = 5


@dataclass(frozen=True)
class Shape:
    """What a network is made of."""

    pooling: Literal["gru", "attention"]
    """the last state of a GRU, or a mean over steps with learned weights (attention)"""
    projection: int
    """width to which every step is reduced first"""
    hidden: int
    """states of the GRU"""
    dropout: float
    """share of the projected numbers, and of the pooled ones, that training leaves out"""


@dataclass(frozen=True)
class Schedule:
    """How a network is fitted (AdamW)."""

    lr: float
    """learning rate"""
    decay: float
    """weight decay"""
    batch: int
    """sequences of one step"""
    epochs: int
    """passes over the fold at most"""
    patience: int
    """passes without a better loss on the held-out groups after which it ends"""


class SequenceNet(nn.Module):
    """Logits ``[n, K]`` of sequences ``[n, T, W]``."""

    def __init__(self, shape: Shape, steps: int, width: int, classes: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, shape.projection)
        self.place_TH = nn.Parameter(torch.zeros(steps, shape.projection))
        self.drop = nn.Dropout(shape.dropout)
        self.gru = nn.GRU(shape.projection, shape.hidden, batch_first=True) if shape.pooling == "gru" else None
        self.weigh = nn.Linear(shape.projection, 1)
        self.out = nn.Linear(shape.projection if self.gru is None else shape.hidden, classes)

    def forward(self, x_nTW: Tensor) -> Tensor:
        """Return logits."""
        step_nTH = self.drop(self.project(x_nTW) + self.place_TH)
        if self.gru is None:
            seen_nTH = step_nTH.tanh()
            pooled = (self.weigh(seen_nTH).softmax(1) * seen_nTH).sum(1)
        else:
            pooled = self.gru(step_nTH)[1][0]
        logits: Tensor = self.out(self.drop(pooled))
        return logits


def fit_sequences(x_nTW: Tensor, y_n: Ints, group_n: Ints, shape: Shape, schedule: Schedule, seed: int) -> SequenceNet:
    """Return the network of the epoch with the least loss on held-out groups, classes at equal weight.

    Args:
        x_nTW: standardised sequences.
        y_n: class of each, ``0 … K - 1``.
        group_n: groups are held out whole.
        shape: of the network.
        schedule: of the fit.
        seed: of the weights, the order and the dropout; the same seed gives the same network on the CPU.
    """
    held_n = torch.from_numpy(folds(y_n, group_n, PARTS) == 0)
    with torch.random.fork_rng(devices=[]):  # modules and dropout draw from the global generator
        torch.manual_seed(seed)
        net = SequenceNet(shape, x_nTW.shape[1], x_nTW.shape[2], int(y_n.max()) + 1)
        _descend(net, x_nTW, torch.from_numpy(y_n), held_n, schedule)
    return net.eval().requires_grad_(False)


def _descend(net: SequenceNet, x_nTW: Tensor, y_n: Tensor, held_n: Tensor, schedule: Schedule) -> None:
    optimiser = torch.optim.AdamW(net.parameters(), lr=schedule.lr, weight_decay=schedule.decay)
    train = torch.nonzero(~held_n).flatten()
    weight_K = _equal(y_n[train], net.out.out_features)
    best, kept, since = float("inf"), _copy(net), 0
    for _ in range(schedule.epochs):
        net.train()
        for rows in torch.split(train[torch.randperm(len(train))], schedule.batch):
            optimiser.zero_grad()
            cross_entropy(net(x_nTW[rows]), y_n[rows], weight_K, reduction="sum").div(len(rows)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        found = _loss(net, x_nTW[held_n], y_n[held_n])
        best, kept, since = (found, _copy(net), 0) if found < best else (best, kept, since + 1)
        if since >= schedule.patience:
            break
    net.load_state_dict(kept)


@torch.no_grad()
def _loss(net: SequenceNet, x_nTW: Tensor, y_n: Tensor) -> float:
    net.eval()
    weight_K = _equal(y_n, net.out.out_features)
    return float(cross_entropy(net(x_nTW), y_n, weight_K, reduction="sum")) / len(y_n)


def _equal(y_n: Tensor, classes: int) -> Tensor:
    """Return the weight of each class at which all there are count alike; 1 on average over the items."""
    counts_K = torch.bincount(y_n, minlength=classes)
    return len(y_n) / counts_K.clamp(min=1) / (counts_K > 0).sum()


def _copy(net: SequenceNet) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}
