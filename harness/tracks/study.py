"""One thing that is measured of error probes, in steps of its own: each step is a unit of the measurement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from harness.api import ErrorProbe, Features
from harness.tracks.answer_reader import AnswerReader
from harness.tracks.contract import Contribution
from harness.tracks.folds import Floats, Judged


@dataclass(frozen=True)
class Asked:
    """What every study of a group sees.

    Attributes:
        reader: the answers, and the model that reads them.
        items: their labels, groups and folds.
        wanted: names of the parts that the task's metrics read.
    """

    reader: AnswerReader
    items: Judged
    wanted: frozenset[str]

    @property
    def places(self) -> int:
        """Blocks × positions."""
        return len(self.reader.task.blocks) * len(self.reader.spec.positions.names)


@dataclass(frozen=True)
class Found:
    """What a study came to: parts that metrics read, numbers beside them, and columns with one row per feature."""

    parts: dict[str, Floats]
    details: dict[str, float] = field(default_factory=dict)
    table: dict[str, NDArray[Any]] = field(default_factory=dict)


class Study(ABC):
    """Measures one thing of every probe; where the task wants none of it, it has no steps."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    @property
    @abstractmethod
    def steps(self) -> tuple[str, ...]:
        """Name every step, in order."""

    @abstractmethod
    def measure(self, step: int, probe: ErrorProbe, features: Features, items: Judged) -> Contribution:
        """Return what one step finds; ``items`` are the answers as this probe is told of them."""

    @abstractmethod
    def reduce(self, contributions: Sequence[Contribution]) -> Found:
        """Add up what the steps found."""
