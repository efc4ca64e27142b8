"""The questions of a task as lm-eval asks them: which documents, in which batches, and what its records come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.splits import Document
from harness.data.squad import squad_scores
from harness.errors import UserError
from harness.lm.answering import Answering
from harness.specs.ask import Ask, Written
from harness.specs.task import TaskSpec
from harness.tracks.asking import CHOOSE, GOLD, WRITE, Asking, Edited, Found, Lengths, Step


class Questions(Asking):
    """Asks the questions of one task."""

    def __init__(self, spec: TaskSpec, ask: Ask, documents: Sequence[Document], answering: Answering) -> None:
        self._ask = ask
        super().__init__(spec, documents, answering)

    def steps(self, batch_tokens: int) -> tuple[Step, ...]:
        """Return the batches that lm-eval would make of all questions at once, so that whoever runs it gets equal bits.

        Its batches are of one size: as many requests as fit into ``batch_tokens`` were all as long as the longest.
        """
        asked = [(d.text, self._gold(d)) for d in self.taken.documents]
        if self._ask.choices:
            return self._batched(CHOOSE, [(text, f" {self._ask.choices[0]}") for text, _ in asked], batch_tokens)
        written = self._batched(WRITE, [text for text, _ in asked], batch_tokens)
        return written + self._batched(GOLD, asked, batch_tokens)

    def _batched(self, what: str, requests: Sequence[tuple[str, str] | str], batch_tokens: int) -> tuple[Step, ...]:
        new = self._ask.written.max_tokens if self._ask.written else 0
        each = zip(self.taken.tokens, self.taken.gold_tokens, strict=True)
        longest = max(before + (new if what == WRITE else after) for before, after in each)
        size = max(batch_tokens // longest, 1)
        return tuple(Step(what, tuple(batch), size) for batch in self._answering.batches(requests, size))

    def _check(self, documents: Sequence[Document]) -> None:
        wrong = next((d for d in documents if d.label and self._ask.choices and d.label not in self._ask.choices), None)
        if wrong is not None:
            raise UserError(
                f"task '{self._spec.task}': document {wrong.id} has the label '{wrong.label}'; ask.choices are "
                f"{', '.join(self._ask.choices or ())}."
            )

    def _lengths(self, document: Document) -> Lengths:
        before, after = self._answering.lengths(document.text, self._gold(document))
        return Lengths(before, after, before + max(after, self._longest(document)))

    def _longest(self, document: Document) -> int:
        """Return how many tokens another answer than the right one may have."""
        if self._ask.written:
            return self._ask.written.max_tokens
        return max(self._answering.lengths(document.text, f" {choice}")[1] for choice in self._ask.choices or ())

    def _gold(self, document: Document) -> str:
        """Return the right answer as it follows the text."""
        return (document.answer or "") if self._ask.written else f" {document.label}"

    def rows(self, step: Step, prefix: str = "") -> list[dict[str, str]]:
        """Return the documents of a step as lm-eval reads them, behind a prefix.

        Raises:
            CellError: with the prefix they go beyond what the model can read.
        """
        self.check_prefix(prefix)
        documents = [self.taken.documents[i] for i in step.questions]
        return [{"text": prefix + d.text, "label": str(d.label), "gold": self._gold(d)} for d in documents]

    def ask(self, step: Step, edited: Edited) -> Found:
        """Return what the model answers to a batch."""
        rows = self.rows(step, edited.prefix)
        return self.found(step, self._answering.ask(self.task(step.what), rows, step.size, edited.splices, edited.bias))

    def task(self, what: str) -> dict[str, Any]:
        """Return the task that does one thing with a question, as lm-eval's YAML has it."""
        common = {"task": self._spec.task, "doc_to_text": "text"}
        if what == CHOOSE:
            choices = list(self._ask.choices or ())
            return common | _scored("acc") | _kind("multiple_choice", "label") | {"doc_to_choice": choices}
        if what == GOLD or self._ask.written is None:
            return common | _scored("acc") | _kind("loglikelihood", "gold")
        return common | _kind("generate_until", "label") | _generation(self._ask.written)

    def found(self, step: Step, samples: Sequence[Mapping[str, Any]]) -> Found:
        """Return what lm-eval's records of a step come to, one number for each of its questions."""
        found: Found = {"question": np.array(step.questions, dtype=np.int64)}
        if step.what == WRITE:
            found["answer"] = np.array([str(one["resps"][0][0]) for one in samples])
            names = {"exact_match": "right", "exact": "exact", "f1": "f1"}
            return found | {ours: _floats(samples, name) for name, ours in names.items() if name in samples[0]}
        # Each request has one response: nats, and whether it is what the model would write.
        nats_nK = np.array([[response[0][0] for response in one["resps"]] for one in samples])
        if step.what == GOLD:
            return found | {"gold_logp": nats_nK[:, 0]}
        choices = self._ask.choices or ()
        gold_n = np.array([choices.index(one["doc"]["label"]) for one in samples])
        gold_logp = nats_nK[np.arange(len(samples)), gold_n]
        return found | {
            "answer": np.array([choices[i] for i in nats_nK.argmax(1).tolist()]),
            "right": _floats(samples, "acc"),
            "gold_logp": gold_logp,
            "choice_logp": gold_logp - np.logaddexp.reduce(nats_nK, axis=1),
        }


def _floats(samples: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    return np.array([float(one[name]) for one in samples])


def _scored(*names: str, **options: Any) -> dict[str, Any]:
    return {
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True, **options} for name in names]
    }


def _kind(output: str, target: str) -> dict[str, Any]:
    return {"output_type": output, "doc_to_target": target}


def _generation(written: Written) -> dict[str, Any]:
    asked = {"until": list(written.until), "do_sample": False, "max_gen_toks": written.max_tokens}
    pick = (
        {"function": "regex", "group_select": -1, "regex_pattern": written.extract}
        if written.extract
        else {"function": "remove_whitespace"}
    )
    filters = [{"name": "judged", "filter": [pick, {"function": "take_first"}]}]
    scored = _scored("exact_match", ignore_case=True, regexes_to_ignore=list(written.ignore))
    if written.judge == "words":
        scored = _scored("exact", "f1") | {"process_results": _squad}
    return {"generation_kwargs": asked, "filter_list": filters, **scored}


def _squad(document: Mapping[str, str], results: Sequence[str]) -> dict[str, float]:
    exact, f1 = squad_scores(results[0], document["label"].splitlines())
    return {"exact": exact, "f1": f1}
