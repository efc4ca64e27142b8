"""Arms of steering on a small model: nothing done changes no bit, and every number is counted by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.api import Intervention
from harness.data.vocabulary import Entry
from harness.lm.continued import Followed, continued
from harness.lm.generation import Sampling
from harness.lm.loading import LoadOptions, load_model
from harness.lm.under import closed_form_kl
from harness.tracks.neutral import Neutral
from harness.tracks.place import Place
from harness.tracks.rereading import Rereading
from harness.tracks.steered import Problem, Steered, harmony

WORDS = (Entry("a", ((97,),)), Entry("bc", ((98, 99), (66, 99))))
PROBLEMS = [Problem(f"p{i}", f"Sum {i} and {i * 7}{' please' * (i % 3)}: ", str(8 * i), str(8 * i)) for i in range(5)]
NEUTRAL = [Followed(tuple(range(60 + i, 70 + i)), tuple(range(40, 46 + i))) for i in range(3)]
ASKED = Sampling(max_tokens=10, temperature=1.0, seed=3)


@pytest.fixture(scope="module")
def place() -> Place:
    return Place(load_model("tiny-random", LoadOptions(device="cpu")), 0, True, 400)


def judged(texts: Sequence[str], label: str) -> tuple[bool, bool]:
    return label in texts[0], any(letter.isalpha() for letter in texts[0])


def shift(x_ND: Tensor, doc_N: Tensor) -> Tensor:
    return x_ND + 2 * torch.sin(torch.arange(x_ND.shape[1]))


def test_nothing_done_changes_no_bit_and_a_change_does(place: Place) -> None:
    steered = Steered(place, PROBLEMS, WORDS, ASKED, judged)
    clean = steered.write(Intervention(), "clean")
    same = Intervention(change=lambda x_ND, doc_N: x_ND.clone())
    assert steered.write(same, "same") == clean, "random numbers are common"
    own, other = (
        steered.counted(clean) | steered.surprise(clean) | steered.gold(found) for found in (Intervention(), same)
    )
    assert all(np.array_equal(own[name], other[name]) for name in own)
    assert np.array_equal(steered.willing(same), steered.willing_clean)
    assert Neutral(place, NEUTRAL).side(same).kl == 0
    changed = Intervention(change=shift)
    assert steered.write(changed, "changed") != clean
    side = Neutral(place, NEUTRAL).side(changed)
    assert side.kl > 0
    assert side.hits_clean == Neutral(place, NEUTRAL).side(Intervention()).hits


def test_numbers_are_counted_by_hand(place: Place) -> None:
    steered = Steered(place, PROBLEMS, WORDS, ASKED, judged)
    # A bias makes the words frequent; it is no part of what the model itself finds likely.
    found = Intervention(bias={(97,): 6.0, (98,): 6.0, (98, 99): 9.0})
    texts = steered.write(found, "bias")
    numbers = steered.counted(texts) | steered.surprise(texts)
    assert numbers["hits"].sum() > 5
    for row, ((text,), problem) in enumerate(zip(texts, PROBLEMS, strict=True)):
        pairs = list(zip(text.ids, text.ids[1:], strict=False))
        assert numbers["tokens"][row] == len(text.ids)
        assert numbers["censored"][row] == (text.ended == "length")
        assert numbers["hits"][row] == text.ids.count(97) + pairs.count((98, 99)) + pairs.count((66, 99))
        assert (numbers["pairs"][row], numbers["new_pairs"][row]) == (len(pairs), len(set(pairs)))
        ids = torch.tensor([[*place.ids(problem.text), *text.ids]])
        with torch.no_grad():
            logp_SV = place.model.network(ids, use_cache=False).logits[0].log_softmax(-1)
        own = logp_SV[-len(text.ids) - 1 : -1].gather(1, torch.tensor(text.ids)[:, None])
        assert numbers["nll_base"][row] == pytest.approx(-float(own.sum()), abs=1e-3)


def test_a_bias_moves_willingness_and_divergence_by_its_closed_forms(place: Place) -> None:
    """ln P' − ln P is b − ln(1 − P + P e^b) at every token; the divergence is known from P alone."""
    steered, strength = Steered(place, PROBLEMS, WORDS, ASKED, judged), 1.5
    found = Intervention(bias={(id_,): strength for id_ in steered.first})
    texts = [Followed(place.ids(p.text), text.ids) for p, (text,) in zip(PROBLEMS, steered.clean[0], strict=True)]
    expected = []
    for logp_TV in place.each(texts, Intervention(), lambda _, logp_TV: logp_TV):
        mass_T = logp_TV[:, steered.first].double().exp().sum(1)
        expected.append(float((strength - torch.log1p(mass_T * np.expm1(strength))).mean()))
    found_n = steered.willing(found) - steered.willing_clean
    np.testing.assert_allclose(found_n, expected, atol=1e-4)
    neutral, first = Neutral(place, NEUTRAL), tuple(steered.first)
    side = neutral.side(found)
    logp = torch.cat(place.each(NEUTRAL, Intervention(), lambda _, logp_TV: logp_TV))
    assert side.tokens == len(logp) == 21
    assert side.kl == pytest.approx(float(closed_form_kl(logp, first, strength).sum()), rel=1e-3)
    assert side.mean_kl == pytest.approx(neutral.bias_kl(first, strength), rel=1e-3)
    # What is added to logits that were read before is what the model gives under the bias.
    with place.under(found):
        run = [logp_TV for _, logp_TV in sorted(continued(place.model, NEUTRAL, 400), key=lambda one: one[0])]
    hits = sum(int((q_TV.argmax(1) == torch.tensor(t.after)).sum()) for q_TV, t in zip(run, NEUTRAL, strict=True))
    assert side.hits == hits


