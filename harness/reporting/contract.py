"""What a report is made from, and what a report has to give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness.board.pool import Entry
from harness.stats.estimate import Estimate
from harness.store.records import StoredRecord, load_record

F = TypeVar("F")


@dataclass(frozen=True)
class Source:
    """One table of a run folder: every measured row, and which contestants are asked for.

    Attributes:
        folder: the run folder.
        task: the task's name.
        table: hash of the resolved task.
        entries: the rows that were measured, controls too.
        methods: labels of the contestants the report is about.
        notes: what could not be used, in words.
    """

    folder: Path
    task: str
    table: str
    entries: tuple[Entry, ...]
    methods: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def track(self) -> str:
        """The track its rows were measured by."""
        return self.entries[0].head.task.track

    @property
    def controls(self) -> tuple[Entry, ...]:
        """The floors a contestant is held against, in the order of their labels."""
        return tuple(entry for entry in self.entries if entry.role == "floor")

    @property
    def head(self) -> Entry:
        """The row that tells what was run: a contestant where there is one."""
        return next(iter(self.contestants), self.entries[0])

    @property
    def contestants(self) -> tuple[Entry, ...]:
        """The rows the report is about."""
        return tuple(entry for entry in self.entries if entry.label in self.methods)

    def stored(self, entry: Entry) -> StoredRecord:
        """Return the first measured record of a row, whose parts come first in ``entry.measured``."""
        return load_record(self.folder / entry.cells[next(iter(entry.measured))].path)


@dataclass(frozen=True)
class Measure:
    """A value with its interval; what is None has a reason. ``constant``: the same in every resample."""

    value: float | None
    lo: float | None = None
    hi: float | None = None
    reason: str | None = None
    constant: bool = False

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """What is judged by: the interval, or the value itself where it has no spread."""
        return (self.value, self.value) if self.constant else (self.lo, self.hi)


def measure(found: Estimate) -> Measure:
    """Return an estimate as a report keeps it."""
    return Measure(found.value, found.lo, found.hi, found.reason, found.how == "constant")


class TrackReport(ABC, Generic[F]):
    """A report; ``F`` is a frozen dataclass of plain data, which is what ``--json`` prints.

    Attributes:
        tracks: whose records it reads; a run folder has to hold some of at least one.
        bare: those of them whose tables are kept where controls alone were measured.
        title: of the page.
        template: file in ``reports``.
        styles: files in ``reports``, after those of every page.
    """

    tracks: tuple[str, ...]
    bare: tuple[str, ...] = ()
    title: str
    template: str
    styles: tuple[str, ...]

    @abstractmethod
    def findings(self, sources: Sequence[Source]) -> F:
        """Return everything the report says, in numbers and words."""

    @abstractmethod
    def views(self, findings: F) -> Mapping[str, Any]:
        """Return what the template is given: drawings besides the findings."""

    @abstractmethod
    def markdown(self, findings: F) -> str:
        """Return the findings as Markdown."""

    @abstractmethod
    def lines(self, findings: F) -> tuple[tuple[str, ...], list[list[str]]]:
        """Return columns and rows of the table a terminal shows."""
