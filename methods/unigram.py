"""Counts of next tokens, whatever stands before them: what every decoder has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.api import NextToken, Read, Setting, Train


class Unigram(NextToken):
    """``q(v) = (count(v) + a) / (N + a V)`` over the text's next tokens in the train split."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``unigram``."""

        added: float
        """``a``, added to the count of every class"""

    logq_V: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.params, self.setting = params, setting
        self.register_buffer("logq_V", torch.zeros(setting.vocabulary))

    @classmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Accept every task: one number for each class."""

    def fit(self, train: Train) -> None:
        """Count."""
        gold_N = train.extra["targets"].gold_N
        count_V = torch.bincount(gold_N[gold_N >= 0], minlength=self.setting.vocabulary).double() + self.params.added
        self.logq_V.copy_((count_V / count_V.sum()).log())

    def logp(self, read: Read) -> Tensor:
        """Return the same row for every token."""
        return self.logq_V.expand(len(read.id_N), -1)

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}
