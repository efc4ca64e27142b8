"""A corpus on which methods are fitted shares no problem with the answers they are then asked about."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.data.rows import Corpus
from harness.data.splits import Document
from harness.errors import UserError
from harness.specs.task import TaskSpec

# What stands before a problem in one template and not in another, as in "Question: ".
_HEADING = re.compile(r"^\w+\s*:\s*")
# A group of one word, as a row's number, names another thing in another source.
_WORDS = re.compile(r"\S\s+\S")


def check_apart(task: TaskSpec, labelled: Corpus, other: TaskSpec, fitted: Corpus) -> None:
    """Raise ``UserError`` where documents that methods are fitted on hold a problem of the labelled ones.

    A problem is known by its group, where that is text or both tasks read the same data, and by the longest line of
    its text: the corpus may hold the same problem with a solution behind it.
    """
    if task.answers is None and task.steering is None:
        return
    by_name = labelled.origin.name == fitted.origin.name and labelled.origin.config == fitted.origin.config
    problems = _problems(labelled, by_name)
    shared = {
        problems[word]
        for document in _documents(fitted, ("train", "val"))
        for word in (*_groups(document, by_name), *_lines(document))
        if word in problems
    }
    if shared:
        raise UserError(
            f"task '{task.task}': {len(shared)} of its problems (the first: '{min(shared)}') are in what its corpus "
            f"'{other.task}' fits methods on; give a corpus over other problems."
        )


def _problems(labelled: Corpus, by_name: bool) -> dict[str, str]:
    """Return the words that tell a problem, each with the first document that has it.

    A line that several groups have is no problem but what the template says to each.
    """
    held: dict[str, set[str]] = {}
    for document in _documents(labelled, ("test",)):
        for line in _lines(document):
            held.setdefault(line, set()).add(document.group)
    problems: dict[str, str] = {}
    for document in _documents(labelled, ("test",)):
        own = [line for line in _lines(document) if len(held[line]) == 1]
        for word in (*_groups(document, by_name), max(own, key=len, default="")):
            problems.setdefault(word, document.id)
    problems.pop("", None)
    return problems


def _documents(corpus: Corpus, splits: Iterable[str]) -> Iterable[Document]:
    return (document for split in splits for document in corpus.splits.get(split, ()))


def _groups(document: Document, by_name: bool) -> tuple[str, ...]:
    return (_plain(document.group),) if by_name or _WORDS.search(document.group) else ()


def _lines(document: Document) -> list[str]:
    return [_plain(line) for line in document.text.splitlines()]


def _plain(line: str) -> str:
    return " ".join(_HEADING.sub("", line.strip()).split()).casefold()
