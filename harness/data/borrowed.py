"""The documents of a task of lm-eval: its prompts, what may follow them, and what is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.data.documents import ITSELF, Rendered
from harness.data.lm_eval_task import Rows, explained, make_task, requests_of, still, templates_of
from harness.data.sources import Source
from harness.data.splits import Document
from harness.data.tables import as_word, lookup
from harness.errors import UserError, unknown
from harness.specs.ask import Borrowed
from harness.specs.data import SplitPart
from harness.specs.lm_eval_tasks import find
from harness.specs.task import TaskSpec


def borrowed_documents(spec: TaskSpec, asked: Borrowed, source: Source) -> Rendered:
    """Return the documents that lm-eval makes of rows, numbered as it numbers them.

    A document's ``problem`` holds its row (``doc``), the ``requests`` (prompt and what follows it; the prompt alone
    where an answer is written), how many of them are ``choices``, and which of those are right (``gold``).

    Raises:
        UserError: lm-eval cannot read the rows, or has no score, filter or column of a name the task gives.
    """
    splits = {split: list(table.rows) for split, table in source.tables.items()}
    part = getattr(spec.data, "splits").test  # noqa: B009 - of the sources that have rows
    if not isinstance(part, SplitPart):
        raise UserError(f"task '{spec.task}': lm-eval asks one split of the data: give data.splits.test as {{split}}.")
    task = make_task(asked, splits)
    reader = _Reader(spec, asked, task)
    documents = reader.documents(part.split, task.eval_docs, requests_of(asked, task))
    return Rendered({part.split: documents}, len(splits[part.split]), 0)


class _Reader:
    """Turns what lm-eval asks into documents."""

    def __init__(self, spec: TaskSpec, asked: Borrowed, task: Any) -> None:
        self._spec, self._asked, self._task = spec, asked, task
        self._output = find(asked.name).output
        self._first_with: dict[str, str] = {}

    def documents(self, split: str, rows: Rows, requests: list[list[Any]]) -> list[Document]:
        self._check(rows[0], len(requests[0]))
        with still(), templates_of(self._asked), explained(self._asked):
            each = zip(rows, requests, strict=True)
            found = [self._document(f"{split}/{i}", dict(row), asked) for i, (row, asked) in enumerate(each)]
        if all(document.label is None for document in found):
            # To lm-eval a column that is not there is a word.
            raise UserError(
                f"task '{self._spec.task}': of {len(found)} rows lm-eval finds no right answer among the choices; do "
                "they have the columns of its data set?"
            )
        return found

    def _check(self, row: Mapping[str, Any], requests: int) -> None:
        """Score one document as if it had been answered, so that a wrong word costs no run."""
        filters = [one.name for one in self._task._filters]
        if self._asked.filter is not None and self._asked.filter not in filters:
            raise unknown("filter", self._asked.filter, filters, f"task '{self._spec.task}': ask.lm_eval.filter")
        answers: list[Any] = [(-1.0 - i, False) for i in range(requests)]
        with still(), templates_of(self._asked), explained(self._asked):
            found = self._task.process_results(row, [""] if self._output == "generate_until" else answers)
        score = self._asked.score
        where = f"task '{self._spec.task}': ask.lm_eval.score"
        if score is not None and score not in found:
            raise unknown("metric", score, found, where)
        if score is not None and found[score] not in (0, 1):
            raise UserError(
                f"{where}: '{score}' is not 1 or 0 for one answer ({found[score]}); it says not what is right."
            )

    def _document(self, name: str, row: dict[str, Any], asked: list[Any]) -> Document:
        target = self._task.doc_to_target(row)
        choices = self._task.doc_to_choice(row) if self._task.config.doc_to_choice is not None else None
        gold = self._gold(row, target, choices or []) if self._output == "multiple_choice" else [0]
        written = self._output == "generate_until"
        requests = [list(one[:1]) if written else list(one[:2]) for one in asked]
        answer, label = None, None
        if written:
            word = target[0] if isinstance(target, list) and target else target
            label = str(choices[word] if choices and isinstance(word, int) else word)
            answer = f"{self._task.config.target_delimiter}{label}"
        elif gold:
            label = requests[gold[0]][1].strip() or requests[gold[0]][1]
        count = len(choices) if self._output == "multiple_choice" and choices else 0
        problem = {"doc": row, "requests": requests, "choices": count, "gold": gold if count else []}
        return Document(name, self._group(name, row, requests), None, requests[0][0], label, answer, problem)

    def _gold(self, row: dict[str, Any], target: Any, choices: list[str]) -> list[int]:
        """Return which choices are right, as lm-eval reads it; none where the right one is none of them."""
        given = self._task.doc_to_text(row) if self._task.multiple_input else target
        several = given if isinstance(given, list) else [given]
        found = [choices.index(one) if isinstance(one, str) and one in choices else one for one in several]
        return [one for one in found if isinstance(one, int) and 0 <= one < len(choices)]

    def _group(self, name: str, row: dict[str, Any], requests: list[list[str]]) -> str:
        column = self._spec.documents.group
        if column == ITSELF:
            # Two equal questions are one unit.
            return self._first_with.setdefault(as_word(requests), name)
        try:
            value = lookup(row, column)
        except KeyError:
            raise unknown("column", column, row, f"task '{self._spec.task}': data.group") from None
        return as_word(value)
