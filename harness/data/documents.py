"""Rows become documents: an id, a group, a domain, and the rendered text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from harness.data.sources import Source
from harness.data.splits import Document
from harness.data.tables import Row, Table, as_word, lookup, unpivoted
from harness.data.template import Template
from harness.errors import UserError, did_you_mean
from harness.specs.data import PromptData
from harness.specs.task import TaskSpec

# As a group: every row by itself.
ITSELF = "id"


@dataclass(frozen=True)
class Rendered:
    """Documents by split of the source; how many rows were read, and how many of them gave no text."""

    documents: dict[str, list[Document]]
    rows: int
    empty: int


@dataclass(frozen=True)
class Templates:
    """The templates of a task; None for a key it does not have."""

    text: Template
    label: Template | None = None
    answer: Template | None = None
    twins: tuple[Template, ...] = ()

    @classmethod
    def of(cls, spec: TaskSpec) -> Templates:
        """Compile the templates of a task; raises ``UserError``."""
        label = Template(spec.label, spec.task, "label") if spec.label else None
        given, key = (spec.answers.given, "answers.given") if spec.answers else (None, "ask.gold")
        given = spec.ask.gold if spec.ask else given
        answer = Template(given, spec.task, key) if given is not None else None
        twins = tuple(Template(twin, spec.task, f"twins.{i}") for i, twin in enumerate(spec.twins))
        return cls(Template(spec.text or "", spec.task), label, answer, twins)

    @property
    def all(self) -> tuple[Template, ...]:
        """Those there are."""
        return tuple(one for one in (self.text, self.label, self.answer, *self.twins) if one is not None)

    @property
    def columns(self) -> frozenset[str]:
        """The columns they name."""
        return frozenset().union(*(one.columns for one in self.all))


def read_documents(spec: TaskSpec, source: Source, templates: Templates) -> Rendered:
    """Render every row of a source.

    Raises ``UserError`` on a missing column or value, a repeated id, or no text at all.
    """
    reader = _Reader(spec, templates)
    unpivot = spec.documents.unpivot
    tables = source.tables
    if unpivot:
        tables = {split: unpivoted(held, unpivot.columns, unpivot.name) for split, held in tables.items()}
    documents = reader.grouped({split: reader.read(split, table) for split, table in tables.items()})
    if not any(documents.values()):
        what = f"all {reader.rows} rows render to an empty text" if reader.rows else "there are no rows"
        raise UserError(f"task '{spec.task}': the data set '{source.origin.name}' is empty: {what}.")
    return Rendered(documents, reader.rows, reader.empty)


class _Reader:
    """Reads the splits of one source, one after the other."""

    def __init__(self, spec: TaskSpec, templates: Templates) -> None:
        self._task, self._data, self._templates = spec.task, spec.documents, templates
        generated = spec.answers is not None and spec.answers.generated is not None
        # A verifier judges by the row, and a level is told by it.
        self._keep_row = generated or getattr(self._data, "levels", None) is not None
        self._id = self._data.id or ("id" if isinstance(self._data, PromptData) else None)
        # Two equal texts are one unit, even where every row is a group of its own.
        self._first_with: dict[str, str] = {}
        # Groups that turned out to be one, as a row had a text of each.
        self._joined: dict[str, str] = {}
        self.rows = 0
        self.empty = 0

    def read(self, split: str, table: Table) -> list[Document]:
        """Return the documents of one split."""
        documents: dict[str, Document] = {}
        for number, row in enumerate(table.rows):
            if number == 0:
                self._check(table)
            self.rows += 1
            for document in self._documents(split, number, row):
                if document.id in documents:
                    raise UserError(
                        f"task '{self._task}': column '{self._id}' names two rows '{document.id}'; an id must be "
                        "unique within a split."
                    )
                documents[document.id] = document
        kept = [document for document in documents.values() if document.text.strip()]
        self.empty += len(documents) - len(kept)
        return kept

    def _check(self, table: Table) -> None:
        for template in self._templates.all:
            template.check(table.columns)
        group = None if self._data.group == ITSELF else self._data.group
        for key, name in (("id", self._id), ("group", group), ("domain", self._data.domain)):
            if name is not None and name not in table.columns and name.partition(".")[0] not in table.columns:
                raise UserError(
                    f"task '{self._task}': data.{key} names the column '{name}', which the data do not have."
                    f"{did_you_mean(name, table.columns)} Columns: {', '.join(sorted(table.columns))}."
                )

    def _documents(self, split: str, number: int, row: Row) -> Iterator[Document]:
        """Yield the document of a row, and one for each of its twins."""
        place = f"{split}/{number}" if split else str(number)
        own = place if self._id is None else as_word(self._value(row, self._id, "id", place))
        name = f"{split}/{own}" if split and self._id is not None else own
        texts = [template.render(row, name) for template in (self._templates.text, *self._templates.twins)]
        if self._data.group == ITSELF:
            group = self._group_of(texts, own)
        else:
            group = as_word(self._value(row, self._data.group, "group", name))
        domain = self._value(row, self._data.domain, "domain", name) if self._data.domain else None
        label = self._templates.label.render(row, name).strip() if self._templates.label else ""
        answer = self._templates.answer.render(row, name) if self._templates.answer else None
        problem = row if self._keep_row else None
        whole = Document(name, group, None if domain is None else as_word(domain), "", label or None, answer, problem)
        for twin, text in enumerate(texts):
            yield replace(whole, id=f"{name}/{twin}" if twin else name, text=text)

    def _group_of(self, texts: list[str], own: str) -> str:
        """Return the group of a row: that of an earlier one with one of its texts, which then all belong to it."""
        known = [self._root(self._first_with[text]) for text in texts if text in self._first_with]
        group = known[0] if known else own
        self._joined |= {other: group for other in known if other != group}
        for text in texts:
            self._first_with.setdefault(text, group)
        return group

    def _root(self, group: str) -> str:
        while group in self._joined:
            group = self._joined[group]
        return group

    def grouped(self, documents: dict[str, list[Document]]) -> dict[str, list[Document]]:
        """Return the documents of all splits with the groups that turned out to be one."""
        if not self._joined:
            return documents
        return {s: [replace(d, group=self._root(d.group)) for d in held] for s, held in documents.items()}

    def _value(self, row: Row, column: str, key: str, name: str) -> Any:
        try:
            value = lookup(row, column)
        except KeyError:
            raise UserError(f"task '{self._task}': row {name} has no column '{column}' (data.{key}).") from None
        if value is None and key != "domain":
            raise UserError(f"task '{self._task}': row {name} has no value in column '{column}' (data.{key}).")
        return value
