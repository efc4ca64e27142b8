"""Steerers beside their controls on a small model: doses are met, choices are of validation, words of bias lexical."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_tracks_steered import NEUTRAL, WORDS, judged

from harness.api import ArrayActivations, Behaviour, Intervention, Setting, Steerer, Train, silent
from harness.lm.generation import Sampling
from harness.lm.loading import LoadOptions, load_model
from harness.registry import build_method
from harness.specs.library import Library
from harness.stats.verdicts import verdicts
from harness.tracks.arms import Arms, Doses, Ground
from harness.tracks.steered import Place, Problem, Steered, side_kl

WIDTH = 64
X = ArrayActivations(torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(0)), torch.arange(200) // 20)
MARGINS = {"margin_acc": np.array(0.05), "margin_reflect": np.array(0.5)}


def fitted(name: str) -> Steerer:
    found = Library().method(name)
    method: Steerer = build_method(found, found.spec.params, Setting(WIDTH, WIDTH, 4, 0))
    behaviour = Behaviour(tuple(s for word in WORDS for s in word.sequences), (torch.arange(200) % 5 == 0)[None])
    method.fit(Train(X, X, 1, torch.device("cpu"), silent, {"behaviour": behaviour}))
    return method


@pytest.fixture(scope="module")
def arms() -> Arms:
    place = Place(load_model("tiny-random", LoadOptions(device="cpu")), 0, True, 2000)
    problems = [Problem(f"p{i}", f"Sum {i} and {i * 7}: ", str(8 * i), str(8 * i)) for i in range(24)]
    asked = Sampling(max_tokens=24, temperature=1.0, seed=3)
    val, test = (Steered(place, some, WORDS, asked) for some in (problems[:4], problems[4:]))
    ground = Ground(val, test, tuple(NEUTRAL), X, judged)
    return Arms(ground, Doses(norm=(0.1, 0.3), kl=(0.02, 0.2), directions=3))


def test_doses_are_met(arms: Arms) -> None:
    diffmean, bias = fitted("diffmean"), fitted("logit_bias")
    norm = float(torch.stack([x_ND.norm(dim=1).sum() for x_ND, _ in X.documents(50)]).sum()) / 200
    sizes = [strength * float(diffmean.unit) / norm for strength in arms.strengths(diffmean)]
    np.testing.assert_allclose(sizes, [0.1, 0.3], rtol=1e-3)
    kl = [side_kl(arms.ground.test.place, NEUTRAL, bias.steer(strength)) for strength in arms.strengths(bias)]
    np.testing.assert_allclose([total / tokens for total, tokens in kl], [0.02, 0.2], rtol=1e-2)
    assert arms.strengths(fitted("prompt")) == arms.strengths(fitted("none")) == (1.0,)


def word(arms: Arms, name: str) -> str:
    method = fitted(name)
    parts = arms.parts(method, name, arms.choose(method, name))
    (found,) = verdicts([parts | MARGINS | {"n": np.ones(20)}])
    return found.word


def test_nothing_has_no_effect_and_a_bias_on_words_is_lexical(arms: Arms) -> None:
    assert word(arms, "none") == "NO_EFFECT"
    assert word(arms, "logit_bias") == "LEXICAL"
    assert word(arms, "random_dir") in {"NO_EFFECT", "INCONCLUSIVE"}


def test_the_bias_beside_a_bias_is_itself(arms: Arms) -> None:
    method = fitted("logit_bias")
    chosen = arms.choose(method, "logit_bias")
    assert len(chosen.val_marks) == 2
    parts = arms.parts(method, "logit_bias", chosen)
    for what in ("hits", "tokens", "right"):
        np.testing.assert_array_equal(parts[what], parts[f"{what}_bias"])
    assert (parts["slope"] > 0).all()
    assert parts["slope_random"].shape == (20, 3)


def test_a_ban_stands_beside_a_ban(arms: Arms) -> None:
    method = fitted("word_ban")
    assert math.isinf(side_kl(arms.ground.test.place, NEUTRAL, method.steer(1.0))[0])
    beside = arms._bias(method.steer(1.0), math.inf)
    assert beside == Intervention(bias={(id_,): -math.inf for id_ in arms.ground.test.first})
