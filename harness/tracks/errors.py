"""Track ``errors``: does a probe tell which answers are wrong, on problems it never saw (methods.md 2.6)?

Answers come with the data. The model under study reads each once; probes see what it gave at named positions of several
blocks. Every fold is a unit of the measurement: a probe is fitted anew in it, and chooses everything across groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.api import ErrorProbe, Features, Method, Train
from harness.data.rows import Corpus
from harness.errors import CellError, UserError
from harness.metrics.contract import Parts
from harness.specs.identity import digest
from harness.specs.record import DataPart, ModelPart, SplitPart
from harness.stats.many_effects import effect_sizes
from harness.tracks.answers import AnswerReader
from harness.tracks.contract import Contribution, Group, Measured, Resources, Track
from harness.tracks.folds import Judged, fold_parts, joined_parts, judged, leak_parts
from harness.tracks.foreign import each, error_probe
from harness.training.logistic import OUTER


class Errors(Track):
    """Measures error probes by nested cross-validation over groups."""

    def __init__(self, group: Group, resources: Resources) -> None:
        super().__init__(group, resources)
        self.reader = AnswerReader(group, resources)

    def prepare(self) -> None:
        """Read the answers; raises ``UserError`` where there are too few of a class."""
        counts = np.bincount(self.items.y_n, minlength=2)
        least, groups = self.reader.spec.least, len(np.unique(self.items.group_n))
        if counts.min() < least or groups < 2 * OUTER:
            raise UserError(
                f"task '{self.task.spec.task}': probes need {least} right and {least} wrong answers in {2 * OUTER} "
                f"groups; the budget gives {counts[0]} right and {counts[1]} wrong ones in {groups}."
            )
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
            found = sorted({str(d.label) for d in documents})
            raise UserError(
                f"task '{self.task.spec.task}': some answers must have the label '{self.reader.spec.right}' and "
                f"some another; labels found: {', '.join(found) or 'none'}."
            )
        return judged(y_n, group_n.astype(np.int64))

    def units(self) -> tuple[str, ...]:
        """Return the identity of every fold, and of the effect sizes."""
        return tuple(digest([self.reader.key, unit]) for unit in (*range(OUTER), "effects"))

    def measure(self, unit: int, methods: Mapping[str, Method]) -> dict[str, Contribution | CellError]:
        """Fit every probe on the other folds, and let it judge this one."""
        return each(methods, error_probe, self.task.spec.track, lambda _, probe: self._one(unit, probe))

    def _one(self, unit: int, probe: ErrorProbe) -> Contribution:
        features = checked(probe.features(self.reader.answers), len(self.items.y_n))
        if unit == OUTER:
            return self._effects(features)
        answers, items, wanted = self.reader.answers, self.items, self.group.parts
        parts = fold_parts(probe, features, items, unit)
        if "leak_p" in wanted:
            parts |= leak_parts(probe, features, items, unit)
        if "joined_p" in wanted:
            parts |= joined_parts(probe, features, answers.confidence_nK, items, unit, parts["item_p"])
        return parts

    def _effects(self, features: Features) -> Contribution:
        found = effect_sizes(features.value_nF, self.items.y_n, self.items.group_n)
        return {"d": found.d, "g": found.g, "block": features.block_F, "threshold": np.array([found.threshold])}

    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Put the folds' answers back into order, and the effect sizes into a table."""
        *of_folds, sizes = list(contributions)
        items = self.items
        parts = _ordered(
            of_folds, "index", ("item_p", "item_prior", "control_p", "control_prior", "confidence_p", "joined_p")
        )
        parts |= _ordered(of_folds, "leak_index", ("leak_p", "leak_prior"))
        parts |= {name: np.concatenate([c[name] for c in of_folds]) for name in ("train_right", "train_n")}
        parts |= {
            "n": np.bincount(items.group_n).astype(np.float64),
            "item_cluster": items.group_n.astype(np.float64),
            "item_y": items.y_n.astype(np.float64),
            "item_fold": items.fold_n.astype(np.float64),
            "item_author": np.unique([a or "" for a in self.reader.answers.author], return_inverse=True)[1].astype(
                float
            ),
            "control_y": items.control_n.astype(np.float64),
        }
        size_F = np.abs(np.nan_to_num(sizes["d"]))
        parts["d_max"] = np.array([size_F.max(initial=0.0)])
        parts["d_above"] = np.array([float((size_F > sizes["threshold"][0]).sum())])
        details = {
            "answers": float(len(items.y_n)),
            "wrong": float(items.y_n.sum()),
            "features": float(len(size_F)),
            "threshold of |d|": float(sizes["threshold"][0]),
        }
        table = {"block": sizes["block"], "cohens_d": sizes["d"], "hedges_g": sizes["g"]}
        return Measured(parts, details, table)

    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Say which answers were not measured."""
        taken, notes = self.reader.taken, list(self.group.corpus.warnings)
        if taken.short:
            notes.append(f"{taken.short} answers have fewer tokens than positions that are read, or no label")
        if taken.cut:
            notes.append(f"{taken.cut} answers were cut at {self.task.budget.context} tokens")
        return notes

    def model_device(self) -> str:
        """Return where the model runs."""
        return self.reader.model.info.device

    def model_part(self) -> ModelPart:
        """Describe the model and the blocks."""
        info, blocks = self.reader.model.info, self.task.blocks
        return ModelPart(
            name=info.name,
            label=info.label,
            fingerprint=info.fingerprint,
            blocks=info.blocks,
            width=info.width,
            dtype=info.dtype,
            layer=blocks,
            hidden_state=tuple(block + 1 for block in blocks),
            at=self.task.site.at,
        )

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
        origin = corpus.origin
        return DataPart(
            source=origin.source,
            name=origin.name,
            config=origin.config,
            revision=origin.revision,
            mirror=origin.mirror,
            fingerprint=corpus.fingerprint,
            splits={"test": split},
            clusters=split.groups,
            mask={},
        )


def _ordered(contributions: Sequence[Contribution], index: str, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return the named parts that there are, rows in the order of the answers."""
    there = [name for name in names if name in contributions[0]]
    if not there:
        return {}
    order = np.argsort(np.concatenate([c[index] for c in contributions]))
    return {name: np.concatenate([c[name] for c in contributions])[order] for name in there}


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
