"""Counts of next tokens after each token: what the token alone tells, without a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.api import NextToken, Read, Setting, Targets, Train


class Bigram(NextToken):
    """``q(v | u) = (count(u, v) + a q(v)) / (count(u) + a)``; ``q(v)`` are the frequencies with half a count added.

    Tokens ``u`` outside the most frequent ones have ``q(v)``. ``a`` is the one of ``added`` under which the validation
    text is likeliest.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``bigram``."""

        contexts: int
        """tokens ``u`` that have a row of their own: the most frequent of the train split"""
        added: list[float]
        """the values of ``a`` to choose from"""

    logq_KV: Tensor
    id_K: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.params, self.setting = params, setting
        self.found: dict[str, float] = {}
        self.register_buffer("logq_KV", torch.zeros(params.contexts + 1, setting.vocabulary))
        # Ascending; a row that no token has keeps a number beyond every id.
        self.register_buffer("id_K", torch.full((params.contexts,), torch.iinfo(torch.int64).max))

    @classmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Accept every task: only frequent tokens have a row."""

    def fit(self, train: Train) -> None:
        """Count, and choose ``a`` on the validation split."""
        targets, val = train.extra["targets"], train.extra["val_targets"]
        # Ties go to the lowest id: ``unique`` is ascending and the sort is stable.
        id_U, count_U = targets.id_N.unique(return_counts=True)
        kept_K = id_U[count_U.sort(descending=True, stable=True).indices[: self.params.contexts]].sort().values
        self.id_K[: len(kept_K)] = kept_K
        count_KV = self._counts(targets)
        row_N, gold_N = self._rows(val.id_N)[val.gold_N >= 0], val.gold_N[val.gold_N >= 0]
        tables = {a: _smoothed(count_KV, a) for a in self.params.added}
        best = max(tables, key=lambda a: float(tables[a][row_N, gold_N].sum()))
        self.logq_KV.copy_(tables[best])
        self.found = {"added": best, "val_ce": -float(tables[best][row_N, gold_N].mean())}

    def _counts(self, targets: Targets) -> Tensor:
        """Return counts of next tokens by row, the last one over all tokens, float64 ``[K + 1, V]``."""
        follows_N = targets.gold_N >= 0
        row_N, gold_N = self._rows(targets.id_N)[follows_N], targets.gold_N[follows_N]
        rows, vocabulary = self.logq_KV.shape
        count_KV = torch.bincount(row_N * vocabulary + gold_N, minlength=rows * vocabulary).double()
        count_KV = count_KV.reshape(rows, vocabulary)
        count_KV[-1] = torch.bincount(gold_N, minlength=vocabulary).double()
        return count_KV

    def _rows(self, id_N: Tensor) -> Tensor:
        """Return the row of each token; the last where it has none of its own."""
        at_N = torch.searchsorted(self.id_K, id_N.to(self.id_K.device)).clamp_max(len(self.id_K) - 1)
        return torch.where(self.id_K[at_N] == id_N.to(self.id_K.device), at_N, len(self.id_K))

    def logp(self, read: Read) -> Tensor:
        """Return the row of each token."""
        return self.logq_KV[self._rows(read.id_N)]

    def summary(self) -> dict[str, float]:
        """Return the smoothing that was chosen."""
        return dict(self.found)


def _smoothed(count_KV: Tensor, added: float) -> Tensor:
    """Return log-probabilities of rows mixed with the last one, which stands for ``added`` counts; float32."""
    all_V = (count_KV[-1] + 0.5) / (count_KV[-1] + 0.5).sum()
    mixed_KV = (count_KV + added * all_V) / (count_KV.sum(1, keepdim=True) + added)
    mixed_KV[-1] = all_V
    return mixed_KV.log().float()
