"""A fitted decoder that reads other tokens: what of its score has nothing to do with the token it is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.api import NextToken, Read, Setting, Train
from harness.training.exchange import derangement
from harness.training.loop import stream


class ExchangedTokens(NextToken):
    """The decoder ``of``, every token being told what was read of another one.

    On the whole it predicts what it did: entropy does not change, and neither does the mean prediction. What is left of
    agreement is that of chance.
    """

    @dataclass(frozen=True)
    class Params:
        """``exchanged_tokens`` has no parameters."""

    seed: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        of = setting.uses.get("of")
        if not isinstance(of, NextToken):
            raise ValueError(f"exchanged_tokens needs a fitted decoder of next tokens as 'of', got {type(of).__name__}")
        # held in a tuple, so that its weights are not counted and saved a second time
        self._of = (of,)
        self.register_buffer("seed", torch.tensor(stream(setting.seed, "rows")))

    @classmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Accept every task: nothing is fitted."""

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""
        self.to(train.device)

    def logp(self, read: Read) -> Tensor:
        """Return the inner predictions, each at another of the tokens that are read together.

        Documents are read whole and only then exchanged, so a decoder that looks at several tokens reads none apart.
        """
        logq_NV = self._of[0].logp(read)
        if len(logq_NV) < 2:
            raise ValueError("a token that is read by itself cannot be exchanged; a larger --batch-size may help")
        index_N = derangement(len(logq_NV), int(self.seed)).to(logq_NV.device)
        return torch.index_select(logq_NV, 0, index_N)

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}
