"""The arms that one steerer is judged beside: the model as it is, a bias on the words, random directions.

Everything that is chosen is chosen on validation problems. Doses of arms that change activations are relative edit
norms; of arms that change none, square roots of the divergence on neutral text, in which a small step counts alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from harness.api import Activations, Change, Intervention, Steerer
from harness.metrics.contract import Array
from harness.metrics.written import slopes
from harness.specs.identity import digest
from harness.tracks.doses import edit_norm, matched
from harness.tracks.neutral import Neutral, Side
from harness.tracks.steered import Numbers, Steered, Texts, harmony
from harness.training.directions import random_directions
from harness.training.loop import stream

CLEAN, BIAS = "_clean", "_bias"


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
class Tried:
    """One strength on validation problems: what dose it is, and what it comes to.

    ``dose_written`` is the relative edit norm where the model writes; ``dose`` that over what methods are fitted on, by
    which arms are matched.
    """

    strength: float
    dose: float
    dose_written: float
    hm: float
    accuracy: float
    reflect_rate: float


@dataclass(frozen=True)
class Choice:
    """The strengths that were tried, the place of the one that is measured, its side effects, and the bias beside it.

    Attributes:
        tried: on validation problems, the weakest first.
        index: the best of them.
        side: what it does to neutral text.
        bias: a bias on the words of the same divergence there.
        by_norm: whether doses are relative edit norms.
    """

    tried: tuple[Tried, ...]
    index: int
    side: Side
    bias: Intervention
    by_norm: bool

    @property
    def strength(self) -> float:
        """The strength that is measured on test problems."""
        return self.tried[self.index].strength


class Arms:
    """Judges steerers; ``x`` are activations that relative edit norms are taken over."""

    def __init__(self, val: Steered, neutral: Neutral, x: Activations, doses: Doses) -> None:
        self.val, self.neutral, self.x, self.doses = val, neutral, x, doses
        self._random: tuple[Steered, list[Array]] | None = None

    def strengths(self, method: Steerer) -> tuple[float, ...]:
        """Return the strengths at which a method has the doses that are tried; one where it has no grades.

        Raises:
            CellError: a dose is out of its reach.
        """
        one = method.steer(1.0)
        if not method.graded or one == Intervention():
            return (1.0,)
        targets = self.doses.norm if one.change is not None else self.doses.kl
        return tuple(matched(lambda s: self._size(method.steer(s)), target) for target in targets)

    def _size(self, found: Intervention) -> float:
        """Return an edit norm, or a divergence where activations are left as they are."""
        if found.change is None:
            return self.neutral.side(found).mean_kl
        return edit_norm(found.change, self.x, self.val.place.device)

    def _dose(self, found: Intervention, by_norm: bool) -> float:
        if by_norm:
            return self._size(found)
        return math.sqrt(max(self.neutral.side(found).mean_kl, 0.0))

    def choose(self, method: Steerer, name: str) -> Choice:
        """Return the strength of the largest mean ``hm_offline`` on validation problems, the weakest of equal ones.

        Args:
            method: a fitted steerer.
            name: names everything that decides what it does, besides the strength.
        """
        by_norm = method.steer(1.0).change is not None
        tried = tuple(self._try(method.steer(s), s, name, by_norm) for s in self.strengths(method))
        index = int(np.argmax([one.hm for one in tried]))
        found = method.steer(tried[index].strength)
        side = self.neutral.side(found)
        return Choice(tried, index, side, self._bias(found, side.mean_kl), by_norm)

    def _try(self, found: Intervention, strength: float, name: str, by_norm: bool) -> Tried:
        texts = self._written(self.val, found, digest([name, strength]))
        own = self.val.counted(texts) | self.val.surprise(texts)
        hm = float(harmony(own, self.val.clean[1]).mean())
        rate = 100 * own["hits"].sum() / max(own["tokens"].sum(), 1)
        doses = (self._dose(found, by_norm), self.val.dose_written(found))
        return Tried(strength, *doses, hm, float(own["right"].mean()), float(rate))

    def _written(self, steered: Steered, found: Intervention, arm: str) -> Texts:
        return steered.clean[0] if found == Intervention() else steered.write(found, arm)

    def _bias(self, found: Intervention, kl: float) -> Intervention:
        """Return the bias on the words of a given divergence, for or against them as the method is on validation."""
        if kl <= 0:
            return Intervention()
        towards = np.nanmean(self.val.willing(found) - self.val.willing_clean)
        sign, first = (1.0 if towards >= 0 else -1.0), tuple(self.val.first)
        strength = math.inf
        if math.isfinite(kl):
            strength = matched(lambda b: self.neutral.bias_kl(first, sign * b), kl)
        return Intervention(bias={(id_,): sign * strength for id_ in first})

    def measured(self, test: Steered, method: Steerer, name: str, choice: Choice) -> tuple[Texts, Numbers]:
        """Return what a method lets the model write, and what it does to each problem beside what is done else."""
        found = method.steer(choice.strength)
        texts = self._written(test, found, digest([name, choice.strength]))
        bias = self._written(test, choice.bias, digest(["bias", sorted(choice.bias.bias.items())]))
        own = test.counted(texts) | test.surprise(texts) | test.gold(found)
        arms = {"": own, CLEAN: test.clean[1], BIAS: test.counted(bias)}
        beside = {f"{what}{arm}": value for arm, numbers in arms.items() for what, value in numbers.items()}
        willing_nS = self._willing(test, [method.steer(one.strength) for one in choice.tried])
        doses_S = np.array([0.0, *(one.dose for one in choice.tried)])
        # What is always done, or never, has no slope.
        graded = doses_S.any() and np.isfinite(doses_S).all()
        slope_n = slopes(doses_S, willing_nS) if graded else 0 * willing_nS[:, 0]
        random_nK = self._random_slopes(test, choice.by_norm)
        return texts, {**beside, "willing": willing_nS, "slope": slope_n, "slope_random": random_nK}

    def _willing(self, test: Steered, every: Sequence[Intervention]) -> Array:
        """Return ``willing`` of the model as it is, and under each of some interventions: ``[n, 1 + S]``."""
        return np.stack([test.willing_clean, *(test.willing(found) for found in every)], 1)

    def _random_slopes(self, test: Steered, by_norm: bool) -> Array:
        """Return the slopes of random directions by problem, ``[n, K]``; their texts are read once for all methods."""
        if self._random is None or self._random[0] is not test:
            self._random = test, [self._willing(test, every) for every in self._told("random directions")]
        doses_KS = self._random_norms if by_norm else self._random_kls
        each = zip(doses_KS, self._random[1], strict=True)
        return np.stack([slopes(np.array([0.0, *doses_S]), willing_nS) for doses_S, willing_nS in each], 1)

    @cached_property
    def _random_norms(self) -> list[list[float]]:
        return [[self._dose(found, by_norm=True) for found in every] for every in self._told("norms of directions")]

    @cached_property
    def _random_kls(self) -> list[list[float]]:
        return [[self._dose(found, by_norm=False) for found in every] for every in self._told("side effects")]

    def _told(self, what: str) -> Iterator[list[Intervention]]:
        """Yield each random direction, telling how far this is."""
        for done, every in enumerate(self._directions, start=1):
            yield every
            self.val.place.progress(f"reading {what}", done, len(self._directions))

    @cached_property
    def _directions(self) -> list[list[Intervention]]:
        """Each random direction at every norm that is tried."""
        norm_n = torch.cat([x_ND.norm(dim=1) for x_ND, _ in self.x.documents(8192)])
        # From numbers of their own: a random direction that is judged must be none of those it is held against.
        seed = stream(self.doses.seed, "held against")
        drawn_KD = float(norm_n.mean()) * random_directions(seed, self.doses.directions, self.x.width)
        return [[Intervention(change=_moved(norm * row_D)) for norm in self.doses.norm] for row_D in drawn_KD]


def _moved(delta_D: Tensor) -> Change:
    return lambda x_ND, doc_N: x_ND + delta_D.to(x_ND)
