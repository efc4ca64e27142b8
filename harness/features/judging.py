"""Labels in words from a judge, tested by the judge on the windows that lexical labels are tested on.

As delphi does (Paulo et al. 2024, arXiv 2410.13928): 40 firing windows, four from each tenth, explain a latent; 50
firing and 50 silent windows of other groups test the label, five a question, by detection and by fuzzing. Unlike there,
an answer that cannot be read counts as wrong, and the same windows are also judged by another latent's label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import Progress
from harness.features.asking import Rules
from harness.features.endpoint import Endpoint, Messages
from harness.features.exhibits import Exhibits
from harness.features.labels import rotate
from harness.features.lexical import Side, as_dict, quality
from harness.features.questions import detect, explain, fuzz, marked, read_label, read_verdicts
from harness.specs.features import Judged, Verdicts

NO_LABEL = "the judge gave no label of the form asked for"


@dataclass(frozen=True)
class Paper:
    """One test of one label: the windows in the order they are asked about.

    Attributes:
        texts: what the judge is shown of each.
        truth_n: bool, whether it is a positive.
        group_n: the group of each.
    """

    texts: list[str]
    truth_n: NDArray[np.bool_]
    group_n: NDArray[np.int64]


class Judging:
    """Asks a judge about the latents of one layer."""

    def __init__(self, endpoint: Endpoint, held: Exhibits, tokens: Sequence[str], rules: Rules) -> None:
        self.endpoint, self.held, self.tokens, self.rules = endpoint, held, tokens, rules

    def judge(self, latents: Sequence[int], progress: Progress, where: str) -> dict[int, Judged]:
        """Return what the judge makes of each latent; all of them must have windows."""
        asked = [self._explanation(self.held.sides[latent][0]) for latent in latents]
        answers = self.endpoint.ask(asked, progress, f"labels in words, {where}")
        read = {latent: read_label(answer) for latent, answer in zip(latents, answers, strict=True)}
        labels = {latent: text for latent, text in read.items() if text is not None}
        tests = dict(self._tests(labels))
        said = self._answers(labels, tests, progress, where)
        return {latent: self._judged(latent, labels, tests, said) for latent in latents}

    def _explanation(self, side: Side) -> Messages:
        places = zip(side.fires.tolist(), side.bits.tolist(), side.peak.tolist(), strict=True)
        pieces = [(self._marked(w, bits), self.tokens[int(self.held.type_M[peak])]) for w, bits, peak in places]
        # Windows come in ascending order of their largest activation.
        return explain(pieces[::-1])

    def _marked(self, window: int, bits: int) -> str:
        words = self._words(window)
        return marked(words, [bool(bits >> i & 1) for i in range(len(words))])

    def _words(self, window: int) -> list[str]:
        return [self.tokens[t] for t in self.held.tokens(window)]

    def _tests(self, latents: Iterable[int]) -> Iterator[tuple[tuple[int, str], Paper]]:
        for latent in latents:
            side = self.held.sides[latent][1]
            random = np.random.default_rng([self.rules.seed, latent])
            windows = np.concatenate([side.fires, side.silent])
            truth = np.arange(windows.size) < side.fires.size
            plain = ["".join(self._words(int(w))) for w in windows]
            high = [self._marked(int(w), int(bits)) for w, bits in zip(windows, self._bits(side, random), strict=True)]
            for name, texts in (("detection", plain), ("fuzzing", high)):
                order = random.permutation(windows.size)
                paper = Paper([texts[i] for i in order], truth[order], self.held.group_W[windows[order]])
                yield (latent, name), paper

    def _bits(self, side: Side, random: np.random.Generator) -> list[int]:
        """Return what is highlighted: the true tokens of firing windows, random ones of silent windows (delphi)."""
        wrong = int(np.ceil(side.active.mean()))
        lengths = self.held.length_W[side.silent].tolist()
        drawn = [random.permutation(length)[:wrong].tolist() for length in lengths]
        return [*map(int, side.bits), *(sum(1 << i for i in places) for places in drawn)]

    def _answers(
        self, labels: Mapping[int, str], tests: Mapping[tuple[int, str], Paper], progress: Progress, where: str
    ) -> dict[tuple[int, str], str]:
        """Return ``1``, ``0`` or ``?`` for every window of every test, and of detection by another's label."""
        other = rotate(list(labels), self.rules.seed)
        plans: list[tuple[tuple[int, str], Paper, Any, str]] = []
        for (latent, name), paper in tests.items():
            plans.append(((latent, name), paper, detect if name == "detection" else fuzz, labels[latent]))
            if name == "detection" and latent in other:
                plans.append(((latent, "permuted"), paper, detect, labels[other[latent]]))
        questions = [
            (key, len(texts), form(label, texts))
            for key, paper, form, label in plans
            for texts in self._batches(paper.texts)
        ]
        answers = self.endpoint.ask([question for *_, question in questions], progress, f"testing labels, {where}")
        said: dict[tuple[int, str], str] = {}
        for (key, count, _), answer in zip(questions, answers, strict=True):
            verdicts = read_verdicts(answer, count)
            said[key] = said.get(key, "") + ("?" * count if verdicts is None else _digits(verdicts))
        return said

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        size = self.rules.examples
        return (list(texts[first : first + size]) for first in range(0, len(texts), size))

    def _judged(
        self,
        latent: int,
        labels: Mapping[int, str],
        tests: Mapping[tuple[int, str], Paper],
        said: Mapping[tuple[int, str], str],
    ) -> Judged:
        if latent not in labels:
            return Judged(label=None, reason=NO_LABEL, detection=None, fuzzing=None, permuted=None)
        papers = {name: tests[latent, "fuzzing" if name == "fuzzing" else "detection"] for name in _TESTS}
        found = {name: verdicts(papers[name], said[latent, name]) for name in _TESTS if (latent, name) in said}
        return Judged(
            label=labels[latent],
            reason=None,
            detection=found["detection"],
            fuzzing=found["fuzzing"],
            permuted=found.get("permuted"),
        )


_TESTS = ("detection", "fuzzing", "permuted")


def verdicts(paper: Paper, said: str) -> Verdicts:
    """Score what was said of the windows of a test; what cannot be read is wrong, whatever the truth."""
    unread = np.array([c == "?" for c in said])
    yes = np.where(unread, ~paper.truth_n, np.array([c == "1" for c in said]))
    found = as_dict(quality(yes.astype(np.float64), paper.truth_n, 0.5, paper.group_n))
    del found["auroc"]  # of two values: nothing that balanced accuracy does not say
    return Verdicts(truth=_digits(paper.truth_n.tolist()), said=said, unparsed=round(float(unread.mean()), 4), **found)


def _digits(values: Sequence[bool]) -> str:
    return "".join("1" if value else "0" for value in values)
