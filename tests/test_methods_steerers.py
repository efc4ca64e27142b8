"""Steerers: the contract of each, planted directions they find, and what they do beside an analytic value."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.api import (
    ArrayActivations,
    Behaviour,
    Dictionary,
    Intervention,
    Setting,
    Steerer,
    Train,
    Unembedding,
    silent,
)
from harness.metrics.contract import all_metrics
from harness.metrics.written import slopes
from harness.registry import build_method, check_params, method_class
from harness.specs.library import Library
from harness.testing import SETTING, check_steerer, planted
from harness.training.directions import random_directions

LIBRARY = Library()
STEERERS = [
    name
    for name in LIBRARY.names("methods")
    if LIBRARY.method(name).spec.kind == "steerer" and LIBRARY.method(name).spec.code
]
WIDTH, ROWS = 24, 600


class Planted(Dictionary):
    """Latents that are coordinates, the fourth of them the behaviour's."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", 2 * torch.eye(WIDTH))

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return positive parts."""
        return x_ND.relu() / 2

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return codes times rows."""
        return z_NF @ self.rows

    def directions(self) -> Tensor:
        """Return rows."""
        return self.rows

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}


class End(Unembedding):
    """Tokens are coordinates but for two: the first is read from the 7th, and the 7th from the first."""

    @property
    def classes(self) -> int:
        """``V``."""
        return WIDTH

    def logp(self, x_ND: Tensor) -> Tensor:
        """Return log-probabilities."""
        order = list(range(WIDTH))
        order[1], order[7] = 7, 1
        return x_ND[:, order].log_softmax(1)


def train() -> Train:
    """Return activations of which every fourth row, around one of two words, has 5 more of the fourth coordinate."""
    x_ND = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
    row_N = torch.arange(ROWS)
    in_RN = torch.stack([row_N % 8 == 0, row_N % 8 == 4, row_N < 0])
    x_ND[in_RN.any(0), 3] += 5 + torch.randn(int(in_RN.any(0).sum()), generator=torch.Generator().manual_seed(1))
    x = ArrayActivations(x_ND, row_N // 20)
    extra = {"behaviour": Behaviour(((1,), (2, 3), (2,)), in_RN), "unembedding": End()}
    return Train(x, x, 1, torch.device("cpu"), silent, extra)


def fitted(name: str, seed: int = 0, **params: Any) -> Steerer:
    found = LIBRARY.method(name)
    setting = Setting(WIDTH, WIDTH, 4, seed, {"dictionary": Planted()} if found.spec.uses else {})
    method: Steerer = build_method(found, {**found.spec.params, **params}, setting)
    method.fit(train())
    return method


def moved(method: Steerer, strength: float, x_ND: Tensor) -> Tensor:
    change = method.steer(strength).change
    assert change is not None
    return change(x_ND, torch.zeros(len(x_ND), dtype=torch.int64))


@pytest.mark.parametrize("name", STEERERS)
def test_steerers_keep_the_contract(name: str) -> None:
    found = LIBRARY.method(name)
    make = method_class(found)
    params = check_params(found, make, found.spec.params)
    uses = {}
    if found.spec.uses:
        uses["dictionary"] = build_method(LIBRARY.method("pca"), {}, SETTING)
        uses["dictionary"].fit(Train(planted(SETTING, 512, 1), planted(SETTING, 128, 2), 1, torch.device("cpu")))
    # A random latent may be drawn twice from few.
    seeded = found.spec.seeded and not found.spec.uses
    check_steerer(make, params, uses=uses, needs=found.spec.needs, seeded=seeded)


@pytest.mark.parametrize("name", ["diffmean", "pca_direction", "sae_feature", "sae_feature_firing"])
def test_a_planted_direction_is_found(name: str) -> None:
    direction_D = fitted(name).direction
    assert float(direction_D[3]) > (0.98 if name != "pca_direction" else 0.5), direction_D
    assert float(direction_D.norm()) == pytest.approx(1)


def test_a_random_latent_is_another_and_changes_with_the_seed() -> None:
    drawn = {int(fitted("sae_feature_random", seed).latent) for seed in range(6)}
    assert len(drawn) > 1
    assert 3 not in drawn


def test_a_latent_is_chosen_by_what_the_unembedding_makes_of_it_or_by_its_number() -> None:
    """Of the latents 2 and 7, which lead to a word, one fires more strongly; no other makes a word likelier."""
    feature = fitted("sae_feature_effect")
    largest = train().x.take(torch.arange(ROWS)).amax(0)
    assert int(feature.latent) == (2 if largest[2] > largest[7] else 7)
    assert int(fitted("sae_feature", by="number", number=5).latent) == 5
    with pytest.raises(ValueError, match=r"latent 24 is out of range; the dictionary has 0\.\.23"):
        fitted("sae_feature", by="number", number=WIDTH)


def test_adding_moves_every_activation_by_exactly_as_much() -> None:
    x_ND = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(2))
    feature = fitted("sae_feature")
    largest = float(train().x.take(torch.arange(ROWS))[:, 3].max())
    assert float(feature.unit) == pytest.approx(largest), "the largest folded activation"
    expected_ND = x_ND.clone()
    expected_ND[:, 3] += 1.5 * largest
    torch.testing.assert_close(moved(feature, 1.5, x_ND), expected_ND, atol=1e-5, rtol=0)


