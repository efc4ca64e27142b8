"""Activations in steps: one vector for each step of a trace, the mean over its tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from harness.api import Activations
from harness.data.batches import NONE
from harness.data.steps import step_spans
from harness.data.tokens import TokenBatch
from harness.errors import UserError
from harness.lm.model import LanguageModel


class Stepper:
    """Finds the steps of token sequences; a document's are found within each stretch of it."""

    def __init__(self, model: LanguageModel, ending: str) -> None:
        self._ending = ending
        self._text = lru_cache(maxsize=None)(lambda token: str(model.tokenizer.decode([token])))

    def number(self, batch: TokenBatch) -> Tensor:
        """Return int64 ``[B, T]``: the step of each token, numbered in its row; -1 where it is not counted."""
        step_BT = torch.full_like(batch.ids_BT, NONE)
        for ids_T, doc_T, step_T in zip(batch.ids_BT, batch.doc_BT, step_BT, strict=True):
            first = 0
            for doc in torch.unique_consecutive(doc_T[doc_T != NONE]).tolist():
                place_M = torch.nonzero(doc_T == doc).flatten()
                spans = step_spans([self._text(int(i)) for i in ids_T[place_M]], self._ending)
                for step, (start, end) in enumerate(spans, start=first):
                    step_T[place_M[start:end]] = step
                first += len(spans)
        return torch.where(batch.keep_BT, step_BT, NONE)

    def pool(self, batch: TokenBatch, x_BTD: Tensor) -> tuple[TokenBatch, Tensor]:
        """Return a batch whose positions are steps, and their means ``[B, S, D]``; it cannot be read or spliced."""
        step_BT = self.number(batch)
        inside_BT = step_BT != NONE
        shape = (len(step_BT), max(int(step_BT.max()) + 1, 1))
        row_BT = torch.arange(shape[0])[:, None].expand_as(step_BT)
        place_N = (row_BT * shape[1] + step_BT)[inside_BT]
        count_BS = torch.bincount(place_N, minlength=shape[0] * shape[1]).view(shape)

        def of_step(value_BT: Tensor) -> Tensor:
            value_P = torch.full((shape[0] * shape[1],), NONE).scatter(0, place_N, value_BT[inside_BT])
            return value_P.view(shape)

        pooled = dataclasses.replace(
            batch,
            ids_BT=torch.zeros(shape, dtype=torch.int64),
            mask_BT=count_BS > 0,
            keep_BT=count_BS > 0,
            target_BT=torch.zeros(shape, dtype=torch.bool),
            doc_BT=of_step(batch.doc_BT),
            cluster_BT=of_step(batch.cluster_BT),
        )
        total_PD = torch.zeros(count_BS.numel(), x_BTD.shape[2], dtype=torch.float64, device=x_BTD.device)
        total_PD.index_add_(0, place_N.to(x_BTD.device), x_BTD[inside_BT.to(x_BTD.device)].double())
        mean_BSD = total_PD.view(*shape, -1) / count_BS.clamp_min(1).to(x_BTD.device)[:, :, None]
        return pooled, mean_BSD.to(x_BTD.dtype)

    def activations(self, tokens: Activations, batches: Sequence[TokenBatch]) -> Activations:
        """Return the activations of a split in steps, from those of its tokens."""
        numbers, first = [], 0
        for batch in batches:
            step_BT = self.number(batch)
            most = int(step_BT.max()) + 1
            unique_BT = step_BT + first + max(most, 1) * torch.arange(len(step_BT))[:, None]
            numbers.append(torch.where(step_BT == NONE, NONE, unique_BT)[batch.keep_BT])
            first += max(most, 1) * len(step_BT)
        return Steps(tokens, torch.cat(numbers))


class Steps(Activations):
    """Means of other activations over steps; ``step_N`` numbers the step of each row, -1 where it is in none."""

    def __init__(self, base: Activations, step_N: Tensor) -> None:
        row_M = torch.nonzero(step_N != NONE).flatten()
        if len(row_M) == 0:
            raise UserError("there is no step in the documents: none of their tokens is counted")
        _, count_S = torch.unique_consecutive(step_N[row_M], return_counts=True)
        self._base, self._row_M, self._count_S = base, row_M, count_S
        self._start_S = count_S.cumsum(0) - count_S
        self._doc_S = base.doc_N[row_M[self._start_S]]

    @property
    def doc_N(self) -> Tensor:
        """int64 ``[N]``."""
        return self._doc_S

    @property
    def width(self) -> int:
        """``D``."""
        return self._base.width

    def take(self, index_N: Tensor) -> Tensor:
        """Return the means of steps ``index_N``."""
        count_n = self._count_S[index_N]
        within_M = torch.arange(int(count_n.sum())) - torch.repeat_interleave(count_n.cumsum(0) - count_n, count_n)
        row_M = self._row_M[torch.repeat_interleave(self._start_S[index_N], count_n) + within_M]
        mean_nD: Tensor = torch.segment_reduce(self._base.take(row_M).double(), "mean", lengths=count_n)
        return mean_nD.float()
