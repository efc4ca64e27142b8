"""Track ``steering``: what steerers change in what a language model writes, beside a bias on the words themselves.

Strengths are chosen on validation problems, for every method among the same doses. Every unit is some test problems:
the model writes their answers as it is, under each method at its strength, and under the bias that is as divergent on
neutral text. Random directions are read at every dose and write nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from harness.api import Behaviour, Method, Steerer, Train
from harness.data.rows import fingerprint
from harness.data.vocabulary import Entry, entries
from harness.errors import CellError, UserError
from harness.lm.generation import Sampling
from harness.metrics.contract import Parts
from harness.specs.identity import digest
from harness.specs.record import DataPart, SplitPart
from harness.specs.steering import Steering as Asked
from harness.stats.turned import turned
from harness.store.items import Item
from harness.tracks.arms import CLEAN, Arms, Choice, Doses
from harness.tracks.contract import Contribution, Group, Measured, Resources
from harness.tracks.describing import data_part, turned_details
from harness.tracks.foreign import each, steerer
from harness.tracks.marks import Text
from harness.tracks.neutral import Neutral, neutral_texts
from harness.tracks.next_tokens import Predictions
from harness.tracks.place import Place
from harness.tracks.problems import Problems
from harness.tracks.site import Subset
from harness.tracks.site_track import SiteTrack
from harness.tracks.steered import Steered, harmony

# Up whenever the same problems would be measured in another way.
VERSION = 2
# Problems of a unit: enough for a batch, few enough that a killed run loses little.
_AT_ONCE = 32
_TEXTS = "answer"
_TRIED = ("strength", "dose", "dose_written", "val_hm", "val_accuracy", "val_reflect_rate")
_PARTS = ("hm", "anti", "helped", "harmed", "answered")


class Steering(SiteTrack):
    """Measures steerers by what the model writes under them."""

    def __init__(self, group: Group, resources: Resources) -> None:
        super().__init__(group, resources)
        self.problems = Problems(self.site)
        self._choices: dict[str, Choice] = {}

    @property
    def _asked(self) -> Asked:
        if self.task.spec.steering is None:
            raise ValueError("specs let a task without 'steering' through to track 'steering'")
        return self.task.spec.steering

    def prepare(self) -> None:
        """Choose the problems, and read what methods are fitted on."""
        self.problems.test  # noqa: B018 - what cannot be asked is refused before anything is fitted
        self.train()

    @cached_property
    def _train(self) -> Train:
        end = Predictions(self.site).unembedding
        return dataclasses.replace(self.site.train(), extra={"behaviour": self._behaviour, "unembedding": end})

    @cached_property
    def words(self) -> tuple[Entry, ...]:
        """The words of the task."""
        return entries(self._asked.vocabulary, self.site.model.tokenizer)

    @cached_property
    def _behaviour(self) -> Behaviour:
        text = Text.of(self.site.fit_sequences("train").batches)
        in_RN = torch.zeros(len(self.words), len(text.ids_N), dtype=torch.bool)
        for row, position in enumerate(text.words(self.words, *self._asked.window).position_R):
            in_RN[row, torch.from_numpy(position)] = True
        fitted = self.site.train().x
        if not in_RN.any():
            raise UserError(f"task '{self.task.spec.task}': none of its words occurs in what methods are fitted on.")
        sequences = tuple(dict.fromkeys(sequence for word in self.words for sequence in word.sequences))
        return Behaviour(sequences, in_RN[:, fitted.index_N] if isinstance(fitted, Subset) else in_RN)

    @cached_property
    def _place(self) -> Place:
        mask, resources = self.task.spec.mask, self.resources
        limit = self.site.norm_limit if mask.outliers == "drop" else math.inf
        tail, folder = self._asked.positions == "generated", resources.cache / "generations"
        first = mask.first == "keep"
        return Place(
            self.site.model, self.task.layer, tail, resources.batch_tokens, first, limit, folder, resources.progress
        )

    def _steered(self, problems: Sequence[int] | None = None) -> Steered:
        """Return some test problems by number; the validation problems where none is named."""
        asked, written = self._asked, self.problems.written
        sampling = Sampling(written.max_tokens, asked.temperature, written.until, asked.samples, asked.seed)
        some = self.problems.val if problems is None else [self.problems.test[i] for i in problems]
        return Steered(self._place, some, self.words, sampling, self.problems.judged)

    @cached_property
    def arms(self) -> Arms:
        """The arms that methods are held against."""
        asked = self._asked
        texts = neutral_texts(self._place, asked.neutral_texts, asked.neutral_tokens, asked.seed)
        doses = Doses(asked.norms, asked.kls, asked.directions, asked.seed)
        return Arms(self._steered(), Neutral(self._place, texts), self.train().val, doses)

    @cached_property
    def _chunks(self) -> tuple[range, ...]:
        count = len(self.problems.test)
        return tuple(range(first, min(first + _AT_ONCE, count)) for first in range(0, count, _AT_ONCE))

    def units(self) -> tuple[str, ...]:
        """Return the identity of every lot of test problems; what is chosen on validation problems is part of it."""
        origin, spec, documents = self.group.origin, self.task.spec, self.problems.documents
        own = [VERSION, origin.model, origin.dtype, self.model_device(), self.task.measured()]
        val = fingerprint({"val": documents["val"]})
        lots = ([documents["test"][i] for i in chunk] for chunk in self._chunks)
        return tuple(digest([*own, spec.task, val, fingerprint({"test": tuple(lot)})]) for lot in lots)

    @torch.no_grad()
    def measure(self, unit: int, methods: Mapping[str, Method]) -> dict[str, Contribution | CellError]:
        """Choose each method's strength, where that is not done yet, and let it write answers."""
        test, done = self._steered(self._chunks[unit]), 0

        def one(name: str, method: Steerer) -> Contribution:
            nonlocal done
            self.resources.progress("steering some problems", done, len(methods))
            done += 1
            choice = self._choices.get(name) or self.arms.choose(method, name)
            self._choices[name] = choice
            texts, numbers = self.arms.measured(test, method, name, choice)
            written = np.array([several[0].text for several in texts])
            at = np.array(self._chunks[unit], dtype=np.int64)
            return {**numbers, **_said(choice), "problem": at, _TEXTS: written}

        results = each(methods, steerer, self.task.spec.track, one)
        self.resources.progress("steering some problems", len(methods), len(methods))
        return results

    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Put what was found of each problem in its place, and add it up by cluster."""
        found = list(contributions)
        apart = ("problem", _TEXTS, *(f"choice {name}" for name in (*_TRIED, *_SIDE, "index", "by norm")))
        order = np.argsort(np.concatenate([one["problem"] for one in found]))
        per_problem = {
            name: np.concatenate([one[name] for one in found])[order] for name in found[0] if name not in apart
        }
        per_problem |= _derived(per_problem)
        answers = [str(text) for text in np.concatenate([one[_TEXTS] for one in found])[order]]
        cluster = self.problems.cluster
        parts = {name: _summed(value, cluster) for name, value in per_problem.items()}
        parts |= {"n": np.bincount(cluster).astype(np.float64)}
        parts |= {
            "margin_acc": np.array(self._asked.margin_acc),
            "margin_reflect": np.array(self._asked.margin_reflect),
        }
        parts |= {name: found[0][f"choice {name}"] for name in _SIDE}
        keep = self.group.parts | {"n", "willing", "answered"}
        return Measured(
            {name: value for name, value in parts.items() if name in keep},
            self._details(found[0])
            | turned_details(turned(per_problem[f"right{CLEAN}"], per_problem["right"], cluster)),
            items=self._items(answers, per_problem),
        )

    def _details(self, chosen: Contribution) -> dict[str, float]:
        best = int(chosen["choice index"])
        details = {"problems": float(len(self.problems.test)), "validation problems": float(len(self.problems.val))}
        details |= self.problems.details | {"strength": float(chosen["choice strength"][best])}
        for name in _TRIED:
            for number, value in enumerate(chosen[f"choice {name}"].tolist(), start=1):
                details[f"{name.replace('_', ' ')}, try {number}"] = value
        details |= {"chosen try": float(best + 1), "doses are edit norms": float(chosen["choice by norm"])}
        return {name: value for name, value in details.items() if math.isfinite(value)}

    def _items(self, answers: Sequence[str], numbers: Mapping[str, NDArray[np.float64]]) -> tuple[Item, ...]:
        plain = {name: value for name, value in numbers.items() if value.ndim == 1}
        return tuple(
            Item(
                id=problem.id,
                group=problem.group,
                author=None,
                prompt=problem.text,
                answer=answer,
                label=problem.label,
                numbers={name: float(value[row]) for name, value in plain.items()},
            )
            for row, (problem, answer) in enumerate(zip(self.problems.test, answers, strict=True))
        )

    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Say what was not asked, and where texts were cut."""
        notes = [*self.group.corpus.warnings, *self.problems.notes]
        if "right_clean" in parts and parts["right_clean"].sum() == 0:
            notes.append("the model as it is answers nothing rightly: accuracy can only rise")
        return notes

    def data_part(self) -> DataPart:
        """Describe the problems, and what methods were fitted on."""
        splits = {split: self.site.fit_sequences(split).part for split in ("train", "val")}
        groups = len(np.unique(self.problems.cluster))
        asked: dict[str, SplitPart] = {"test": self.problems.part(groups)} | splits
        return data_part(self.group.corpus, asked, groups, self.task.spec.mask.model_dump())


