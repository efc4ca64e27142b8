"""One arm of steering: what a language model writes under an intervention, and what is counted of it.

All arms continue the same prompts from the same random numbers. What is written is kept on disk under the name of its
arm; everything else is read from it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.api import Intervention, Progress, silent
from harness.data.vocabulary import Entry, find
from harness.lm.continued import Followed, continued
from harness.lm.generation import Continuation, Prompt, Sampling, generate
from harness.lm.model import LanguageModel
from harness.lm.under import biased, spliced
from harness.metrics.contract import Array
from harness.metrics.written import Written, harmonic, marks, runs
from harness.tracks.changes import splice_of

Judged = Callable[[str, str], tuple[bool, bool]]
"""Of what was written and of the label: whether it is right, and whether there is an answer at all."""

Numbers = dict[str, Array]


@dataclass(frozen=True)
class Problem:
    """What is asked, the right answer as it follows the text, and what an answer is held against."""

    id: str
    text: str
    gold: str
    label: str


@dataclass(frozen=True)
class Place:
    """Where and how a model is steered.

    Attributes:
        model: the language model.
        block: the block whose output is changed, from 0.
        tail: whether new tokens alone are changed (with the last one before them), not the whole prompt.
        batch_tokens: tokens of a batch.
        folder: where what is written is kept, if anywhere.
        progress: told about batches.
    """

    model: LanguageModel
    block: int
    tail: bool
    batch_tokens: int
    folder: Path | None = None
    progress: Progress = silent

    @contextmanager
    def under(self, found: Intervention) -> Iterator[None]:
        """Let the model run under an intervention inside the block; prefixes are the prompts' business."""
        splice = splice_of(found, first=False, limit=math.inf, tail=self.tail)
        with spliced(self.model, {} if splice is None else {self.block: splice}), biased(self.model, found.bias):
            yield

    def ids(self, text: str, *, inside: bool = False) -> tuple[int, ...]:
        """Return the tokens of a text; of one that stands inside another, without special tokens."""
        ids = self.model.tokenizer(text, add_special_tokens=not inside, verbose=False)["input_ids"]
        return tuple(int(id_) for id_ in ids)

    def logp(self, texts: Sequence[Followed], found: Intervention) -> list[Tensor]:
        """Return the log-probabilities ``[T, V]`` that the tokens of each text came from, under an intervention."""
        with self.under(found):
            read = dict(continued(self.model, texts, self.batch_tokens))
        return [read[row] for row in range(len(texts))]

    def own_logp(self, texts: Sequence[Followed], found: Intervention) -> list[Array]:
        """Return the log-probability of every token of each text, ``[T]``."""
        each = zip(texts, self.logp(texts, found), strict=True)
        return [logp_TV[torch.arange(len(t.after)), list(t.after)].double().cpu().numpy() for t, logp_TV in each]


