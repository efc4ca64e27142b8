"""Arms of steering on some problems: what a language model writes under an intervention, and what is counted of it.

All arms continue the same prompts from the same random numbers. What is written is kept on disk under the name of its
arm; everything else is read from it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from harness.api import Intervention, Progress, silent
from harness.data.vocabulary import Entry, find
from harness.errors import CellError
from harness.lm.continued import Followed, continued
from harness.lm.generation import Continuation, Prompt, Sampling, generate
from harness.lm.model import LanguageModel
from harness.lm.under import biased, spliced
from harness.metrics.contract import Array
from harness.metrics.written import Written, harmonic, marks, runs
from harness.tracks.changes import splice_of

T = TypeVar("T")
Texts = list[tuple[Continuation, ...]]
Numbers = dict[str, Array]
Judge = Callable[[Sequence[str], str], tuple[bool, bool]]
"""Of what was written for one problem and of its label: whether it is right, and whether there is an answer at all."""

_GRAM, _PAIR = 4, 2


@dataclass(frozen=True)
class Problem:
    """What is asked, the right answer as it follows the text, and what an answer is held against."""

    id: str
    text: str
    gold: str
    label: str
    group: str = ""


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

    def nats(self, texts: Sequence[Followed], found: Intervention) -> list[float]:
        """Return the log-probability of every continuation."""

        def own(row: int, logp_TV: Tensor) -> float:
            after = list(texts[row].after)
            return float(logp_TV[torch.arange(len(after)), after].double().sum())

        return self.each(texts, found, own)


class Steered:
    """Measures arms on the same problems; ``n`` problems, one number for each, summed over its texts."""

    def __init__(
        self, place: Place, problems: Sequence[Problem], words: Sequence[Entry], asked: Sampling, judge: Judge
    ) -> None:
        self.place, self.problems, self.words, self.asked, self.judge = place, problems, words, asked, judge
        self.first = sorted({sequence[0] for word in words for sequence in word.sequences})

    def write(self, found: Intervention, arm: str) -> Texts:
        """Return what the model writes; ``arm`` names everything that decides the intervention.

        Raises:
            CellError: with what is put before them prompts go beyond what the model reads.
        """
        place, most = self.place, self.place.model.info.context
        prompts = [Prompt(one.id, place.ids(found.prefix + one.text)) for one in self.problems]
        longest = max(len(prompt.ids) for prompt in prompts) + self.asked.max_tokens
        if found.prefix and most is not None and longest > most:
            raise CellError(f"with what is put before it a prompt may come to {longest} tokens; the model reads {most}")
        folder = place.folder / arm if place.folder else None
        with place.under(found):
            return generate(place.model, prompts, self.asked, place.batch_tokens, folder, place.progress)

    def counted(self, texts: Texts) -> Numbers:
        """Return what is counted of texts, one number for each problem."""
        each = zip(texts, self.problems, strict=True)
        answers = [self.judge([text.text for text in several], one.label) for several, one in each]
        counted: dict[str, Sequence[float]] = {
            "texts": [len(several) for several in texts],
            "right": [right for right, _ in answers],
            "parsed": [parsed for _, parsed in answers],
            "censored": [any(text.ended == "length" for text in several) for several in texts],
        }
        for name, count in _COUNTS.items():
            counted[name] = [sum(count(text) for text in several) for several in texts]
        counted["hits"] = [sum(self._hits(text.ids) for text in several) for several in texts]
        return {name: np.array(value, dtype=np.float64) for name, value in counted.items()}

    def gold(self, found: Intervention) -> Numbers:
        """Return what the model thinks of the right answers under an intervention."""
        gold = [Followed(self.place.ids(found.prefix + p.text), self._gold(p)) for p in self.problems]
        return {
            "gold_logp": np.array(self.place.nats(gold, found)),
            "gold_tokens": np.array([len(one.after) for one in gold], dtype=np.float64),
        }

    def _gold(self, problem: Problem) -> tuple[int, ...]:
        return self.place.ids(problem.gold, inside=True)

    def _hits(self, ids: Sequence[int]) -> int:
        """Count where a word of the task ends."""
        if not ids:
            return 0
        ids_1T = np.array([ids])
        return sum(int(find(ids_1T, np.zeros_like(ids_1T), word)[1].sum()) for word in self.words)

    def surprise(self, texts: Texts) -> Numbers:
        """Return the nats of each problem's texts under the model as it is, behind the plain prompt."""
        some = [(row, text.ids) for row, several in enumerate(texts) for text in several if text.ids]
        followed = [Followed(self.place.ids(self.problems[row].text), ids) for row, ids in some]
        total_n = np.zeros(len(texts))
        np.add.at(
            total_n, np.array([row for row, _ in some], dtype=np.int64), self.place.nats(followed, Intervention())
        )
        return {"nll_base": -total_n}

    @cached_property
    def clean(self) -> tuple[Texts, Numbers]:
        """What the model writes as it is, with every number of it."""
        texts = self.write(Intervention(), "clean")
        return texts, self.counted(texts) | self.surprise(texts) | self.gold(Intervention())

    @cached_property
    def willing_clean(self) -> Array:
        """``willing`` of the model as it is."""
        return self.willing(Intervention())

    def willing(self, found: Intervention) -> Array:
        """Return the mean log-probability that a word of the task begins, over what the model writes as it is.

        Of the first text of each problem. NaN where it is empty.
        """
        texts = [several[0] for several in self.clean[0]]
        some = [row for row, text in enumerate(texts) if text.ids]
        behind = [Followed(self.place.ids(found.prefix + self.problems[row].text), texts[row].ids) for row in some]
        value_n = np.full(len(texts), np.nan)
        value_n[some] = self.place.each(behind, found, self._begins)
        return value_n

    def _begins(self, _row: int, logp_TV: Tensor) -> float:
        return float(logp_TV[:, self.first].double().logsumexp(1).mean())


_COUNTS: dict[str, Callable[[Continuation], int]] = {
    "tokens": lambda text: len(text.ids),
    "grams": lambda text: runs(text.ids, _GRAM)[0],
    "new_grams": lambda text: runs(text.ids, _GRAM)[1],
    "pairs": lambda text: runs(text.ids, _PAIR)[0],
    "new_pairs": lambda text: runs(text.ids, _PAIR)[1],
}


def harmony(own: Numbers, clean: Numbers) -> Array:
    """Return ``hm_offline`` of each problem, beside what the model writes as it is."""
    return harmonic(np.stack(marks(_written(own), _written(clean)), 1))


def _written(of: Numbers) -> Written:
    tokens_n, grams_n = np.maximum(of["tokens"], 1), np.maximum(of["grams"], 1)
    repeated_n = np.where(of["grams"] > 0, 1 - of["new_grams"] / grams_n, 0.0)
    return Written(of["hits"] / tokens_n, of["right"], of["parsed"], of["nll_base"] / tokens_n, repeated_n)