_SIDE = ("side_kl_sum", "side_n", "side_hits", "side_hits_clean")


def _said(choice: Choice) -> Contribution:
    """Return what was chosen, for the record."""
    tried, side = choice.tried, choice.side
    columns = [(one.strength, one.dose, one.dose_written, one.hm, one.accuracy, one.reflect_rate) for one in tried]
    found = {
        f"choice {name}": np.array(column) for name, column in zip(_TRIED, zip(*columns, strict=True), strict=True)
    }
    sums = (side.kl, side.tokens, side.hits, side.hits_clean)
    found |= {f"choice {name}": np.array(float(value)) for name, value in zip(_SIDE, sums, strict=True)}
    return {**found, "choice index": np.array(choice.index), "choice by norm": np.array(float(choice.by_norm))}


def _derived(of: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return what follows from the numbers of all problems together. A problem without a text has no dose–response."""
    clean = {name.removesuffix(CLEAN): value for name, value in of.items() if name.endswith(CLEAN)}
    answered = np.isfinite(of["slope"])
    return {
        "hm": harmony(dict(of), clean),
        "anti": (answered & (of["slope"] < 0)).astype(np.float64),
        "answered": answered.astype(np.float64),
        "slope": np.where(answered, of["slope"], 0.0),
        "willing": np.where(answered[:, None], of["willing"], 0.0),
        "slope_random": np.where(answered[:, None], of["slope_random"], 0.0),
        "helped": of["right"] * (1 - of[f"right{CLEAN}"]),
        "harmed": (1 - of["right"]) * of[f"right{CLEAN}"],
    }


def _summed(value: NDArray[np.float64], cluster: NDArray[np.int64]) -> NDArray[np.float64]:
    total = np.zeros((int(cluster.max()) + 1, *value.shape[1:]))
    np.add.at(total, cluster, value)
    return total


TRACK = Steering