class Steered:
    """Measures arms on the same problems; ``n`` problems, one number for each."""

    def __init__(self, place: Place, problems: Sequence[Problem], words: Sequence[Entry], asked: Sampling) -> None:
        self.place, self.problems, self.words, self.asked = place, problems, words, asked
        self.first = sorted({sequence[0] for word in words for sequence in word.sequences})

    def write(self, found: Intervention, arm: str) -> list[Continuation]:
        """Return what the model writes; ``arm`` names everything that decides the intervention."""
        place = self.place
        prompts = [Prompt(one.id, place.ids(found.prefix + one.text)) for one in self.problems]
        folder = place.folder / arm if place.folder else None
        with place.under(found):
            texts = generate(place.model, prompts, self.asked, place.batch_tokens, folder, place.progress)
        return [one for (one,) in texts]

    def numbers(self, texts: Sequence[Continuation], found: Intervention, judged: Judged) -> Numbers:
        """Return what is counted of texts that were written under an intervention, one number for each problem."""
        answers = [judged(text.text, one.label) for text, one in zip(texts, self.problems, strict=True)]
        grams, pairs = ([runs(text.ids, length) for text in texts] for length in (4, 2))
        gold = [Followed(self.place.ids(found.prefix + p.text), self._gold(p)) for p in self.problems]
        counted: dict[str, Sequence[float]] = {
            "tokens": [len(text.ids) for text in texts],
            "censored": [text.ended == "length" for text in texts],
            "hits": [self._hits(text.ids) for text in texts],
            "right": [right for right, _ in answers],
            "parsed": [parsed for _, parsed in answers],
            "grams": [number for number, _ in grams],
            "new_grams": [new for _, new in grams],
            "pairs": [number for number, _ in pairs],
            "new_pairs": [new for _, new in pairs],
            "nll_base": self._nll(texts),
            "gold_logp": [float(one.sum()) for one in self.place.own_logp(gold, found)],
        }
        return {name: np.array(value, dtype=np.float64) for name, value in counted.items()}

    def _gold(self, problem: Problem) -> tuple[int, ...]:
        return self.place.ids(problem.gold, inside=True)

    def _hits(self, ids: Sequence[int]) -> int:
        """Count where a word of the task ends."""
        if not ids:
            return 0
        ids_1T = np.array([ids])
        return sum(int(find(ids_1T, np.zeros_like(ids_1T), word)[1].sum()) for word in self.words)

    def _nll(self, texts: Sequence[Continuation]) -> list[float]:
        """Return the nats of each text under the model as it is, behind the plain prompt."""
        some = [row for row, text in enumerate(texts) if text.ids]
        followed = [Followed(self.place.ids(self.problems[row].text), texts[row].ids) for row in some]
        total = [0.0] * len(texts)
        for row, own in zip(some, self.place.own_logp(followed, Intervention()), strict=True):
            total[row] = -float(own.sum())
        return total

    def willing(self, clean: Sequence[Continuation], found: Intervention) -> Array:
        """Return the mean log-probability that a word of the task begins, over what the model writes as it is.

        NaN where it writes nothing.
        """
        some = [row for row, text in enumerate(clean) if text.ids]
        prompts = [self.place.ids(found.prefix + self.problems[row].text) for row in some]
        texts = [Followed(prompt, clean[row].ids) for prompt, row in zip(prompts, some, strict=True)]
        value_n = np.full(len(clean), np.nan)
        for row, logp_TV in zip(some, self.place.logp(texts, found), strict=True):
            value_n[row] = float(logp_TV[:, self.first].double().logsumexp(1).mean())
        return value_n


def harmony(own: Numbers, clean: Numbers) -> Array:
    """Return ``hm_offline`` of each problem, beside what the model writes as it is."""
    return harmonic(np.stack(marks(_written(own), _written(clean)), 1))


def _written(of: Numbers) -> Written:
    tokens_n, grams_n = np.maximum(of["tokens"], 1), np.maximum(of["grams"], 1)
    repeated_n = np.where(of["grams"] > 0, 1 - of["new_grams"] / grams_n, 0.0)
    return Written(of["hits"] / tokens_n, of["right"], of["parsed"], of["nll_base"] / tokens_n, repeated_n)


def side_kl(place: Place, neutral: Sequence[Followed], found: Intervention, few: int = 8) -> tuple[float, int]:
    """Return KL(as it is ‖ steered) summed over the continuations of neutral texts, and their tokens.

    Args:
        place: where and how the model is steered.
        neutral: texts that have nothing to do with the task.
        found: the intervention.
        few: texts whose distributions are held at once.
    """
    prefix = place.ids(found.prefix) if found.prefix else ()
    total, tokens = 0.0, 0
    for start in range(0, len(neutral), few):
        texts = neutral[start : start + few]
        behind = [Followed(prefix + text.prompt, text.after) for text in texts]
        for p_TV, q_TV in zip(place.logp(texts, Intervention()), place.logp(behind, found), strict=True):
            p_TV, q_TV = p_TV.double(), q_TV.double()
            total += float((p_TV.exp() * (p_TV - q_TV)).sum())
            tokens += len(p_TV)
    return total, tokens
