"""The end of a language model as a function of what its last block returns, and the vocabulary a task predicts in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from harness.api import Unembedding
from harness.errors import UserError
from harness.lm.model import LanguageModel


@dataclass(frozen=True)
class Classes:
    """The next tokens a task tells apart: all of the model's, or the kept ones and, last, OTHER for all the rest.

    Attributes:
        tokens: size of the model's own vocabulary.
        kept_K: int64, ids told apart, ascending; None where all are.
    """

    tokens: int
    kept_K: Tensor | None

    @classmethod
    def most_frequent(cls, tokens: int, top: int, id_N: Tensor) -> Classes:
        """Keep the ``top`` most frequent of ``id_N``; of equally frequent ones the lowest ids."""
        count_V = torch.bincount(id_N, minlength=tokens)
        kept_K = torch.sort(count_V, descending=True, stable=True).indices[:top]
        return cls(tokens, kept_K.sort().values)

    @property
    def count(self) -> int:
        """``V``, OTHER included."""
        return self.tokens if self.kept_K is None else len(self.kept_K) + 1

    def of(self, id_N: Tensor) -> Tensor:
        """Return the class of each token id, int64 ``[N]``; -1 stays -1."""
        if self.kept_K is None:
            return id_N
        class_V = torch.full((self.tokens + 1,), len(self.kept_K))
        class_V[self.kept_K] = torch.arange(len(self.kept_K))
        class_V[-1] = -1
        return class_V[id_N]

    def logp(self, logits_NV: Tensor) -> Tensor:
        """Return log-probabilities ``[N, V]`` of the classes; OTHER has the sum of all it stands for."""
        if self.kept_K is None:
            return torch.log_softmax(logits_NV, dim=1)
        kept_K = self.kept_K.to(logits_NV.device)
        other_N1 = logits_NV.index_fill(1, kept_K, -torch.inf).logsumexp(1, keepdim=True)
        return torch.log_softmax(torch.cat([logits_NV.index_select(1, kept_K), other_N1], dim=1), dim=1)


def check_top(top: int, tokens: int, model: str) -> None:
    """Raise ``UserError`` where a task would keep every token of a model and leave nothing to OTHER."""
    if top >= tokens:
        raise UserError(
            f"vocab: top is {top}, and the vocabulary of model '{model}' holds {tokens} tokens; take fewer "
            f"(--set vocab.top={tokens // 2}), or leave 'vocab' out to tell all apart."
        )


@final
class ModelEnd(Unembedding):
    """Final norm and unembedding of a language model, run by its own code."""

    def __init__(self, model: LanguageModel, classes: Classes) -> None:
        self.model, self.vocabulary = model, classes

    @property
    def classes(self) -> int:
        """``V``."""
        return self.vocabulary.count

    def logp(self, x_ND: Tensor) -> Tensor:
        """Return log-probabilities ``[N, V]``, on the device of the activations."""
        # Every row is a sequence of one token: what follows the last block acts on each position alone.
        ids_N1 = torch.zeros(len(x_ND), 1, dtype=torch.int64)
        last = self.model.info.blocks - 1
        final_ND = self.model.resume(ids_N1, torch.ones_like(ids_N1), last, x_ND[:, None])[:, 0]
        return self.vocabulary.logp(self.model.logits(final_ND)).to(x_ND.device)