@pytest.mark.parametrize("tail", [True, False])
def test_texts_read_on_from_the_block_are_those_read_whole(place: Place, tail: bool) -> None:
    texts = [Followed(tuple(range(40, 43 + i)), tuple(range(70, 75 + 2 * i))) for i in range(4)]
    ids_BT = torch.tensor([[*texts[0].prompt, *texts[0].after]])
    # Half of the tokens are left as they are.
    limit = float(place.model.read(ids_BT, torch.ones_like(ids_BT), [1])[1].norm(dim=2).median())
    where = Place(place.model, 1, tail, 60, limit=limit)
    again = Rereading(where, lambda prefix: texts)
    shifted = Intervention(change=shift)
    for found in (Intervention(), shifted, Intervention(bias={(97,): 2.0}), Intervention(shifted.change, True)):
        expected = where.each(texts, found, lambda _, logp_TV: logp_TV)
        for own_TV, other_TV in zip(again.each(found, lambda _, logp_TV: logp_TV), expected, strict=True):
            torch.testing.assert_close(own_TV, other_TV, atol=1e-4, rtol=1e-4)
    changed, plain = (again.each(one, lambda _, logp_TV: logp_TV)[0] for one in (shifted, Intervention()))
    assert not torch.allclose(changed, plain, atol=1e-3)


def test_a_prefix_is_read_before_every_prompt(place: Place) -> None:
    steered = Steered(place, PROBLEMS, WORDS, ASKED, judged)
    found = Intervention(prefix="Think twice. ")
    longer = Steered(
        place, [Problem(p.id, found.prefix + p.text, p.gold, p.label) for p in PROBLEMS], WORDS, ASKED, judged
    )
    texts = steered.write(found, "prefix")
    assert texts == longer.write(Intervention(), "longer")
    own, other = (one.surprise(texts) | one.gold(done) for one, done in ((steered, found), (longer, Intervention())))
    np.testing.assert_allclose(own["gold_logp"], other["gold_logp"], rtol=1e-6)
    assert not np.allclose(own["nll_base"], other["nll_base"]), "texts are held against the plain prompt"


def test_what_was_written_is_kept_by_arm(place: Place, tmp_path: Path) -> None:
    kept = Place(place.model, 0, True, 400, folder=tmp_path)
    steered = Steered(kept, PROBLEMS, WORDS, ASKED, judged)
    clean, changed = (steered.write(found, arm) for found, arm in ((Intervention(), "a"), (Intervention(shift), "b")))
    assert clean != changed
    # From disk, whatever the intervention would do now.
    assert steered.write(Intervention(), "b") == changed


def test_marks_are_those_of_the_numbers(place: Place) -> None:
    names = ("tokens", "hits", "right", "parsed", "nll_base", "grams", "new_grams")
    clean = dict(zip(names, np.array([[20.0, 20], [1, 1], [1, 0], [1, 1], [20, 20], [10, 10], [10, 10]]), strict=True))
    own = clean | {"hits": np.array([4.0, 4.0]), "nll_base": np.array([20.0, 35.0])}
    # Twice the words: 2. Right, and merely there: 2 and 1. As fluent, and e^.75 times as surprising: 2 and 1.
    np.testing.assert_allclose(harmony(own, clean), [2.0, 3 / (1 / 2 + 1 + 1)])
    np.testing.assert_allclose(harmony(clean, clean), 0)


@pytest.mark.parametrize("tail", [True, False])
@pytest.mark.parametrize(
    "found",
    [
        Intervention(shift),
        Intervention(shift, history=True),
        Intervention(bias={(97,): 1.0, (98, 99): 5.0}),
        Intervention(shift, prefix="Think. ", bias={(98,): 2.0}),
    ],
    ids=["change", "history", "bias", "all"],
)
def test_what_is_written_is_the_favourite_of_what_is_read_again(place: Place, tail: bool, found: Intervention) -> None:
    """Prompts of unequal length in one batch, some shorter than what follows; read again padded in another way."""
    where = replace(place, tail=tail)
    steered = Steered(where, PROBLEMS, WORDS, Sampling(max_tokens=40), judged)
    texts = [text for (text,) in steered.write(found, "arm")]
    assert len({len(place.ids(problem.text)) for problem in PROBLEMS}) > 1
    behind = [Followed(place.ids(found.prefix + p.text), t.ids) for p, t in zip(PROBLEMS, texts, strict=True)]
    written = [text.ids for text in texts]
    assert where.each(behind, found, _favourites) == written
    # A prefix stands there already.
    again = Rereading(where, lambda prefix: behind)
    assert again.each(replace(found, prefix=""), _favourites) == written
    assert [text for (text,) in steered.clean[0]] != texts


def _favourites(_row: int, logp_TV: Tensor) -> tuple[int, ...]:
    return tuple(logp_TV.argmax(1).tolist())


def test_the_dose_where_the_model_writes_is_what_a_loop_finds(place: Place) -> None:
    """One text at a time: the last token of the prompt and all new ones."""
    steered = Steered(place, PROBLEMS, WORDS, ASKED, judged)
    moved, norms = float(shift(torch.zeros(1, 64), torch.zeros(1))[0].norm()), []
    for (text,), problem in zip(steered.clean[0], PROBLEMS, strict=True):
        prompt = place.ids(problem.text)
        ids_1T = torch.tensor([[*prompt, *text.ids]])
        x_TD = place.model.read(ids_1T, torch.ones_like(ids_1T), [place.block])[place.block][0]
        norms += x_TD[len(prompt) - 1 :].norm(dim=1).tolist()
    assert steered.dose_written(Intervention(shift)) == pytest.approx(moved / np.mean(norms), rel=1e-5)
    assert np.isnan(steered.dose_written(Intervention(prefix="Think. ")))
