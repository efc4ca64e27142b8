"""The texts of a task's train split as an environment: a policy writes on, and the frozen model reads what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from harness.api import Courses, Environment
from harness.data.tokens import Sequences
from harness.errors import UserError
from harness.lm.generation import end_ids
from harness.lm.model import LanguageModel
from harness.lm.unembedding import ModelEnd
from harness.lm.writing import Texts, begin, go_on

# Beginnings of texts are kept while their tokens × blocks × width stay below this: some 700 MB of keys and values in a
# model where three query heads share one of them.
KEPT = 2**28


@dataclass(frozen=True)
class Places:
    """Where the rows of a split stand.

    Attributes:
        ids: token ids of each sequence.
        sequence_N: int64, the sequence of each row.
        at_N: int64, its position there.
        next_N: int64, the token that text of the same document goes on with; -1 where none.
    """

    ids: tuple[tuple[int, ...], ...]
    sequence_N: Tensor
    at_N: Tensor
    next_N: Tensor

    @classmethod
    def of(cls, sequences: Sequences, index_N: Tensor | None) -> Places:
        """Return the places of all kept tokens, or of some of them."""
        ids: list[tuple[int, ...]] = []
        sequence, at, following = [], [], []
        for batch in sequences.batches:
            row_N, at_N = batch.keep_BT.nonzero(as_tuple=True)
            sequence.append(row_N + len(ids))
            at.append(at_N)
            next_BT = torch.where(batch.target_BT, torch.roll(batch.ids_BT, -1, dims=1), -1)
            following.append(next_BT[batch.keep_BT])
            ids += [
                tuple(row[: int(mask.sum())].tolist()) for row, mask in zip(batch.ids_BT, batch.mask_BT, strict=True)
            ]
        found = [torch.cat(pieces) for pieces in (sequence, at, following)]
        some = found if index_N is None else [value_N[index_N] for value_N in found]
        return cls(tuple(ids), *some)

    def before(self, row: int) -> tuple[int, ...]:
        """Return the text up to and including the token of a row."""
        return self.ids[int(self.sequence_N[row])][: int(self.at_N[row]) + 1]

    def followed(self, steps: int) -> Tensor:
        """Return the rows that begin ``steps`` rows of neighbouring tokens, text following each of them."""
        first_N = torch.arange(max(len(self.at_N) - steps + 1, 0))
        last_N = first_N + steps - 1
        together_N = self.sequence_N[first_N] == self.sequence_N[last_N]
        together_N &= self.at_N[last_N] - self.at_N[first_N] == steps - 1
        missing_N = torch.cat([torch.zeros(1, dtype=torch.int64), (self.next_N < 0).cumsum(0)])
        return first_N[together_N & (missing_N[last_N + 1] == missing_N[first_N])]


@final
class TextEnvironment(Environment):
    """Goes on with the train split's texts, at the tokens of its rows.

    A class stands for its token, but OTHER stands for many: one of them is drawn, by how often it follows in the train
    split. A text ends with a token that ends the model's own texts.
    """

    def __init__(self, end: ModelEnd, block: int, places: Callable[[], Places]) -> None:
        self.end, self.block, self._find = end, block, places
        self._begun: dict[tuple[int, ...], Texts] = {}
        self._size = 0

    @property
    def model(self) -> LanguageModel:
        """The model that reads."""
        return self.end.model

    @cached_property
    def _places(self) -> Places:
        return self._find()

    @property
    def last(self) -> int:
        """The block whose output the model's own predictions are made of."""
        return self.model.info.blocks - 1

    def places(self, steps: int) -> Tensor:
        """Return the rows from which a course of ``steps`` can start."""
        row_N = self._places.followed(steps)
        if not len(row_N):
            raise UserError(
                f"no text of the train split goes on for {steps} tokens after any of its tokens; take fewer steps, or "
                "give the task a larger 'budget.context'."
            )
        return row_N

    def begin(self, row_B: Tensor, seed: int) -> Courses:
        """Return texts up to the tokens of some rows; they are read once, and kept where they are few."""
        rows = tuple(row_B.tolist())
        texts = self._begun.get(rows)
        if texts is None:
            texts = begin(self.model, [self._places.before(row) for row in rows], {self.block, self.last})
            self._keep(rows, texts)
        return _TextCourses(self, texts.copied(), torch.Generator().manual_seed(seed))

    def _keep(self, rows: tuple[int, ...], texts: Texts) -> None:
        size = texts.mask_BS.numel() * self.model.info.blocks * self.model.info.width
        if self._size + size <= KEPT:
            self._begun[rows] = texts
            self._size += size

    def tokens(self, class_B: Tensor, generator: torch.Generator) -> Tensor:
        """Return a token of each class, int64 on the CPU."""
        class_B, kept_K = class_B.cpu(), self.end.vocabulary.kept_K
        if kept_K is None:
            return class_B
        drawn_B = torch.multinomial(self._others_V, len(class_B), replacement=True, generator=generator)
        return torch.where(class_B < len(kept_K), kept_K[class_B.clamp_max(len(kept_K) - 1)], drawn_B)

    @cached_property
    def _others_V(self) -> Tensor:
        """How often each token follows that OTHER stands for; each alike where none of them does."""
        vocabulary, next_N = self.end.vocabulary, self._places.next_N
        others_V = torch.ones(vocabulary.tokens)
        others_V[vocabulary.kept_K] = 0
        count_V = torch.bincount(next_N[next_N >= 0], minlength=vocabulary.tokens) * others_V
        return count_V if bool(count_V.any()) else others_V

    @cached_property
    def ends(self) -> Tensor:
        """The tokens that end a text."""
        return torch.tensor(end_ids(self.model), dtype=torch.int64)


class _TextCourses(Courses):
    """Texts under way."""

    def __init__(self, environment: TextEnvironment, texts: Texts, generator: torch.Generator) -> None:
        self._environment, self._texts, self._generator = environment, texts, generator

    @property
    def x_BD(self) -> Tensor:
        """Activations at the site."""
        return self._texts.at[self._environment.block]

    @torch.no_grad()
    def logp(self) -> Tensor:
        """Return the model's own predictions."""
        return self._environment.end.logp(self._texts.at[self._environment.last])

    def write(self, class_B: Tensor) -> Tensor:
        """Write a token of each class; returns which texts it ends."""
        id_B = self._environment.tokens(class_B, self._generator)
        self._texts = go_on(self._environment.model, self._texts, id_B)
        return torch.isin(id_B, self._environment.ends).to(class_B.device)
