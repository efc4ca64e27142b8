"""Documents are divided by group: what shares a group is never on two sides of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UserError
from harness.specs.data import SplitPart, Splits

# The column that says at which level of difficulty a problem was made.
LEVEL = "level"
# Test first: changing the shares of train and val leaves it as it is.
ORDER = ("test", "val", "train")
# Constants, so that two tasks over the same rows hold out the same groups.
_GROUP_SALT = "interp-harness group "
_DOCUMENT_SALT = "interp-harness document "


@dataclass(frozen=True)
class Document:
    """One text.

    Attributes:
        id: unique in the corpus; ``SPLIT/NAME`` where the source has splits.
        group: what is never separated, and the unit of every interval.
        domain: what results are broken down by, or None.
        text: the rendered template.
        label: the class of the document, or None.
        answer: what follows the text and is judged; None in a task without answers.
        problem: the row behind it, where the model is to answer it and a verifier to judge.
    """

    id: str
    group: str
    domain: str | None
    text: str
    label: str | None = None
    answer: str | None = None
    problem: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def level(self) -> int | None:
        """Which level of difficulty the problem is of; None where there are no levels."""
        return None if self.problem is None else self.problem.get(LEVEL)


@dataclass(frozen=True)
class Divided:
    """Documents by split, and how many a split lost because an earlier one of test, val, train holds their group."""

    splits: dict[str, tuple[Document, ...]]
    shared: dict[str, int]


def _rank(salt: str, word: str) -> tuple[bytes, str]:
    return hashlib.sha256((salt + word).encode("utf-8", "surrogatepass")).digest(), word


def cut(groups: Iterable[str], shares: Sequence[float]) -> list[frozenset[str]]:
    """Shuffle the groups, the same way always, and cut them by cumulative shares of their number.

    Every part gets at least one group; raises ``ValueError`` where there are fewer groups than parts. The order of two
    groups depends on their names alone, so a few more groups move a few across an edge and leave the rest.
    """
    order = sorted(set(groups), key=lambda group: _rank(_GROUP_SALT, group))
    if len(order) < len(shares):
        raise ValueError(f"{len(order)} groups cannot be cut into {len(shares)} parts")
    parts, start, total = [], 0, 0.0
    for i, share in enumerate(shares):
        total += share
        still_needed = len(shares) - i - 1
        end = min(max(round(total * len(order)), start + 1), len(order) - still_needed)
        parts.append(frozenset(order[start:end]))
        start = end
    return parts


def divide(documents: dict[str, list[Document]], splits: Splits, task: str) -> Divided:
    """Divide documents, given by split of the source, as the task says.

    A document whose group occurs in test is dropped from val and train, and one whose group occurs in val from train.
    Within a split the order is that of a hash of the id: any prefix is a fair sample, and groups are interleaved.
    """
    chosen = _chosen(documents, splits, task)
    taken: set[str] = set()
    result: dict[str, tuple[Document, ...]] = {}
    shared: dict[str, int] = {}
    for name in (name for name in ORDER if name in chosen):
        kept = [document for document in chosen[name] if document.group not in taken]
        shared[name] = len(chosen[name]) - len(kept)
        if not kept:
            raise UserError(
                f"task '{task}': split '{name}' is empty: each of its {shared[name]} documents shares a group with an "
                f"earlier one of {', '.join(ORDER)}."
            )
        taken |= {document.group for document in kept}
        result[name] = shuffled(kept)
    return Divided(result, shared)


def shuffled(documents: Iterable[Document]) -> tuple[Document, ...]:
    """Return the documents in the order of a hash of their ids."""
    return tuple(sorted(documents, key=lambda document: _rank(_DOCUMENT_SALT, document.id)))


def _chosen(documents: dict[str, list[Document]], splits: Splits, task: str) -> dict[str, list[Document]]:
    """Cut each pool (a split of the source, or all of it) among the splits that draw on it."""
    pools: dict[str, list[tuple[str, float]]] = {}
    for name in ORDER:
        part = getattr(splits, name)
        if part is not None:
            pool, share = (part.split, part.share) if isinstance(part, SplitPart) else ("", part)
            pools.setdefault(pool, []).append((name, share))
    chosen: dict[str, list[Document]] = {}
    for pool, parts in pools.items():
        held = documents[pool] if pool in documents else [d for several in documents.values() for d in several]
        for (name, _), groups in zip(parts, _cut_pool(held, pool, parts, task), strict=True):
            chosen[name] = [document for document in held if document.group in groups]
    return chosen


def _cut_pool(held: list[Document], pool: str, parts: list[tuple[str, float]], task: str) -> list[frozenset[str]]:
    groups = {document.group for document in held}
    try:
        return cut(groups, [share for _, share in parts])
    except ValueError:
        where = f"split '{pool}' of the source" if pool else "the source"
        raise UserError(
            f"task '{task}': {where} has {len(groups)} group(s) in {len(held)} documents, too few "
            f"for {' and '.join(name for name, _ in parts)}, which need one each."
        ) from None
