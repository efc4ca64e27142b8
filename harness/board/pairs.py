"""Entries that may be compared head to head: of two methods in one folder, or of one method in two folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.board.pool import Entry, pool
from harness.board.read import Cell, read_cells
from harness.board.rows import Problem
from harness.errors import UserError, unknown


@dataclass(frozen=True)
class Pair:
    """Two entries of one table: their records share the hash of the resolved task, so their clusters are the same."""

    a: Entry
    b: Entry

    @property
    def task(self) -> str:
        """The task's name."""
        return self.a.head.task.name

    @property
    def table(self) -> str:
        """The hash of the resolved task."""
        return self.a.head.task.table


@dataclass(frozen=True)
class Pairs:
    """What can be compared, and what cannot.

    Attributes:
        pairs: in the order of task, table and row.
        unpaired: what one side has alone, in words.
        problems: files that could not be used.
    """

    pairs: tuple[Pair, ...]
    unpaired: tuple[str, ...]
    problems: tuple[Problem, ...]


Tables = dict[tuple[str, str], list[Entry]]
# What ``tables_of`` returns: entries by task and hash of the resolved task, and the files that could not be used.
Read = tuple[Tables, tuple[Problem, ...]]


def of_methods(folder: Path, a: str, b: str) -> Pairs:
    """Pair two methods (labels of rows, as the board shows them) in every table of a folder that has both.

    Raises ``UserError`` where no table has a method of such a name.
    """
    tables, problems = tables_of(folder)
    labels = sorted({entry.label for entries in tables.values() for entry in entries})
    for name in (a, b):
        if name not in labels:
            raise unknown("method", name, labels, f"{folder}/results")
    pairs, alone = [], []
    for (task, _), entries in tables.items():
        found = {entry.label: entry for entry in entries}
        if a in found and b in found:
            pairs.append(Pair(found[a], found[b]))
        elif a in found or b in found:
            alone.append(f"{task}: only {a if a in found else b}")
    return Pairs(tuple(pairs), tuple(alone), problems)


def of_folders(a: Path, b: Path) -> Pairs:
    """Pair every method and control with itself, in two folders.

    A method is the same where name and what it is derived from are; its identity (parameters, code) may have changed,
    which is what a comparison of folders is for. Of several identities in one folder the newest counts.
    """
    return paired(a, tables_of(a), b, tables_of(b))


def paired(a: Path, of_a: Read, b: Path, of_b: Read) -> Pairs:
    """Return what ``of_folders`` does, of two folders that were read already."""
    (ours, left), (theirs, right) = of_a, of_b
    pairs, alone = [], []
    for key in sorted({*ours, *theirs}):
        mine, other = _newest(ours.get(key, [])), _newest(theirs.get(key, []))
        pairs += [Pair(mine[name], other[name]) for name in mine if name in other]
        for folder, has, has_not in ((a, mine, other), (b, other, mine)):
            alone += [f"{key[0]}: {entry.label} only in {folder}" for name, entry in has.items() if name not in has_not]
    if not pairs:
        raise UserError(f"'{a}' and '{b}' share no method on any resolved task; nothing can be compared")
    return Pairs(tuple(pairs), tuple(alone), (*left, *right))


def _newest(entries: Sequence[Entry]) -> dict[tuple[str, str], Entry]:
    by_age = sorted(entries, key=lambda entry: entry.head.provenance.finished)
    return {(entry.key[0], entry.key[1]): entry for entry in by_age}


def tables_of(folder: Path) -> Read:
    """Return the pooled entries of every table under ``FOLDER/results``, and the files that could not be used."""
    cells, problems = read_cells(folder)
    by_table: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        by_table.setdefault((cell.record.task.name, cell.record.task.table), []).append(cell)
    pooled: Tables = {}
    for key, of_table in sorted(by_table.items()):
        pooled[key], odd, _ = pool(of_table)
        problems += odd
    return pooled, tuple(problems)
