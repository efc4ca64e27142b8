"""Track ``errors``: does a probe tell which answers are wrong, on problems it never saw?

Answers come with the data. The model under study reads each once; probes see what it gave at named positions of several
blocks. Every fold is a unit of the measurement: a probe is fitted anew in it, and chooses everything across groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from harness.api import ErrorProbe, Features, Method, Train
from harness.data.rows import Corpus
from harness.errors import CellError, UserError
from harness.metrics.contract import Parts
from harness.specs.identity import digest
from harness.specs.record import DataPart, ModelPart, SplitPart
from harness.tracks.answer_reader import AnswerReader
from harness.tracks.contract import Contribution, Group, Measured, Resources, Track
from harness.tracks.cross_validation import CrossValidation
from harness.tracks.describing import data_part, model_part
from harness.tracks.error_kinds import kinds_of
from harness.tracks.folds import Ints, Judged, judged
from harness.tracks.foreign import each, error_probe
from harness.tracks.localisation import Places
from harness.tracks.sizes import EffectSizes
from harness.tracks.study import Asked, Study
from harness.tracks.texts import answer_texts
from harness.training.logistic import OUTER

STUDIES: tuple[type[Study], ...] = (CrossValidation, EffectSizes, Places)


class Errors(Track):
    """Measures error probes by nested cross-validation over groups."""

    def __init__(self, group: Group, resources: Resources) -> None:
        super().__init__(group, resources)
        self.reader = AnswerReader(group, resources)

    def prepare(self) -> None:
        """Read the answers; raises ``UserError`` where there are too few of a class, or in too few groups."""
        self.items  # noqa: B018 - what cannot be divided into folds is refused before the model reads anything
        self.reader.answers  # noqa: B018 - read here, so that the stage's seconds are its own

    def train(self) -> Train:
        """Refuse: nothing is fitted on activations before the folds are made."""
        raise UserError(f"task '{self.task.spec.task}' fits its methods in every fold, and nothing before.")

    @property
    def width(self) -> int:
        """``D``, of the model."""
        return self.reader.model.info.width

    @cached_property
    def items(self) -> Judged:
        """The answers with labels, groups and folds."""
        documents = [self.reader.documents[taken.document] for taken in self.reader.taken.sequences]
        y_n = np.array([d.label != self.reader.spec.right for d in documents], dtype=np.int64)
        _, group_n = np.unique([d.group for d in documents], return_inverse=True)
        if len(np.unique(y_n)) < 2:
            found = Counter(str(d.label) for d in documents)
            counts = ", ".join(f"{count} x '{label}'" for label, count in sorted(found.items()))
            raise UserError(
                f"task '{self.task.spec.task}': some answers must have the label '{self.reader.spec.right}' and "
                f"some another; labels found: {counts or 'none'}."
            )
        self._check_sizes(y_n, group_n)
        kinds = kinds_of([str(d.label) for d in documents], self.reader.spec.right, group_n)
        return judged(y_n, group_n.astype(np.int64), kinds)

    @cached_property
    def studies(self) -> tuple[Study, ...]:
        """What is measured, one after the other."""
        asked = Asked(self.reader, self.items, self.group.parts)
        return tuple(study(asked) for study in STUDIES)

    @cached_property
    def _steps(self) -> list[tuple[Study, int]]:
        return [(study, step) for study in self.studies for step in range(len(study.steps))]

    def _check_sizes(self, y_n: Ints, group_n: Ints) -> None:
        counts, least = np.bincount(y_n, minlength=2), self.reader.spec.least
        groups = len(np.unique(group_n))
        if counts.min() < least or groups < 2 * OUTER:
            raise UserError(
                f"task '{self.task.spec.task}': probes need {least} right and {least} wrong answers in {2 * OUTER} "
                f"groups; the budget gives {counts[0]} right and {counts[1]} wrong ones in {groups}."
            )
        for name, count in zip(("right", "wrong"), (len(np.unique(group_n[y_n == y])) for y in (0, 1)), strict=True):
            if count < OUTER:
                raise UserError(
                    f"task '{self.task.spec.task}': {name} answers must be found in {OUTER} groups, one for each "
                    f"outer fold; they are in {count}."
                )

    def units(self) -> tuple[str, ...]:
        """Return the identity of every step of every study."""
        return tuple(digest([self.reader.key, study.steps[step]]) for study, step in self._steps)

    def measure(self, unit: int, methods: Mapping[str, Method]) -> dict[str, Contribution | CellError]:
        """Take one step of one study with every probe."""
        return each(methods, error_probe, self.task.spec.track, lambda _, probe: self._one(unit, probe))

    def _one(self, unit: int, probe: ErrorProbe) -> Contribution:
        features = checked(probe.features(self.reader.answers), len(self.items.y_n))
        study, step = self._steps[unit]
        return study.measure(step, probe, features, self.items.asked(probe.labels))

    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Add up what every study found."""
        measured = Measured({}, {**self.reader.answered.details}, {}, answer_texts(self.reader))
        rest = iter(contributions)
        for study in self.studies:
            own = [next(rest) for _ in study.steps]
            if own:
                found = study.reduce(own)
                measured.parts.update(found.parts)
                measured.details.update(found.details)
                measured.latents.update(found.table)
        return measured

    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Say which answers were not measured."""
        taken, notes = self.reader.taken, [*self.group.corpus.warnings, *self.reader.answered.notes]
        if taken.short:
            notes.append(f"{taken.short} answers have fewer tokens than positions that are read")
        if taken.unlabelled:
            notes.append(f"{taken.unlabelled} answers have an empty label")
        if taken.cut:
            notes.append(f"{taken.cut} answers were cut at {self.task.budget.context} tokens")
        return notes

    def model_device(self) -> str:
        """Return where the model runs."""
        return self.reader.model.info.device

    def model_part(self) -> ModelPart:
        """Describe the model and the blocks."""
        return model_part(self.reader.model.info, self.task.blocks, self.task.site.at)

    def data_part(self) -> DataPart:
        """Describe the answers that were measured."""
        corpus: Corpus = self.group.corpus
        taken = self.reader.taken
        split = SplitPart(
            documents=len(taken.sequences),
            groups=len(np.unique(self.items.group_n)),
            tokens=taken.tokens,
            cut=taken.cut,
            left_out=taken.left_out,
        )
        return data_part(corpus, {"test": split}, split.groups)


def checked(features: Features, answers: int) -> Features:
    """Return what a probe reads; raises ``ValueError`` where its shapes are not those of the contract."""
    shape = features.value_nF.shape
    if len(shape) != 2 or shape[0] != answers or features.block_F.shape != shape[1:]:
        raise ValueError(
            f"features must be [{answers}, F] with a block for each feature, got {shape} and {features.block_F.shape}"
        )
    if not np.isfinite(features.value_nF).all():
        raise ValueError("features must be finite")
    return features


TRACK = Errors
