"""Where and how a language model is steered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from harness.api import Intervention, Progress, silent
from harness.lm.blocks import device_of
from harness.lm.continued import Followed, continued
from harness.lm.model import LanguageModel
from harness.lm.under import biased, spliced
from harness.tracks.changes import splice_of

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where and how a model is steered.

    Attributes:
        model: the language model.
        block: the block whose output is changed, from 0.
        tail: whether new tokens alone are changed (with the last one before them), not the whole prompt.
        batch_tokens: tokens of a batch.
        first: whether the first token of a text is changed too.
        limit: norm above which a token is left as it is.
        folder: where what is written is kept, if anywhere.
        progress: told about batches.
    """

    model: LanguageModel
    block: int
    tail: bool
    batch_tokens: int
    first: bool = False
    limit: float = math.inf
    folder: Path | None = None
    progress: Progress = silent

    @property
    def device(self) -> torch.device:
        """Where the block runs, and what changes its output."""
        return device_of(self.model.blocks[self.block], self.model.device)

    @contextmanager
    def under(self, found: Intervention) -> Iterator[None]:
        """Let the model run under an intervention inside the block; prefixes are the prompts' business."""
        splice = splice_of(found, first=self.first, limit=self.limit, tail=self.tail)
        with spliced(self.model, {} if splice is None else {self.block: splice}), biased(self.model, found.bias):
            yield

    def ids(self, text: str, *, inside: bool = False) -> tuple[int, ...]:
        """Return the tokens of a text; of one that stands inside another, without special tokens."""
        ids = self.model.tokenizer(text, add_special_tokens=not inside, verbose=False)["input_ids"]
        return tuple(int(id_) for id_ in ids)

    def each(self, texts: Sequence[Followed], found: Intervention, take: Callable[[int, Tensor], T]) -> list[T]:
        """Return what ``take`` makes of the number of each text and the log-probabilities ``[T, V]`` of its tokens."""
        with self.under(found):
            read = {row: take(row, logp_TV) for row, logp_TV in continued(self.model, texts, self.batch_tokens)}
        return [read[row] for row in range(len(texts))]
