"""What asks a language model questions: which documents are asked, in which batches, and what its answers come to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import Bias
from harness.data.splits import Document
from harness.errors import CellError, UserError
from harness.lm.answering import Answering
from harness.lm.spliced import Splice
from harness.specs.task import TaskSpec

# What is done with a question: choices are weighed, an answer is written, the right one is read.
CHOOSE, WRITE, GOLD = "choose", "write", "gold"
Found = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Step:
    """One batch.

    Attributes:
        what: what is done.
        questions: the numbers of the questions it is done with.
        size: how many requests a whole batch has.
        choices: which choice of its question each request is about; empty where a question has one request.
    """

    what: str
    questions: tuple[int, ...]
    size: int
    choices: tuple[int, ...] = ()


@dataclass(frozen=True)
class Taken:
    """The questions that are asked, in the order of the corpus, and how many were not.

    Attributes:
        documents: the questions.
        tokens: tokens before each answer.
        gold_tokens: tokens of each right answer.
        unlabelled: documents without a label: nothing is known to be right.
        long: documents that do not fit into the context with their answer.
        left_out: documents beyond the budget.
    """

    documents: tuple[Document, ...]
    tokens: tuple[int, ...]
    gold_tokens: tuple[int, ...]
    unlabelled: int
    long: int
    left_out: int


@dataclass(frozen=True)
class Lengths:
    """Tokens before an answer, of the right one, and of the longest request there is of a question."""

    before: int
    gold: int
    most: int


@dataclass(frozen=True)
class Edited:
    """What is done to the model and before the question."""

    prefix: str
    splices: Mapping[int, Splice]
    bias: Bias


class Asking(ABC):
    """Asks the questions of one task."""

    def __init__(self, spec: TaskSpec, documents: Sequence[Document], answering: Answering) -> None:
        self._spec, self._answering = spec, answering
        most, context = answering.model.info.context, spec.budget.context
        if most is not None and context > most:
            raise UserError(f"task '{spec.task}': the model reads {most} tokens, 'budget.context' is {context}.")
        self._check(documents)
        self.taken = self._take(documents)

    @abstractmethod
    def _check(self, documents: Sequence[Document]) -> None:
        """Raise ``UserError`` where documents are not as the task says."""

    @abstractmethod
    def _lengths(self, document: Document) -> Lengths:
        """Return how long the requests of a question are, in tokens."""

    @abstractmethod
    def steps(self, batch_tokens: int) -> tuple[Step, ...]:
        """Return the batches that lm-eval would make of all questions at once, so that whoever runs it gets equal bits.

        Its batches are of one size: as many requests as fit into ``batch_tokens`` were all as long as the longest.
        """

    @abstractmethod
    def ask(self, step: Step, edited: Edited) -> Found:
        """Return what the model answers to a batch: numbers by ``question``, or by ``question`` and ``choice``.

        Raises:
            CellError: with what stands before them the questions go beyond what the model can read.
        """

    def settled(self, contributions: Iterable[Found]) -> Iterable[Found]:
        """Return numbers by question, of contributions that may have some by choice."""
        return contributions

    def identity(self, step: Step) -> tuple[Any, ...]:
        """Return what decides the answers to a batch beside its documents and what the task says."""
        return ()

    def notes(self) -> list[str]:
        """Return what a reader should know of how it is asked."""
        return []

    def check_prefix(self, prefix: str) -> None:
        """Raise ``CellError`` where questions behind a prefix go beyond what the model can read."""
        most = self._answering.model.info.context
        room = self._spec.budget.context + (self._answering.lengths(prefix, "")[0] if prefix else 0)
        if most is not None and room > most:
            raise CellError(f"with what is put before it a question may have {room} tokens; the model reads {most}")

    def _take(self, documents: Sequence[Document]) -> Taken:
        budget = self._spec.budget
        taken: list[tuple[Document, int, int]] = []
        tokens = unlabelled = long = seen = 0
        for document in documents:
            if budget.test_tokens is not None and tokens >= budget.test_tokens:
                break
            seen += 1
            if not document.label:
                unlabelled += 1
                continue
            lengths = self._lengths(document)
            if lengths.most > budget.context:
                long += 1
                continue
            taken.append((document, lengths.before, lengths.gold))
            tokens += lengths.before
        if not taken:
            raise UserError(
                f"task '{self._spec.task}': there is no question to ask; of {seen} documents {unlabelled} have no "
                f"label and {long} do not fit into 'budget.context', {budget.context} tokens, with their answers."
            )
        asked, before_each, after_each = zip(*taken, strict=True)
        return Taken(asked, before_each, after_each, unlabelled, long, len(documents) - seen)


def by_number(numbers: Sequence[int]) -> NDArray[np.int64]:
    """Return numbers of questions or choices as a contribution holds them."""
    return np.array(numbers, dtype=np.int64)
