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
from harness.tracks.arms import Arms, Doses
from harness.tracks.doses import edit_norm
from harness.tracks.neutral import Neutral
from harness.tracks.place import Place
from harness.tracks.steered import Numbers, Problem, Steered

WIDTH = 64
X = ArrayActivations(torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(0)), torch.arange(200) // 20)
# Of 20 problems none of which changes, the interval of the change is nearly .17 wide on each side.
MARGINS = {"margin_acc": np.array(0.2), "margin_reflect": np.array(0.5)}


def fitted(name: str, seed: int = 0) -> Steerer:
    found = Library().method(name)
    method: Steerer = build_method(found, found.spec.params, Setting(WIDTH, WIDTH, 4, seed))
    behaviour = Behaviour(tuple(s for word in WORDS for s in word.sequences), (torch.arange(200) % 5 == 0)[None])
    method.fit(Train(X, X, 1, torch.device("cpu"), silent, {"behaviour": behaviour}))
    return method


@pytest.fixture(scope="module")
def both() -> tuple[Arms, Steered]:
    place = Place(load_model("tiny-random", LoadOptions(device="cpu")), 0, True, 2000)
    problems = [Problem(f"p{i}", f"Sum {i} and {i * 7}: ", str(8 * i), str(8 * i)) for i in range(24)]
    asked = Sampling(max_tokens=24, temperature=1.0, seed=3)
    val, test = (Steered(place, some, WORDS, asked, judged) for some in (problems[:4], problems[4:]))
    return Arms(val, Neutral(place, NEUTRAL), X, Doses(norm=(0.1, 0.3), kl=(0.02, 0.2), directions=3)), test


def test_doses_are_met(both: tuple[Arms, Steered]) -> None:
    arms, diffmean, bias = both[0], fitted("diffmean"), fitted("logit_bias")
    norm = float(torch.stack([x_ND.norm(dim=1).sum() for x_ND, _ in X.documents(50)]).sum()) / 200
    sizes = [strength * float(diffmean.unit) / norm for strength in arms.strengths(diffmean)]
    np.testing.assert_allclose(sizes, [0.1, 0.3], rtol=1e-3)
    kl = [arms.neutral.side(bias.steer(strength)).mean_kl for strength in arms.strengths(bias)]
    np.testing.assert_allclose(kl, [0.02, 0.2], rtol=1e-2)
    assert arms.strengths(fitted("prompt")) == arms.strengths(fitted("none")) == (1.0,)


def measured(both: tuple[Arms, Steered], name: str) -> Numbers:
    """Return what a method does to the test problems, at the strength that was chosen."""
    (arms, test), method = both, fitted(name)
    choice = arms.choose(method, name)
    assert [one.dose for one in choice.tried] == sorted(one.dose for one in choice.tried)
    return arms.measured(test, method, name, choice)[1]


def word(both: tuple[Arms, Steered], name: str) -> str:
    (found,) = verdicts([measured(both, name) | MARGINS | {"n": np.ones(20)}])
    return found.word


def test_nothing_has_no_effect_and_a_bias_on_words_is_lexical(both: tuple[Arms, Steered]) -> None:
    assert word(both, "none") == "NO_EFFECT"
    assert word(both, "logit_bias") == "LEXICAL"
    assert word(both, "random_dir") in {"NO_EFFECT", "INCONCLUSIVE"}


def test_the_bias_beside_a_bias_is_itself(both: tuple[Arms, Steered]) -> None:
    parts = measured(both, "logit_bias")
    for what in ("hits", "tokens", "right"):
        np.testing.assert_array_equal(parts[what], parts[f"{what}_bias"])
    assert (parts["slope"] > 0).all()
    assert parts["willing"].shape == (20, 3)
    assert parts["slope_random"].shape == (20, 3)


def test_a_ban_stands_beside_a_ban(both: tuple[Arms, Steered]) -> None:
    (arms, test), method = both, fitted("word_ban")
    choice = arms.choose(method, "word_ban")
    assert math.isinf(choice.side.kl)
    assert choice.bias == Intervention(bias={(id_,): -math.inf for id_ in test.first})
    parts = measured(both, "word_ban")
    assert parts["hits"].sum() == 0
    # A dose without end has no slope.
    assert not parts["slope"].any()


def test_a_random_direction_is_not_held_against_itself(both: tuple[Arms, Steered]) -> None:
    """Among those it is held against it could never be steeper than all of them, and its verdict would say nothing."""
    zero_1D, doc_1 = torch.zeros(1, WIDTH), torch.zeros(1, dtype=torch.int64)
    against_KD = torch.stack([moved(every[-1], zero_1D, doc_1) for every in both[0]._directions])
    for seed in range(3):
        own_D = moved(fitted("random_dir", seed).steer(1.0), zero_1D, doc_1)
        cosine_K = torch.cosine_similarity(against_KD, own_D[None])
        assert float(cosine_K.abs().max()) < 0.9


def test_a_change_meets_activations_where_its_method_is() -> None:
    """They are kept in memory, and a method that was fitted on an accelerator stays there."""
    met: list[str] = []

    def change(x_ND: torch.Tensor, doc_N: torch.Tensor) -> torch.Tensor:
        met.extend((x_ND.device.type, doc_N.device.type))
        return x_ND.new_zeros(x_ND.shape)

    with pytest.raises(RuntimeError, match="meta"):
        edit_norm(change, X, torch.device("meta"))  # it holds no numbers, so there is no norm either
    assert met == ["meta", "meta"]


def moved(found: Intervention, x_1D: torch.Tensor, doc_1: torch.Tensor) -> torch.Tensor:
    assert found.change is not None
    return found.change(x_1D, doc_1)[0]
