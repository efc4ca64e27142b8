"""The arms that one steerer is judged beside: the model as it is, a bias on the words, random directions.

Everything that is chosen is chosen on validation problems. Doses of arms that change activations are relative edit
norms; of arms that change none, square roots of the divergence on neutral text, in which a small step counts alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from harness.api import Activations, Change, Intervention, Steerer
from harness.lm.continued import Followed
from harness.lm.generation import Continuation
from harness.lm.under import closed_form_kl
from harness.metrics.contract import Array
from harness.metrics.written import slopes
from harness.specs.identity import digest
from harness.tracks.doses import edit_norm, matched
from harness.tracks.steered import Judged, Numbers, Steered, harmony, side_kl
from harness.training.directions import random_directions


@dataclass(frozen=True)
class Doses:
    """What strengths are tried.

    Attributes:
        norm: relative edit norms, rising.
        kl: nats per token of neutral text, rising; for arms that change no activation.
        directions: random directions.
        seed: of these.
    """

    norm: tuple[float, ...]
    kl: tuple[float, ...]
    directions: int = 19
    seed: int = 0


@dataclass(frozen=True)
class Ground:
    """What arms are measured on: validation and test problems, neutral text, activations of the validation split."""

    val: Steered
    test: Steered
    neutral: tuple[Followed, ...]
    x: Activations
    judged: Judged


@dataclass(frozen=True)
class Chosen:
    """The strength that does best on validation problems, its place among those tried, and the mark of each there."""

    strengths: tuple[float, ...]
    index: int
    val_marks: tuple[float, ...]

    @property
    def strength(self) -> float:
        """The strength that is measured on test problems."""
        return self.strengths[self.index]


class Arms:
    """Judges steerers on one ground; what all of them are held against is measured once."""

    def __init__(self, ground: Ground, doses: Doses) -> None:
        self.ground, self.doses = ground, doses
        self._random: dict[bool, Array] = {}

    def strengths(self, method: Steerer) -> tuple[float, ...]:
        """Return the strengths at which a method has the doses that are tried; one where it has no grades.

        Raises:
            CellError: a dose is out of its reach.
        """
        one = method.steer(1.0)
        if not method.graded or one == Intervention():
            return (1.0,)
        if one.change is not None:
            return tuple(matched(lambda s: self._norm(method.steer(s)), target) for target in self.doses.norm)
        return tuple(matched(lambda s: self._kl(method.steer(s)), target) for target in self.doses.kl)

    def _norm(self, found: Intervention) -> float:
        return edit_norm(found.change, self.ground.x) if found.change else 0.0

    def _kl(self, found: Intervention) -> float:
        total, tokens = side_kl(self.ground.test.place, self.ground.neutral, found)
        return total / tokens

    def choose(self, method: Steerer, name: str) -> Chosen:
        """Return the strength of the largest mean ``hm_offline`` on validation problems, the weakest of equal ones.

        Args:
            method: a fitted steerer.
            name: names everything that decides what it does, besides the strength.
        """
        strengths, own = self.strengths(method), []
        for strength in strengths:
            numbers = self._numbers(self.ground.val, method.steer(strength), digest([name, strength]))[1]
            own.append(float(harmony(numbers, self._clean_val[1]).mean()))
        return Chosen(strengths, int(np.argmax(own)), tuple(own))

    def parts(self, method: Steerer, name: str, chosen: Chosen) -> Numbers:
        """Return what a method does to each test problem, and what is done beside it; ``side_kl`` is of all text."""
        found = method.steer(chosen.strength)
        own = self._numbers(self.ground.test, found, digest([name, chosen.strength]))[1]
        total, tokens = side_kl(self.ground.test.place, self.ground.neutral, found)
        slope, random = self._slopes(method, chosen.strengths)
        bias = self._bias(found, total / tokens)
        arms = {
            "_clean": self._clean[1],
            "_bias": self._numbers(self.ground.test, bias, digest(["bias", sorted(bias.bias.items())]))[1],
        }
        beside = {f"{what}{arm}": value for arm, numbers in arms.items() for what, value in numbers.items()}
        return {
            **own,
            **beside,
            "hm": harmony(own, self._clean[1]),
            "slope": slope,
            "anti": (slope < 0).astype(np.float64),
            "slope_random": random,
            "side_kl_sum": np.array(total),
            "side_n": np.array(float(tokens)),
        }

    def _numbers(self, steered: Steered, found: Intervention, arm: str) -> tuple[list[Continuation], Numbers]:
        texts = steered.write(found, arm)
        return texts, steered.numbers(texts, found, self.ground.judged)

    @cached_property
    def _clean(self) -> tuple[list[Continuation], Numbers]:
        return self._numbers(self.ground.test, Intervention(), "clean")

    @cached_property
    def _clean_val(self) -> tuple[list[Continuation], Numbers]:
        return self._numbers(self.ground.val, Intervention(), "clean")

    def _bias(self, found: Intervention, kl: float) -> Intervention:
        """Return the bias on the words of a given divergence, for or against them as the method is."""
        if kl <= 0:
            return Intervention()
        steered = self.ground.test
        towards = np.nanmean(steered.willing(self._clean[0], found) - self._willing)
        sign, first = (1.0 if towards >= 0 else -1.0), tuple(steered.first)
        strength = math.inf
        if math.isfinite(kl):
            clean_NV = self._neutral_logp
            strength = matched(lambda b: float(closed_form_kl(clean_NV, first, sign * b).mean()), kl)
        return Intervention(bias={(id_,): sign * strength for id_ in first})

    @cached_property
    def _neutral_logp(self) -> torch.Tensor:
        """The model's own log-probabilities on neutral text, ``[N, V]``."""
        return torch.cat(self.ground.test.place.logp(self.ground.neutral, Intervention()))

    @cached_property
    def _willing(self) -> Array:
        return self.ground.test.willing(self._clean[0], Intervention())

    def _slopes(self, method: Steerer, strengths: Sequence[float]) -> tuple[Array, Array]:
        """Return the slope of each problem, ``[n]``, and those of random directions in the same unit, ``[n, K]``."""
        every = [method.steer(strength) for strength in strengths]
        activations = every[0].change is not None
        dose = [self._norm(found) if activations else math.sqrt(max(self._kl(found), 0.0)) for found in every]
        if not any(dose):
            return np.zeros(len(self._willing)), self._random_slopes(activations)
        return self._slope(dose, every), self._random_slopes(activations)

    def _slope(self, dose: Sequence[float], every: Sequence[Intervention]) -> Array:
        willing = [self.ground.test.willing(self._clean[0], found) for found in every]
        return slopes(np.array([0.0, *dose]), np.stack([self._willing, *willing], 1))

    def _random_slopes(self, by_norm: bool) -> Array:
        if by_norm not in self._random:
            self._random[by_norm] = self._found_slopes(by_norm)
        return self._random[by_norm]

    def _found_slopes(self, by_norm: bool) -> Array:
        norm_n = torch.cat([x_ND.norm(dim=1) for x_ND, _ in self.ground.x.documents(8192)])
        mean, found = float(norm_n.mean()), []
        for row_D in random_directions(self.doses.seed, self.doses.directions, self.ground.x.width):
            every = [Intervention(change=_moved(norm * mean * row_D)) for norm in self.doses.norm]
            dose = list(self.doses.norm) if by_norm else [math.sqrt(max(self._kl(one), 0.0)) for one in every]
            found.append(self._slope(dose, every))
        return np.stack(found, 1)


def _moved(delta_D: torch.Tensor) -> Change:
    return lambda x_ND, doc_N: x_ND + delta_D.to(x_ND)
