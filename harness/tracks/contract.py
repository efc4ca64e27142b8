"""What a kind of evaluation does for one group of cells: the cells that share model, data and site.

The engine fits those methods of the group that are fitted once on ``train()``, walks through ``units()`` once, and
hands each unit to ``measure`` with all the methods that still need it. So the language model runs once per unit however
many methods there are, and a killed run goes on at the first unit that is not on disk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from harness.api import Method, Progress, Setting, Train
from harness.data.rows import Corpus
from harness.errors import CellError
from harness.lm.loading import LoadOptions, load_model
from harness.lm.model import LanguageModel
from harness.metrics.contract import Parts
from harness.specs.identity import Origin
from harness.specs.record import DataPart, ModelPart
from harness.specs.resolve import ResolvedTask

Contribution = dict[str, NDArray[Any]]


@dataclass
class Resources:
    """What every group of a run shares: folders, options, and language models already loaded."""

    cache: Path
    options: LoadOptions
    batch_tokens: int
    progress: Progress
    _models: dict[str, LanguageModel] = field(default_factory=dict)

    def model(self, name: str) -> LanguageModel:
        """Return a language model, loading it at the first call. Only one is kept: the next one takes its place."""
        if name not in self._models:
            self._models.clear()
            self._models[name] = load_model(name, self.options, self.progress)
        return self._models[name]


@dataclass(frozen=True)
class Group:
    """What the cells of a group share, besides the resources.

    Attributes:
        task: the resolved task.
        corpus: its documents.
        fit_corpus: the documents methods are fitted on (the same object where the task has no corpus).
        origin: model, dtype and fit documents, for the keys of what is cached.
        parts: names of the parts that the task's metrics read; a track may skip the others.
    """

    task: ResolvedTask
    corpus: Corpus
    fit_corpus: Corpus
    origin: Origin
    parts: frozenset[str]


@dataclass(frozen=True)
class Measured:
    """What a track made of a cell.

    Attributes:
        parts: what metrics read.
        details: numbers about the measurement that are not metrics.
        latents: columns of a table with one row per latent, kept beside the record; empty where a track has none.
    """

    parts: dict[str, NDArray[np.float64]]
    details: dict[str, float]
    latents: dict[str, NDArray[Any]] = field(default_factory=dict)


class Track(ABC):
    """One kind of evaluation."""

    def __init__(self, group: Group, resources: Resources) -> None:
        self.group = group
        self.task = group.task
        self.resources = resources

    @abstractmethod
    def prepare(self) -> None:
        """Read what every method needs, before the first is fitted; raises ``UserError`` where the data lack it."""

    @abstractmethod
    def train(self) -> Train:
        """Return what methods are fitted on; raises ``UserError`` where the data cannot give it."""

    @property
    @abstractmethod
    def width(self) -> int:
        """``D``: dimensions of the activations."""

    @property
    def vocabulary(self) -> int:
        """``V``: next tokens the task tells apart; 0 where a track predicts none."""
        return 0

    @final
    def setting(self, seed: int, uses: Mapping[str, Method]) -> Setting:
        """Return what the task fixes for a method: width, latents, L0 target and vocabulary."""
        budget = self.task.budget
        return Setting(self.width, budget.latents or 0, budget.l0 or 0, seed, uses, self.vocabulary)

    @abstractmethod
    def units(self) -> tuple[str, ...]:
        """Return an identity for each step of the measurement, in order; it changes whenever the step's data change."""

    @abstractmethod
    def measure(self, unit: int, methods: Mapping[str, Method]) -> dict[str, Contribution | CellError]:
        """Return each method's contribution from one unit, or why it has none."""

    @abstractmethod
    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Add the contributions of all units up. They are read from disk each time one is asked for."""

    @abstractmethod
    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Return what a reader of the cell should know; a control is not held to the budget of a contestant."""

    @abstractmethod
    def model_device(self) -> str:
        """Return where the model runs, or methods where there is none."""

    @abstractmethod
    def model_part(self) -> ModelPart | None:
        """Describe the model and the site; None where no language model runs."""

    @abstractmethod
    def data_part(self) -> DataPart:
        """Describe the documents that were measured."""
