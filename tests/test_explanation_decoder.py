"""The trained explanation decoder: its pairs, its grammar, and what it learns where the truth is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import pytest
import torch
from torch import Tensor

from harness.api import Dictionary, Explainer, Named, Predictions, Sentence, Setting, Train
from harness.registry import build_method
from harness.specs.library import Library
from harness.training.effect_sentences import (
    END,
    NOTHING,
    SIDES,
    STRENGTHS,
    WORDS,
    Active,
    Rule,
    exchanged,
    named_effect,
    read_out,
    written,
)

CPU = torch.device("cpu")
LATENTS, WIDTH = 24, 8
RULE = Rule(share=0.8, most=5, mainly=0.3, also=0.1)


class Rows(Dictionary):
    """A dictionary whose decoder rows are drawn; nobody asks it for codes here."""

    @dataclass(frozen=True)
    class Params:
        """None."""

    def __init__(self) -> None:
        super().__init__()
        self.row_FD = torch.randn(LATENTS, WIDTH, generator=torch.Generator().manual_seed(0))

    def fit(self, train: Train) -> None:
        """Nothing."""

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return the activations."""
        return x_ND

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return a sum of rows."""
        return z_NF @ self.row_FD

    def directions(self) -> Tensor:
        """Return the rows."""
        return self.row_FD

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}


WEIGHT_F = 2 * torch.randn(LATENTS, generator=torch.Generator().manual_seed(1))


def planted(count: int, seed: int, active: int = 10) -> Predictions:
    """Return predictions whose latents each do their code times a weight of their own, unknown to the decoder."""
    draw = torch.Generator().manual_seed(seed)
    chance_nF = torch.rand(count, LATENTS, generator=draw)
    code_nF = (chance_nF.argsort(1).argsort(1) < active) * (0.5 + torch.rand(count, LATENTS, generator=draw))
    return predictions(code_nF, code_nF * WEIGHT_F)


def predictions(code_nF: Tensor, effect_nF: Tensor) -> Predictions:
    def slope(points: int) -> Tensor:
        raise AssertionError("an explanation decoder takes no gradient")

    ids_n = torch.zeros(len(code_nF), dtype=torch.int64)
    return Predictions(code_nF, Rows().row_FD, ids_n, effect_nF.sum(1), slope, lambda: effect_nF)


def unseen(asked: Predictions) -> Predictions:
    """Return the same predictions; whoever ablates a latent of them fails."""

    def ablated() -> Tensor:
        raise AssertionError("an explanation decoder ablates nothing when it explains")

    return replace(asked, ablated=ablated)


@cache
def decoder(name: str, seed: int = 0, passes: int = 25) -> Explainer:
    found = Library().method(name)
    setting = Setting(WIDTH, LATENTS, 10, seed, {"dictionary": Rows()})
    method: Explainer = build_method(found, {**found.spec.params, "passes": passes}, setting)
    learn = planted(200, 2)
    method.fit(Train(None, None, 1, CPU, extra={"predictions": lambda dictionary: learn}))  # type: ignore[arg-type]
    return method


def hits(method: Explainer, asked: Predictions) -> float:
    """Return the share of named latents that are among the five of largest effect."""
    named = [[part for part in one if isinstance(part, Named)] for one in method.sentences(unseen(asked))]
    largest = asked.ablated().abs().topk(5, dim=1).indices.tolist()
    found = [one.latent in best for said, best in zip(named, largest, strict=True) for one in said]
    return sum(found) / len(found)


def test_what_latents_do_everywhere_is_learned_and_from_exchanged_effects_it_is_not() -> None:
    test = planted(60, 3)
    assert hits(decoder("explanation_decoder"), test) >= 0.9
    # Five of ten are right by chance: half.
    assert 0.35 <= hits(decoder("explanation_decoder_shuffled"), test) <= 0.65


def test_the_side_of_a_latent_is_learned() -> None:
    test = planted(60, 3)
    said = [p for one in decoder("explanation_decoder").sentences(test) for p in one if isinstance(p, Named)]
    assert sum(one.supports == bool(WEIGHT_F[one.latent] > 0) for one in said) / len(said) >= 0.97


def test_importance_follows_the_effects() -> None:
    test = planted(60, 3)
    importance_nF = decoder("explanation_decoder").importance(unseen(test))
    active_nF = test.code_nF != 0
    assert bool((importance_nF[~active_nF] == 0).all())
    told, true = importance_nF[active_nF], test.ablated()[active_nF]
    assert float(torch.corrcoef(torch.stack([told, true]))[0, 1]) > 0.95


@pytest.mark.parametrize("active", [0, 1, 2, LATENTS])
def test_sentences_are_well_formed_however_many_latents_are_active(active: int) -> None:
    test = planted(7, 4, active)
    for sentence, code_F in zip(decoder("explanation_decoder").sentences(test), test.code_nF, strict=True):
        named = [part.latent for part in sentence if isinstance(part, Named)]
        assert len(set(named)) == len(named) <= 5
        assert all(code_F[latent] != 0 for latent in named)
        assert (sentence == NOTHING) == (active == 0)
        assert len(named) >= min(active, 1)
        if active:
            check_words(sentence)


def check_words(sentence: Sentence) -> None:
    clauses = {f" speaks {strength} {side} it" for strength in STRENGTHS for side in SIDES}
    assert all(isinstance(part, Named) for part in sentence[:-1:3])
    assert all(part in clauses for part in sentence[1::3])
    assert all(part == "; " for part in sentence[2:-1:3])
    assert sentence[-1] == "."


def test_the_same_seed_gives_the_same_decoder_whatever_was_drawn_before() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = decoder.__wrapped__("explanation_decoder", passes=1).state()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again = decoder("explanation_decoder", passes=1).state()
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = decoder("explanation_decoder", 1, passes=1).state()
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_state_gives_the_sentences_back() -> None:
    found = Library().method("explanation_decoder")
    setting = Setting(WIDTH, LATENTS, 10, 0, {"dictionary": Rows()})
    fresh: Explainer = build_method(found, found.spec.params, setting)
    fresh.load(decoder("explanation_decoder").state())
    fresh.eval()
    test = planted(9, 5)
    assert fresh.sentences(test) == decoder("explanation_decoder").sentences(test)


def pair(effects: list[float]) -> tuple[Active, Tensor]:
    code_nF = torch.zeros(1, LATENTS)
    code_nF[0, 3 : 3 + len(effects)] = 1.0
    effect_nF = torch.zeros(1, LATENTS)
    effect_nF[0, 3 : 3 + len(effects)] = torch.tensor(effects)
    active = Active.of(predictions(code_nF, effect_nF))
    return active, active.gather(effect_nF)


def test_a_right_sentence_names_the_largest_effects_until_enough_is_said() -> None:
    """Shares .5, .3, .12, .08: the first two hold .8."""
    active, effect_nK = pair([0.8, -3.0, 5.0, -1.2])
    token_nS = written(active, effect_nK, RULE)
    sentence = read_out(token_nS[0].tolist(), active.latent_nK[0].tolist())
    five, three = Named(5, True), Named(4, False)
    assert sentence == (five, " speaks mainly for it", "; ", three, " speaks mainly against it", ".")
    longer = written(active, effect_nK, replace(RULE, share=0.95))[0].tolist()
    assert read_out(longer, active.latent_nK[0].tolist())[5:] == (
        "; ",
        Named(6, False),
        " speaks also against it",
        "; ",
        Named(3, True),
        " speaks slightly for it",
        ".",
    )
    assert named_effect(active, effect_nK, token_nS) == pytest.approx(0.8)
    token_nS[0, 2] = WORDS.index("against")
    assert named_effect(active, effect_nK, token_nS) == pytest.approx((3 - 5) / 10)


def test_nothing_is_said_of_latents_without_effects() -> None:
    active, effect_nK = pair([0.0, 0.0])
    assert set(written(active, effect_nK, RULE)[0].tolist()) == {END}
    nobody, none_nK = pair([])
    assert set(written(nobody, none_nK, RULE)[0].tolist()) == {END}
    assert named_effect(nobody, none_nK, written(nobody, none_nK, RULE)) == 0


def test_exchanged_effects_stay_among_the_active_latents() -> None:
    test = planted(40, 6)
    test = replace(test, code_nF=test.code_nF * (torch.arange(40)[:, None] % 3 > 0))
    active = Active.of(test)
    effect_nK = active.gather(test.ablated())
    mixed_nK = exchanged(active, effect_nK)
    assert not torch.equal(mixed_nK, effect_nK)
    assert torch.equal(mixed_nK.sort(1).values, effect_nK.sort(1).values)
    assert bool((mixed_nK[~active.there_nK] == 0).all())
    assert torch.equal(active.scatter(effect_nK, LATENTS), test.ablated() * (test.code_nF != 0))
