"""Arms of steering on some problems: what a language model writes under an intervention, and what is counted of it.

All arms continue the same prompts from the same random numbers. What is written is kept on disk under the name of its
arm; everything else is read from it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from harness.api import Intervention
from harness.data.vocabulary import Entry, find
from harness.errors import CellError
from harness.lm.continued import Followed
from harness.lm.generation import Continuation, Prompt, Sampling, generate
from harness.metrics.contract import Array
from harness.metrics.written import Written, harmonic, marks, runs
from harness.tracks.doses import edit_norm
from harness.tracks.place import Place
from harness.tracks.rereading import Rereading

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
        gold = self._gold
        return {
            "gold_logp": np.array(gold.each(found, nats_of(gold.texts))),
            "gold_tokens": np.array([len(one.after) for one in gold.texts], dtype=np.float64),
        }

    @cached_property
    def _gold(self) -> Rereading:
        return Rereading(self.place, lambda prefix: [self._followed(p, prefix, self._ids(p)) for p in self.problems])

    def _ids(self, problem: Problem) -> tuple[int, ...]:
        return self.place.ids(problem.gold, inside=True)

    def _followed(self, problem: Problem, prefix: str, after: tuple[int, ...]) -> Followed:
        return Followed(self.place.ids(prefix + problem.text), after)

    def _hits(self, ids: Sequence[int]) -> int:
        """Count where a word of the task ends."""
        if not ids:
            return 0
        ids_1T = np.array([ids])
        return sum(int(find(ids_1T, np.zeros_like(ids_1T), word)[1].sum()) for word in self.words)

    def surprise(self, texts: Texts) -> Numbers:
        """Return the nats of each problem's texts under the model as it is, behind the plain prompt."""
        some = [(row, text.ids) for row, several in enumerate(texts) for text in several if text.ids]
        followed = [self._followed(self.problems[row], "", ids) for row, ids in some]
        nats = self.place.each(followed, Intervention(), nats_of(followed))
        total_n = np.zeros(len(texts))
        np.add.at(total_n, np.array([row for row, _ in some], dtype=np.int64), nats)
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
        value_n = np.full(len(self.problems), np.nan)
        value_n[self._some] = self._own.each(found, self._begins)
        return value_n

    def dose_written(self, found: Intervention) -> float:
        """Return the relative edit norm over what the model writes as it is, where it is changed.

        NaN where no activation is, or where earlier tokens decide how.
        """
        if found.change is None or found.history or not self._some or self._own.changed is None:
            return math.nan
        return edit_norm(found.change, self._own.changed, self.place.device)

    @cached_property
    def _some(self) -> list[int]:
        """The problems that the model as it is writes something for."""
        return [row for row, (text, *_) in enumerate(self.clean[0]) if text.ids]

    @cached_property
    def _own(self) -> Rereading:
        """What the model writes as it is."""
        each = [(self.problems[row], self.clean[0][row][0].ids) for row in self._some]
        return Rereading(self.place, lambda prefix: [self._followed(p, prefix, ids) for p, ids in each])

    def _begins(self, _row: int, logp_TV: Tensor) -> float:
        return float(logp_TV[:, self.first].double().logsumexp(1).mean())


def nats_of(texts: Sequence[Followed]) -> Callable[[int, Tensor], float]:
    """Return what takes the log-probability of each of some texts from those ``[T, V]`` of its tokens."""

    def nats(row: int, logp_TV: Tensor) -> float:
        after = list(texts[row].after)
        return float(logp_TV[torch.arange(len(after)), after].double().sum())

    return nats


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
