"""Track ``explanation``: do explanations of predictions name the latents whose removal moves the prediction?

Predictions are the model's own, at tokens drawn from the test split. Every explainer is held against what the model
does without the latents it puts first, beside random orders and the order by exact ablation of single latents. Codes,
ablations and slopes are shared by all explainers over one dictionary. Every unit is one batch of test sequences.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api import Dictionary, Explainer, Method, Predictions, Train
from harness.errors import CellError
from harness.metrics.contract import Parts
from harness.specs.explaining import Explaining
from harness.specs.identity import digest
from harness.tracks.contract import Group, Measured, Resources
from harness.tracks.explained import Columns, Question, Told, measured, tell
from harness.tracks.foreign import each, explainer
from harness.tracks.importance import Chosen, Importance, Point, choose, together
from harness.tracks.site_track import SiteTrack
from harness.tracks.sums import Clusters, Contribution, scatter
from harness.training.loop import stream

# The same predictions are explained whatever the seeds of methods.
_SEED = 0


class Explanation(SiteTrack):
    """Measures explainers on predictions of the test split."""

    def __init__(self, group: Group, resources: Resources) -> None:
        super().__init__(group, resources)
        self.importance = Importance(self.site)

    @property
    def _asked(self) -> Explaining:
        asked = self.task.spec.explanation
        if asked is None:
            raise ValueError("specs let a task without 'explanation' through to track 'explanation'")
        return asked

    @cached_property
    def _train(self) -> Train:
        return dataclasses.replace(self.site.train(), extra={"predictions": self._train_predictions})

    def _train_predictions(self, dictionary: Dictionary) -> Predictions:
        return together([self.importance.predictions(chosen, dictionary) for chosen in self._train_chosen])

    @cached_property
    def _train_chosen(self) -> list[Chosen]:
        batches = self.site.fit_sequences("train").batches
        places = choose(batches, self._asked.train_predictions, _SEED)
        return [self.importance.read(batch, at) for batch, at in zip(batches, places, strict=True) if at]

    @cached_property
    def places(self) -> list[tuple[int, list[tuple[int, int]]]]:
        """Number of each test batch with predictions to be explained, and where they are."""
        chosen = choose(self.site.test.batches, self._asked.predictions, _SEED)
        return [(number, at) for number, at in enumerate(chosen) if at]

    def units(self) -> tuple[str, ...]:
        """Return the identity of every test batch with predictions to be explained, and of these."""
        return tuple(digest([self.site.test.batches[number].identity, at]) for number, at in self.places)

    @torch.no_grad()
    def measure(self, unit: int, methods: Mapping[str, Method]) -> dict[str, Contribution | CellError]:
        """Read one batch once, and run the model on without the latents that any of the explainers puts first."""
        number, at = self.places[unit]
        chosen = self.importance.read(self.site.test.batches[number], at)
        if not chosen.points:
            return {name: {"ids": np.zeros(0, dtype=np.int64), "n": np.zeros(0)} for name in methods}
        bases: dict[int, Predictions] = {}

        def ask(_: str, method: Explainer) -> Told:
            key = id(method.dictionary)
            if key not in bases:
                bases[key] = self.importance.predictions(chosen, method.dictionary)
            return tell(method, bases[key])

        told = each(methods, explainer, self.task.spec.track, ask)
        results: dict[str, Contribution | CellError] = {n: e for n, e in told.items() if isinstance(e, CellError)}
        for key, asked in bases.items():
            same = {n: t for n, t in told.items() if isinstance(t, Told) and _base(methods[n]) == key}
            found = measured(self._questions(chosen, asked), list(same.values()), len(asked))
            results |= {name: _sums(chosen, columns) for name, columns in zip(same, found, strict=True)}
        return results

    def _questions(self, chosen: Chosen, asked: Predictions) -> Callable[[int], Question]:
        """Return each prediction as explanations of it are measured."""
        exact_nF = asked.ablated()

        def question(n: int) -> Question:
            point, active_m = chosen.points[n], torch.nonzero(asked.code_nF[n]).flatten()
            code_m, direction_mD = asked.code_nF[n, active_m], asked.direction_FD[active_m]
            return Question(
                lambda drop_Am: self._without(point, code_m, direction_mD, drop_Am),
                point.value,
                active_m.cpu(),
                exact_nF[n, active_m].double().cpu().numpy(),
                stream(_SEED, str(point.ids_T.tolist())),
            )

        return question

    def _without(self, point: Point, code_m: Tensor, direction_mD: Tensor, drop_Am: Tensor) -> NDArray[np.float64]:
        found_A = self.importance.without(point, code_m, direction_mD, drop_Am.to(code_m.device))
        value_A: NDArray[np.float64] = found_A.double().cpu().numpy()
        return value_A

    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Add all units up."""
        contributions = list(contributions)
        names = sorted({name for c in contributions for name in c if name != "ids"})
        parts = {name: scatter(contributions, name, self.site.test.clusters) for name in names}
        count = float(parts["n"].sum())
        total = {name: float(part.sum()) for name, part in parts.items()}
        details = {"predictions": count}
        if count:
            details |= {
                "left out of cpr and cmd": count - total["n_gap"],
                "without rank correlation": count - total["n_agree"],
                "active latents": total["active"] / count,
                "log-probability of the prediction": total["value"] / count,
            }
        keep = self.group.parts | {"n"}
        return Measured({name: value for name, value in parts.items() if name in keep}, details)

    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Say what fell short of the budget."""
        got, wanted = int(parts["n"].sum()), self._asked.predictions
        short = [f"{got} predictions were explained, {wanted} were asked for"] if got < wanted else []
        return [*self.site.notes(), *short]


def _base(method: Method) -> int | None:
    return id(method.dictionary) if isinstance(method, Explainer) else None


def _sums(chosen: Chosen, columns: Columns) -> Contribution:
    """Return sums per cluster of one explainer."""
    clusters = Clusters(torch.stack([chosen.batch.cluster_BT[row, t] for row, t in chosen.at]))
    values = {name: clusters.sum(torch.from_numpy(column_n)) for name, column_n in columns.items()}
    return {"ids": clusters.ids_K.numpy(), **values}


TRACK = Explanation