@pytest.mark.parametrize("way", ["clamp", "project"])
def test_setting_a_latent_to_what_it_is_does_nothing(way: str) -> None:
    x_ND = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(3))
    feature = fitted("sae_feature", way=way)
    x_ND[:, 3] = 2 * float(feature.unit)
    torch.testing.assert_close(moved(feature, 2.0, x_ND), x_ND, atol=1e-5, rtol=0)
    x_ND[:, 3] = -1.0
    set_N = moved(feature, 1.0, x_ND)[:, 3]
    # A latent below 0 is silent: clamping adds the whole level to what is there, projecting sets it.
    expected = float(feature.unit) - (1.0 if way == "clamp" else 0.0)
    torch.testing.assert_close(set_N, torch.full((5,), expected), atol=1e-5, rtol=0)


def test_random_directions_are_isotropic_and_keep_their_order() -> None:
    many_KD = random_directions(0, 400, WIDTH)
    assert torch.equal(random_directions(0, 19, WIDTH), many_KD[:19])
    assert float(many_KD.mean(0).norm()) < 3 / math.sqrt(400)
    assert not torch.equal(random_directions(1, 1, WIDTH), many_KD[:1])
    norm = float(train().x.take(torch.arange(ROWS)).norm(dim=1).mean())
    assert float(fitted("random_dir").unit) == pytest.approx(norm, rel=1e-5)


def test_words_alone_become_biases_and_bans() -> None:
    bias = fitted("logit_bias")
    assert bias.steer(-2.0) == Intervention(bias={(1,): -2.0, (2,): -2.0})
    ban = fitted("word_ban")
    assert ban.steer(3.0).bias == dict.fromkeys([(1,), (2, 3), (2,)], -math.inf)
    assert fitted("prompt", text="Think. ").steer(1.0) == Intervention(prefix="Think. ")
    assert fitted("prompt").steer(-1.0) == Intervention()


def test_the_slope_of_a_linear_readout_is_the_analytic_one() -> None:
    """The log-odds of a word are 2 x₄ − 1 and a step of s norms along v moves them by 2 s E‖x‖ v₄."""
    x_ND = train().x.take(torch.arange(ROWS))
    norm, dose_S = float(x_ND.norm(dim=1).mean()), np.array([0.0, 0.05, 0.1, 0.2])

    def slope_n(direction: Steerer) -> np.ndarray:
        strengths = dose_S * norm / float(direction.unit)
        odds_nS = [2 * (moved(direction, float(s), x_ND) if s else x_ND)[:, 3] - 1 for s in strengths]
        return slopes(dose_S, torch.stack(odds_nS, 1).double().numpy())

    found = slope_n(fitted("diffmean"))
    np.testing.assert_allclose(found, 2 * norm * float(fitted("diffmean").direction[3]), rtol=1e-4)
    random_nK = np.stack([slope_n(fitted("random_dir", seed)) for seed in range(19)], 1)
    parts = {"n": np.ones(ROWS), "slope": found, "slope_random": random_nK}
    over = all_metrics()["over_random"].point(parts)[0]
    largest = max(abs(float(fitted("random_dir", seed).direction[3])) for seed in range(19))
    assert over == pytest.approx(float(fitted("diffmean").direction[3]) / largest, rel=1e-3)
    one = parts | {"slope": random_nK[:, 4]}
    assert abs(all_metrics()["over_random"].point(one)[0] or 0.0) <= 1, "none of the directions exceeds them all"


def test_words_that_no_activation_stands_around_are_said() -> None:
    given = train()
    behaviour = replace(given.extra["behaviour"], in_RN=torch.zeros(2, ROWS, dtype=torch.bool))
    for name in ("diffmean", "sae_feature"):
        method = fitted(name)
        with pytest.raises(ValueError, match="no activation stands around"):
            method.fit(replace(given, extra={"behaviour": behaviour}))
