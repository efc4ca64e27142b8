"""Track ``answers``: what a language model answers while a method changes it at one block.

lm-eval asks and scores. Every unit is one of the batches that it would make of all questions at once, so that the model
without an edit gives lm-eval's own numbers. What that model answers is asked once for all methods, and kept.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.api import Intervention, Method
from harness.data.rows import fingerprint
from harness.errors import CellError
from harness.lm.answering import Answering
from harness.metrics.contract import Parts
from harness.specs.ask import Ask
from harness.specs.identity import digest
from harness.specs.record import DataPart, SplitPart
from harness.stats.turned import turned
from harness.store.files import write_bytes
from harness.store.items import Item
from harness.tracks.asking import Asking, Edited, Step
from harness.tracks.borrowed_questions import BorrowedQuestions
from harness.tracks.changes import changing, intervention_of, splice_of
from harness.tracks.contract import Contribution, Group, Measured, Resources
from harness.tracks.describing import data_part, turned_details
from harness.tracks.foreign import each
from harness.tracks.questions import Questions
from harness.tracks.site_track import SiteTrack

# Up whenever the same questions would be asked or scored in another way.
VERSION = 1
_TEXT = ("answer",)
_NO_NUMBER = ("question", "choice", *_TEXT)
# What an edit adds to the share of right answers.
_GAIN = "d_acc"


class Answers(SiteTrack):
    """Measures what changes activations by what the model answers then."""

    def __init__(self, group: Group, resources: Resources) -> None:
        super().__init__(group, resources)
        if self.task.spec.ask is None:
            raise ValueError("specs let a task without 'ask' through")
        self._ask: Ask = self.task.spec.ask

    def prepare(self) -> None:
        """Choose the questions, and read what methods are fitted on."""
        self.questions  # noqa: B018 - what cannot be asked is refused before anything is fitted
        super().prepare()

    @cached_property
    def answering(self) -> Answering:
        """The language model as lm-eval sees it."""
        return Answering(self.site.model)

    @cached_property
    def questions(self) -> Asking:
        """The questions of the test split."""
        documents = self.group.corpus.splits["test"]
        kind = Questions if self._ask.lm_eval is None else BorrowedQuestions
        return kind(self.task.spec, self._ask, documents, self.answering)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The batches of requests."""
        return self.questions.steps(self.resources.batch_tokens)

    @cached_property
    def _cluster(self) -> NDArray[np.int64]:
        """The cluster of each question."""
        groups = [document.group for document in self.questions.taken.documents]
        return np.unique(groups, return_inverse=True)[1].astype(np.int64)

    def units(self) -> tuple[str, ...]:
        """Return the identity of every batch of requests."""
        return tuple(self._key(step) for step in self.steps)

    def _key(self, step: Step) -> str:
        """Return everything that decides what the model answers to a batch as it is."""
        documents = tuple(self.questions.taken.documents[i] for i in step.questions)
        texts, origin = fingerprint({"test": documents}), self.group.origin
        asked = [self._ask.model_dump(exclude_none=True), *self.questions.identity(step)]
        return digest([VERSION, origin.model, origin.dtype, self.model_device(), asked, step.what, texts])

    def measure(self, unit: int, methods: Mapping[str, Method]) -> dict[str, Contribution | CellError]:
        """Ask one batch as the model is, and under each method."""
        step, done = self.steps[unit], 0
        clean = self._clean(step)

        def one(_: str, method: Method) -> Contribution:
            nonlocal done
            self.resources.progress("asking one batch under each edit", done, len(methods))
            done += 1
            return self._under(step, method, clean)

        results = each(methods, changing, self.task.spec.track, one)
        self.resources.progress("asking one batch under each edit", len(methods), len(methods))
        return results

    def _under(self, step: Step, method: Method, clean: Contribution) -> Contribution:
        found = intervention_of(changing(method, self.task.spec.track))
        own = clean if found == Intervention() else self._asked(step, found)
        beside = {f"{name}_clean": value for name, value in clean.items() if name not in _NO_NUMBER}
        return {**own, **beside}

    def _asked(self, step: Step, found: Intervention) -> Contribution:
        mask = self.task.spec.mask
        limit = self.site.norm_limit if found.change and mask.outliers == "drop" else math.inf
        splice = splice_of(found, first=mask.first == "keep", limit=limit)
        edits = {} if splice is None else {self.task.layer: splice}
        return self.questions.ask(step, Edited(found.prefix, edits, found.bias))

    def _clean(self, step: Step) -> Contribution:
        """Return what the model answers as it is, from disk where it is there whole."""
        path = self.resources.cache / "answers" / f"{self._key(step)}.npz"
        try:
            with np.load(path, allow_pickle=False) as archive:
                found = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, zipfile.BadZipFile):
            found = self._asked(step, Intervention())
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **found)
            write_bytes(path, buffer.getvalue())
        # The same batch may have other numbers in another run.
        return found | {"question": np.array(step.questions, dtype=np.int64)}

    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Put what was found of each question in its place, and add it up by cluster."""
        taken = self.questions.taken
        per_question: dict[str, NDArray[np.float64]] = {"gold_tokens": np.array(taken.gold_tokens, dtype=np.float64)}
        answers = [""] * len(taken.documents)
        for found in self.questions.settled(contributions):
            for name, value in found.items():
                if name in _TEXT:
                    for question, text in zip(found["question"].tolist(), value.tolist(), strict=True):
                        answers[question] = text
                elif name != "question":
                    held = per_question.setdefault(name, np.full(len(taken.documents), np.nan))
                    held[found["question"]] = value
        parts = {name: np.bincount(self._cluster, value).astype(np.float64) for name, value in per_question.items()}
        parts["n"] = np.bincount(self._cluster).astype(np.float64)
        details = {"questions": float(len(taken.documents)), "prompt tokens": float(sum(taken.tokens))}
        details |= {f"requests at once: {step.what}": float(step.size) for step in self.steps}
        details |= self._turned(per_question)
        keep = self.group.parts | {"n"}
        return Measured(
            {name: value for name, value in parts.items() if name in keep},
            details,
            items=self._items(answers, per_question),
        )

    def _turned(self, per_question: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
        """Return how many answers the edit turns, and the p-value of a change of accuracy by chance."""
        if "right" not in per_question:
            return {}
        return turned_details(turned(per_question["right_clean"], per_question["right"], self._cluster))

    def _items(self, answers: Sequence[str], per_question: Mapping[str, NDArray[np.float64]]) -> tuple[Item, ...]:
        return tuple(
            Item(
                id=document.id,
                group=document.group,
                author=None,
                prompt=document.text,
                answer=answer,
                label=str(document.label),
                numbers={name: float(value[row]) for name, value in per_question.items()},
            )
            for row, (document, answer) in enumerate(zip(self.questions.taken.documents, answers, strict=True))
        )

    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Say which questions were not asked."""
        taken, notes = self.questions.taken, [*self.group.corpus.warnings]
        if taken.unlabelled:
            notes.append(f"{taken.unlabelled} documents without a right answer were left out")
        if taken.long:
            notes.append(
                f"{taken.long} questions do not fit into {self.task.budget.context} tokens with their answers and were "
                "left out"
            )
        return [*notes, *self.questions.notes(), *self._without_room(parts)]

    def _without_room(self, parts: Parts) -> list[str]:
        """Say where the model has so little right that losing all of it would meet the bar on what is lost."""
        bar, right = self.task.spec.bars.get(_GAIN), parts.get("right_clean")
        if bar is None or bar.min is None or right is None or right.sum() > -bar.min * parts["n"].sum():
            return []
        return [
            f"the model as it is answers {right.sum():.0f} of {parts['n'].sum():.0f} questions rightly, and no edit "
            f"can lose more: the bar on {_GAIN} cannot be missed"
        ]

    def data_part(self) -> DataPart:
        """Describe the questions that were asked, and what methods were fitted on."""
        taken, groups = self.questions.taken, len(np.unique(self._cluster))
        asked = SplitPart(
            documents=len(taken.documents), groups=groups, tokens=sum(taken.tokens), cut=0, left_out=taken.left_out
        )
        fitted = {split: self.site.fit_sequences(split).part for split in ("train", "val")}
        mask = self.task.spec.mask.model_dump()
        return data_part(self.group.corpus, {"test": asked} | fitted, groups, mask)


TRACK = Answers
