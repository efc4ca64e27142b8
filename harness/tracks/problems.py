"""The problems of a steering task: which are asked, at which level of difficulty, and how answers are judged.

Where a task has levels, the level is chosen by what the model as it is answers to validation problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.data.extracted import is_right, majority
from harness.data.splits import Document
from harness.errors import UserError
from harness.lm.generation import Prompt, Sampling, generate
from harness.specs.ask import Written
from harness.specs.record import SplitPart
from harness.specs.steering import Steering
from harness.tracks.generated import chosen, outside
from harness.tracks.site import Site
from harness.tracks.steered import Problem


class Problems:
    """Chooses the problems of one group; everything is computed at its first use."""

    def __init__(self, site: Site) -> None:
        self.site = site
        spec = site.task.spec
        if spec.steering is None or spec.ask is None or spec.ask.written is None:
            raise ValueError("specs let a task of steering through without 'steering' or 'ask.written'")
        self._name, self._asked, self.written = spec.task, spec.steering, spec.ask.written

    _asked: Steering
    written: Written

    def judged(self, texts: Sequence[str], label: str) -> tuple[bool, bool]:
        """Say whether what most texts answer is right, and whether they answer at all."""
        answer = majority(self.written, texts)
        return is_right(self.written, answer, label), answer is not None

    @cached_property
    def _right_by_level(self) -> dict[int, float]:
        """The share of right answers on validation problems, by level, up to the first within the band."""
        found: dict[int, float] = {}
        documents = self._fitting("val")
        for level in sorted({one.level for one in documents if one.level is not None}):
            some = [one for one in documents if one.level == level][: self._asked.val_problems]
            found[level] = self._share_right(some)
            if not outside(found[level], self._asked.band):
                break
        return found

    def _share_right(self, documents: Sequence[Document]) -> float:
        asked, site = self._asked, self.site
        prompts = [Prompt(one.id, self._ids(one.text)) for one in documents]
        sampling = Sampling(self.written.max_tokens, asked.temperature, self.written.until, asked.samples, asked.seed)
        resources = site.resources
        folder = resources.cache / "generations" / "clean"
        texts = generate(site.model, prompts, sampling, resources.batch_tokens, folder, resources.progress)
        each = zip(texts, documents, strict=True)
        return sum(self.judged([t.text for t in several], str(one.label))[0] for several, one in each) / len(documents)

    @cached_property
    def level(self) -> int | None:
        """The level that is measured; None where there are none."""
        return chosen(self._right_by_level, self._asked.band)

    @property
    def details(self) -> dict[str, float]:
        """What the level was chosen by."""
        found = {f"right on val, level {level}": share for level, share in self._right_by_level.items()}
        return found if self.level is None else found | {"level": float(self.level)}

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the choice of problems."""
        notes = [f"{count} {why}" for why, count in self._dropped("test").items() if count]
        share = self._right_by_level.get(self.level) if self.level is not None else None
        if share is not None and outside(share, self._asked.band):
            low, high = self._asked.band
            notes.append(
                f"at no level are {low:.0%} to {high:.0%} of the answers on val right; level {self.level} "
                f"({share:.0%}) is nearest to the middle"
            )
        return notes

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.site.model.tokenizer(text, verbose=False)["input_ids"])

    def _tokens(self, document: Document) -> int:
        """Return how many tokens a problem may come to, with what is written or the right answer behind it."""
        gold = len(self._ids(document.answer or ""))
        return len(self._ids(document.text)) + max(self.written.max_tokens, gold)

    def _fits(self, document: Document) -> bool:
        return self._tokens(document) <= self.site.task.budget.context

    def _fitting(self, split: str) -> list[Document]:
        """Return the problems that have a label and fit, in the order of the corpus."""
        documents = self.site.group.corpus.splits[split]
        return [one for one in documents if one.label and one.answer and self._fits(one)]

    def _dropped(self, split: str) -> dict[str, int]:
        """Return how many problems are left out, by reason; of those of the level that is measured."""
        level = [one for one in self.site.group.corpus.splits[split] if one.level == self.level]
        labelled = [one for one in level if one.label and one.answer]
        long = sum(not self._fits(one) for one in labelled)
        return {
            "documents without a right answer were left out": len(level) - len(labelled),
            f"problems do not fit into {self.site.task.budget.context} tokens and were left out": long,
        }

    @cached_property
    def documents(self) -> dict[str, tuple[Document, ...]]:
        """The validation and test problems that are asked; raises ``UserError`` where there are none."""
        most = {"val": self._asked.val_problems, "test": self._asked.problems}
        found = {
            split: tuple([one for one in self._fitting(split) if one.level == self.level][:count])
            for split, count in most.items()
        }
        for split, some in found.items():
            if not some:
                raise UserError(f"task '{self._name}': split '{split}' has no problem that can be asked.")
        return found

    @cached_property
    def val(self) -> list[Problem]:
        """Problems that strengths are chosen on."""
        return [_problem(one) for one in self.documents["val"]]

    @cached_property
    def test(self) -> list[Problem]:
        """Problems that are measured."""
        return [_problem(one) for one in self.documents["test"]]

    @cached_property
    def cluster(self) -> NDArray[np.int64]:
        """The cluster of each test problem."""
        groups = [document.group for document in self.documents["test"]]
        return np.unique(groups, return_inverse=True)[1].astype(np.int64)

    def part(self, groups: int) -> SplitPart:
        """Describe the test problems."""
        documents = self.documents["test"]
        every = sum(one.level == self.level for one in self.site.group.corpus.splits["test"])
        tokens = sum(len(self._ids(one.text)) for one in documents)
        return SplitPart(documents=len(documents), groups=groups, tokens=tokens, cut=0, left_out=every - len(documents))


def _problem(document: Document) -> Problem:
    return Problem(document.id, document.text, document.answer or "", str(document.label), document.group)
