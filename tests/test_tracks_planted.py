"""Steering where it is known what a direction does: slopes by their closed form, and the verdict on each arm.

Between the planted model's blocks a push along its direction corrects answers; behind the second it makes words
likelier and nothing else. A bias on the words never corrects one.
"""

from __future__ import annotations

import numpy as np
import pytest
from riddle_arms import BEFORE, BEHIND, ROWS, TEST, VAL, Along, World, world

from harness.data.riddles import CREATURES, NUMBERS
from harness.lm.reflective import reflection_direction
from harness.lm.reflective_truth import answer, log_reflects, positions
from harness.metrics.contract import all_metrics
from harness.metrics.written import slopes
from harness.stats.summary import summarise

PLACES = pytest.mark.parametrize("block", [BEFORE, BEHIND])
WORLDS: dict[int, World] = {}


def at(block: int) -> World:
    if block not in WORLDS:
        WORLDS[block] = world(block)
    return WORLDS[block]


def known(found: World, doses: list[float]) -> np.ndarray:
    """Return ln p(a word of reflection begins), by problem and dose, over what the model writes as it is."""
    rows, late = [], found.arms.val.place.block == BEHIND
    for text, problem in zip(found.test.clean[0], found.test.problems, strict=True):
        read = [*problem.text.split(), *(found.test.place.model.tokenizer.decode([id_]) for id_ in text[0].ids)]
        places = positions(read)[len(problem.text.split()) - 1 : -1]
        rows.append([np.mean([log_reflects(place, dose, late=late) for place in places]) for dose in doses])
    return np.array(rows)


@PLACES
def test_slopes_are_those_of_the_closed_form(block: int) -> None:
    found = at(block)
    method = Along(reflection_direction())
    doses = [0.0, *found.arms.strengths(method)]
    parts = found.parts(method, "r")
    truth_n = slopes(np.array([0.0, *found.arms.doses.norm]), known(found, doses))
    np.testing.assert_allclose(parts["slope"], truth_n, rtol=1e-4)
    estimate = summarise(all_metrics()["dose_slope"], [parts])
    assert estimate.lo is not None
    assert estimate.hi is not None
    assert 0 < estimate.lo < truth_n.mean() < estimate.hi


def test_a_push_corrects_the_hard_answers_that_are_reached_and_a_bias_none() -> None:
    found = at(BEFORE)
    method = Along(reflection_direction())
    parts = found.parts(method, "r")
    hard_n = np.array([row["hard"] for row in ROWS[VAL : VAL + TEST]])
    assert 0.4 < hard_n.mean() < 0.6
    reached_n = parts["parsed"] == 1
    # Numbers are drawn; the first one still has some nats' worth of probability.
    assert parts["right"][hard_n & reached_n].mean() > 0.9
    assert (parts["right_clean"][hard_n] == 0).all()
    assert (parts["right_bias"][hard_n] == 0).all()
    assert parts["right_bias"].sum() > 0.3 * TEST, "of easy ones"


@pytest.mark.parametrize(("block", "word"), [(BEFORE, "STEERS"), (BEHIND, "LEXICAL")])
def test_a_direction_found_in_texts_steers_only_where_the_model_acts_on_it(block: int, word: str) -> None:
    found = at(block)
    method = found.fitted("diffmean")
    assert float(method.state()["direction"] @ reflection_direction()) > 0.9
    assert found.verdict(method, "diffmean").word == word


def test_the_first_component_around_words_is_the_direction_too() -> None:
    assert float(at(BEFORE).fitted("pca_direction").state()["direction"] @ reflection_direction()) > 0.8


@PLACES
@pytest.mark.parametrize(("name", "word"), [("none", "NO_EFFECT"), ("logit_bias", "LEXICAL"), ("prompt", "NO_EFFECT")])
def test_what_changes_no_activation_never_steers(name: str, word: str, block: int) -> None:
    assert at(block).verdict(at(block).fitted(name), name).word == word


@PLACES
def test_random_directions_never_steer(block: int) -> None:
    """What exceeds no random direction cannot steer; of 20 seeds the one that does most is judged in full."""
    found, over = at(block), []
    metric = all_metrics()["over_random"]
    clean_n = found.test.willing_clean
    random_nK = found.arms._random_slopes(found.test, True)
    for seed in range(20):
        method = found.fitted("random_dir", seed)
        every = [found.test.willing(method.steer(strength)) for strength in found.arms.strengths(method)]
        slope_n = slopes(np.array([0.0, *found.arms.doses.norm]), np.stack([clean_n, *every], 1))
        parts = {"n": np.ones(TEST), "answered": np.ones(TEST), "slope": slope_n, "slope_random": random_nK}
        over.append(summarise(metric, [parts]).value)
    assert np.mean(np.array(over) > 1) < 0.5, "else they would be no measure"
    seed = int(np.argmax(over))
    assert found.verdict(found.fitted("random_dir", seed), f"random {seed}").word != "STEERS"


def test_the_known_answer_is_the_creatures() -> None:
    for creature in CREATURES:
        (place,) = positions(["riddle", creature.name, "?", "so"])[-1:]
        assert NUMBERS[answer(place, 0.0)] == NUMBERS[creature.first]
        assert answer(place, 2.0) == creature.right
        assert answer(place, 2.0, late=True) == creature.first
