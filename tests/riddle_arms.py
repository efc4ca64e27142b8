"""Steerers on the planted model: what they are fitted on, and the arms that they are judged beside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.api import Activations, ArrayActivations, Behaviour, Intervention, Setting, Steerer, Train, silent
from harness.data.riddles import REFLECTIONS, riddles
from harness.data.vocabulary import Entry, entries, find, widen
from harness.lm.generation import Sampling
from harness.lm.loading import LoadOptions, load_model
from harness.metrics.contract import Array
from harness.metrics.verdicts import Verdict
from harness.registry import build_method
from harness.specs.library import Library
from harness.specs.reasoning import Vocabulary
from harness.stats.verdicts import verdicts
from harness.tracks.arms import Arms, Doses
from harness.tracks.neutral import Neutral, neutral_texts
from harness.tracks.steered import Place, Problem, Steered

WIDTH = 64
# Before the second block, which acts on what it finds; and behind it.
BEFORE, BEHIND = 0, 1
VAL, TEST, TEXTS = 4, 48, 200
ROWS = list(riddles(VAL + TEST + TEXTS, 0))
MARGINS = {"margin_acc": np.array(0.1), "margin_reflect": np.array(0.5)}


class Along(Steerer):
    """Pushes along one direction by ``strength``."""

    def __init__(self, direction_D: Tensor) -> None:
        super().__init__()
        self.direction_D = direction_D

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""

    def steer(self, strength: float) -> Intervention:
        """Return the push."""
        return (
            Intervention(change=lambda x_ND, doc_N: x_ND + strength * self.direction_D) if strength else Intervention()
        )

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}


def judged(texts: Sequence[str], label: str) -> tuple[bool, bool]:
    """Say whether the last number behind 'so' is right, and whether there is one."""
    found = re.findall(r"so (\w+)", texts[0])
    return bool(found) and found[-1] == label, bool(found)


@dataclass(frozen=True)
class World:
    """One place of the model, with what methods are fitted on there."""

    arms: Arms
    test: Steered
    x: Activations
    behaviour: Behaviour

    def fitted(self, name: str, seed: int = 0) -> Steerer:
        """Return a method, fitted on thoughts."""
        found = Library().method(name)
        method: Steerer = build_method(found, found.spec.params, Setting(WIDTH, WIDTH, 4, seed))
        extra = {"behaviour": self.behaviour} if found.spec.needs else {}
        method.fit(Train(self.x, self.x, 1, torch.device("cpu"), silent, extra))
        return method

    def parts(self, method: Steerer, name: str) -> dict[str, Array]:
        """Return what a method does to the test problems, at the strength that is best on others."""
        numbers = self.arms.measured(self.test, method, name, self.arms.choose(method, name))[1]
        answered_n = np.isfinite(numbers["slope"])
        assert answered_n.all()
        return {**numbers, **MARGINS, "n": np.ones(TEST), "answered": answered_n.astype(float)}

    def verdict(self, method: Steerer, name: str) -> Verdict:
        """Return what the track says of a method."""
        (found,) = verdicts([self.parts(method, name)])
        return found


def world(block: int) -> World:
    """Return the model at one place, with as few texts as show what is planted."""
    model = load_model("planted-reflection", LoadOptions(device="cpu"))
    place, words = Place(model, block, True, 20000), entries(Vocabulary(words=REFLECTIONS), model.tokenizer)
    problems = [Problem(r["id"], r["question"], f" so {r['answer']} .", r["answer"], r["creature"]) for r in ROWS]
    asked = Sampling(max_tokens=32, temperature=1.0, seed=3)
    val = Steered(place, problems[:VAL], words, asked, judged)
    test = Steered(place, problems[VAL : VAL + TEST], words, asked, judged)
    x, behaviour = _thoughts(place, words)
    neutral = Neutral(place, neutral_texts(place, 8, 24, 0))
    # Method seeds begin at 0; reference directions are others.
    return World(Arms(val, neutral, x, Doses((0.4,), (0.1,), seed=1000)), test, x, behaviour)


def _thoughts(place: Place, words: Sequence[Entry]) -> tuple[Activations, Behaviour]:
    """Return activations of thoughts without their first token, and the windows of 2 before and 3 after words."""
    ids = [list(place.ids(row["thoughts"])) for row in ROWS[VAL + TEST :]]
    width = max(map(len, ids))
    ids_BT = np.array([row + [0] * (width - len(row)) for row in ids])
    doc_BT = np.array([[i] * len(row) + [-1] * (width - len(row)) for i, row in enumerate(ids)])
    x_BTD = place.model.read(torch.tensor(ids_BT), torch.tensor(doc_BT >= 0), [place.block])[place.block]
    keep_BT = torch.tensor(doc_BT >= 0)
    keep_BT[:, 0] = False
    in_RN = [torch.tensor(widen(find(ids_BT, doc_BT, word)[0], doc_BT, 2, 3))[keep_BT] for word in words]
    sequences = tuple(sequence for word in words for sequence in word.sequences)
    return ArrayActivations(x_BTD[keep_BT], torch.tensor(doc_BT)[keep_BT]), Behaviour(sequences, torch.stack(in_RN))
