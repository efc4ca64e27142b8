"""The logit lens (nostalgebraist 2020): the model's own final norm and unembedding on an earlier block's output.

Or to what a dictionary makes of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from harness.api import Dictionary, NextToken, Read, Setting, Train


class LogitLens(NextToken):
    """Predicts as if all later blocks added nothing. Nothing is fitted."""

    @dataclass(frozen=True)
    class Params:
        """``logit_lens`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.setting = setting

    @classmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Accept every task: there are no weights."""

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""

    def logp(self, read: Read) -> Tensor:
        """Return what the model would say of ``x``, or of its reconstruction, after its last block."""
        dictionary = self.setting.uses.get("dictionary")
        if isinstance(dictionary, Dictionary):
            return read.unembedding.logp(dictionary.decode(dictionary.encode(read.x_ND, read.doc_N)))
        return read.unembedding.logp(read.x_ND)

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}
