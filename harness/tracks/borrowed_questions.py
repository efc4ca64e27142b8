"""The questions of a task of lm-eval: its requests in its batches, under an edit or none, scored by its own code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from lm_eval.api.instance import Instance

from harness.data.lm_eval_task import make_scorer, still, templates_of
from harness.data.splits import Document
from harness.errors import UserError
from harness.lm.answering import Answering
from harness.specs.ask import Ask, Borrowed
from harness.specs.lm_eval_tasks import find
from harness.specs.task import TaskSpec
from harness.tracks.asking import CHOOSE, GOLD, WRITE, Asking, Edited, Found, Lengths, Step, by_number

# What its other metrics are here, where they are numbers.
_KEPT = {"em": "exact", "exact": "exact", "f1": "f1"}
_SIDES = ("", "_clean")


class BorrowedQuestions(Asking):
    """Asks the questions of one task of lm-eval.

    Choices of one question may come to lie in several batches; they are scored once all are there.
    """

    def __init__(self, spec: TaskSpec, ask: Ask, documents: Sequence[Document], answering: Answering) -> None:
        if ask.lm_eval is None:
            raise ValueError("specs let a task without 'ask.lm_eval' through")
        self._asked: Borrowed = ask.lm_eval
        self._files = find(self._asked.name)
        # In lm-eval's own order, since it looks at the first document to see what the others are like.
        order = sorted(documents, key=lambda document: int(document.id.rpartition("/")[2]))
        self._scorer = make_scorer(self._asked, [_of(document)["doc"] for document in order])
        self._how = self._scorer.config.generation_kwargs or {}
        super().__init__(spec, documents, answering)

    @property
    def _written(self) -> bool:
        return self._files.output == "generate_until"

    def _check(self, documents: Sequence[Document]) -> None:
        """Nothing: the documents were made by lm-eval."""

    def _lengths(self, document: Document) -> Lengths:
        if self._written:
            before, gold = self._answering.lengths(document.text, document.answer or "")
            return Lengths(before, gold, before + max(gold, self._answering.longest_answer(self._how)))
        problem = _of(document)
        each = [self._answering.lengths(*one) for one in problem["requests"]]
        right = problem["gold"][0] if problem["gold"] else 0
        return Lengths(each[0][0], each[right][1], max(sum(one) for one in each))

    def steps(self, batch_tokens: int) -> tuple[Step, ...]:
        """Return the batches that lm-eval would make of all questions at once; see ``Asking.steps``."""
        documents = self.taken.documents
        size = max(batch_tokens // max(self._lengths(document).most for document in documents), 1)
        every = [(i, k) for i, document in enumerate(documents) for k in range(len(_of(document)["requests"]))]
        if self._written:
            prompts = [document.text for document in documents]
            gold = [(document.text, document.answer or "") for document in documents]
            written = [Step(WRITE, tuple(batch), size) for batch in self._answering.batches(prompts, size)]
            read = [Step(GOLD, tuple(batch), size) for batch in self._answering.merged(gold, size)]
            return (*written, *read)
        pairs = [self._pair(*place) for place in every]
        what = CHOOSE if self._files.output == "multiple_choice" else GOLD
        return tuple(
            Step(what, tuple(every[n][0] for n in batch), size, tuple(every[n][1] for n in batch))
            for batch in self._answering.merged(pairs, size)
        )

    def _pair(self, question: int, choice: int) -> tuple[str, str]:
        prompt, after = _of(self.taken.documents[question])["requests"][choice]
        return prompt, after

    def identity(self, step: Step) -> tuple[Any, ...]:
        """Return what lm-eval's files hold, and which choices are in the batch."""
        return self._files.sha256, step.choices

    def ask(self, step: Step, edited: Edited) -> Found:
        """Return what the model answers to a batch."""
        self.check_prefix(edited.prefix)
        found: dict[str, Any] = {"question": by_number(step.questions)}
        documents = [self.taken.documents[i] for i in step.questions]
        if step.what == WRITE:
            prompts = [edited.prefix + document.text for document in documents]
            texts = self._answering.write(prompts, self._how, step.size, edited.splices, edited.bias)
            scores = [self._scored(d, [text]) for d, text in zip(documents, texts, strict=True)]
            return found | {"answer": np.array(texts)} | _columns(scores)
        if step.choices:
            pairs = [self._pair(*place) for place in zip(step.questions, step.choices, strict=True)]
        else:
            pairs = [(document.text, document.answer or "") for document in documents]
        asked = [(edited.prefix + prompt, after) for prompt, after in pairs]
        read = self._answering.read(asked, step.size, edited.splices, edited.bias)
        nats_n = np.array([nats for nats, _ in read])
        if step.what == CHOOSE:
            greedy_n = np.array([float(greedy) for _, greedy in read])
            return found | {"choice": by_number(step.choices), "logp": nats_n, "greedy": greedy_n}
        if self._written:
            return found | {"gold_logp": nats_n}
        scores = [self._scored(d, [one]) for d, one in zip(documents, read, strict=True)]
        return found | {"gold_logp": nats_n} | _columns(scores)

    def settled(self, contributions: Iterable[Found]) -> Iterator[Found]:
        """Return numbers by question: those by choice are scored here, where all choices of a question are."""
        held: dict[int, dict[int, Mapping[str, float]]] = {}
        for found in contributions:
            if "choice" not in found:
                yield found
                continue
            names = [name for name in found if name not in ("question", "choice")]
            for row, (question, choice) in enumerate(zip(found["question"], found["choice"], strict=True)):
                of_question = held.setdefault(int(question), {})
                of_question[int(choice)] = {name: float(found[name][row]) for name in names}
        if held:
            rows = [self._weighed(question, held[question]) for question in sorted(held)]
            yield {"question": by_number(sorted(held)), **_columns(rows)}

    def _weighed(self, question: int, by_choice: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
        document = self.taken.documents[question]
        problem = _of(document)
        found: dict[str, Any] = {}
        for side in _SIDES:
            if f"logp{side}" not in by_choice[0]:
                continue
            each = [by_choice[k] for k in range(len(problem["requests"]))]
            answers = [(one[f"logp{side}"], bool(one[f"greedy{side}"])) for one in each]
            nats_K = np.array([nats for nats, _ in answers[: problem["choices"]]])
            gold_logp = np.logaddexp.reduce(nats_K[problem["gold"]])
            scores = self._scored(document, answers) | {
                "gold_logp": gold_logp,
                "choice_logp": gold_logp - np.logaddexp.reduce(nats_K),
            }
            found |= {f"{name}{side}": value for name, value in scores.items()}
            if not side:
                prompt, after = problem["requests"][int(nats_K.argmax())]
                found["answer"] = after.strip() if len({r[1] for r in problem["requests"]}) > 1 else prompt
        return found

    def _scored(self, document: Document, answers: Sequence[Any]) -> dict[str, float]:
        """Return lm-eval's numbers of one question that have a place here."""
        problem = _of(document)
        pairs = zip(problem["requests"], answers, strict=True)
        requests = [
            Instance("", problem["doc"], tuple(one), k, resps=[answer]) for k, (one, answer) in enumerate(pairs)
        ]
        filters = self._scorer._filters
        chosen = next((one for one in filters if one.name == self._asked.filter), filters[0])
        with still(), templates_of(self._asked):
            chosen.apply(requests)
            found = self._scorer.process_results(problem["doc"], [one.filtered_resps[chosen.name] for one in requests])
        named = {ours: float(found[name]) for name, ours in _KEPT.items() if _is_number(found.get(name))}
        if self._asked.score is None:
            return named
        right = float(found[self._asked.score])
        if right not in (0, 1):
            raise UserError(
                f"task '{self._spec.task}': '{self._asked.score}' is {right:g} of document {document.id}, neither 1 "
                "nor 0; choose another of lm-eval's metrics with ask.lm_eval.score."
            )
        return named | {"right": right}

    def notes(self) -> list[str]:
        """Say whose numbers they are, and which of them and of its filters are not kept."""
        notes = [f"asked and scored by lm-eval {version('lm-eval')}"]
        kept = {self._asked.score, *_KEPT} if self._written else {self._asked.score}
        lost = [name for name in self._files.metrics if name not in kept]
        notes += [f"of lm-eval's metrics {', '.join(lost)} are not kept"] if lost else []
        filters = [one.name for one in self._scorer._filters]
        if len(filters) > 1:
            chosen = self._asked.filter or filters[0]
            notes.append(f"of lm-eval's filters {', '.join(filters)} '{chosen}' is kept")
        return notes


def _of(document: Document) -> Mapping[str, Any]:
    if document.problem is None:
        raise ValueError(f"document {document.id} was not made by lm-eval")
    return document.problem


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, np.number))


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
