"""The planted model does what its closed form says, and its texts carry the direction where they reflect."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.data.riddles import CREATURES, NUMBERS, REFLECTIONS, SO, riddles
from harness.lm.edits import added, edited
from harness.lm.loading import LoadOptions, load_model
from harness.lm.model import LanguageModel
from harness.lm.reflective import reflection_direction, reflective_model, reflective_tokenizer
from harness.lm.reflective_design import DESIGN, WORDS
from harness.lm.reflective_truth import answer, log_reflects, positions

ROWS = list(riddles(24, 5))
TEXTS = [f"{row['question']} {row['thoughts']} so {row['answer']} ." for row in ROWS]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("planted-reflection", LoadOptions(device="cpu"))


def log_probabilities(model: LanguageModel, text: str, block: int, dose: float) -> torch.Tensor:
    ids_1T = torch.tensor([model.tokenizer(text)["input_ids"]])
    with torch.no_grad(), edited(model, {block: added(dose * reflection_direction())}):
        return model.network(ids_1T).logits[0].double().log_softmax(1)


def test_the_model_is_the_same_each_time_and_disturbs_nothing() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, second = reflective_model(), reflective_model()
    assert torch.equal(before, torch.random.get_rng_state())
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    norm_V = first.model.embed_tokens.weight.norm(dim=1)
    torch.testing.assert_close(norm_V, torch.full_like(norm_V, DESIGN.norm))
    assert len(set(WORDS)) == len(WORDS)


def test_a_word_is_a_token_whatever_its_case() -> None:
    tokenizer = reflective_tokenizer()
    assert tokenizer("Wait  the river", add_special_tokens=False)["input_ids"] == [
        WORDS.index(word) for word in ("wait", "the", "river")
    ]
    assert tokenizer.decode(tokenizer(TEXTS[0])["input_ids"]) == TEXTS[0]
    assert tokenizer("elephants")["input_ids"] == [tokenizer.unk_token_id]


def test_texts_carry_the_direction_around_words_of_reflection_and_hardly_elsewhere(model: LanguageModel) -> None:
    near, elsewhere = [], []
    for text in TEXTS:
        words = text.split()
        ids_1T = torch.tensor([model.tokenizer(text)["input_ids"]])
        x_1TD = model.read(ids_1T, torch.ones_like(ids_1T), [0])[0]
        along_T = (x_1TD[0] @ reflection_direction()).numpy()
        np.testing.assert_allclose(along_T, [place.reflection for place in positions(words)], atol=1e-3)
        for place, value in enumerate(along_T):
            some = [word in REFLECTIONS for word in words[max(place - 3, 0) : place + 1]]
            (near if any(some) else elsewhere).append(value)
    assert np.mean(near) > 0.5
    assert max(elsewhere) < 0.2


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("dose", [0.0, 0.8, 1.6, 4.0, -1.5])
def test_what_follows_has_its_closed_form(block: int, dose: float, model: LanguageModel) -> None:
    words = [WORDS.index(word) for word in REFLECTIONS]
    numbers = [WORDS.index(word) for word in NUMBERS]
    for text in TEXTS[:12]:
        logp_TV = log_probabilities(model, text, block, dose)
        for row, place in enumerate(positions(text.split())):
            # A creature's own place holds the numbers it recalls; nothing is asked there.
            if place.state != "named":
                known = log_reflects(place, dose, late=block == 1)
                assert float(logp_TV[row, words].logsumexp(0)) == pytest.approx(known, abs=1e-4), (text, row)
            if place.state == "answering":
                assert int(logp_TV[row, numbers].argmax()) == answer(place, dose, late=block == 1)


def test_the_answer_changes_at_the_threshold_and_of_hard_creatures_alone(model: LanguageModel) -> None:
    numbers = [WORDS.index(word) for word in NUMBERS]
    for creature in CREATURES[:20]:
        said = [
            int(
                log_probabilities(model, f"riddle {creature.name} ? so", 0, DESIGN.threshold + over)[
                    -1, numbers
                ].argmax()
            )
            for over in (-0.1, 0.2)
        ]
        assert said == [creature.first, creature.right]
    assert sum(creature.hard for creature in CREATURES) == len(CREATURES) / 2


def test_no_words_bring_the_direction_to_the_threshold(model: LanguageModel) -> None:
    (creature,) = [one for one in CREATURES if one.hard][:1]
    text = f"riddle {creature.name} ? {'wait ' * 60}{SO}"
    reached = positions(text.split())[-1].reflection
    assert reached == pytest.approx(DESIGN.most * (1 - DESIGN.share), rel=1e-3)
    assert reached < DESIGN.threshold
    logp_V = log_probabilities(model, text, 0, 0.0)[-1]
    assert int(logp_V.argmax()) == WORDS.index(NUMBERS[creature.first])


def test_riddles_are_the_same_for_a_seed_and_a_longer_set_begins_with_a_shorter_one() -> None:
    assert list(riddles(12, 5)) == ROWS[:12]
    assert list(riddles(12, 6)) != ROWS[:12]
    assert len({row["creature"] for row in riddles(240, 1)}) == 240
    for row in ROWS:
        thoughts = row["thoughts"].split()
        places = [place for place, word in enumerate(thoughts) if word in REFLECTIONS]
        assert all(4 <= place < len(thoughts) - 4 for place in places)
        assert set(f"{row['question']} {row['thoughts']} {row['answer']}".split()) <= set(WORDS)
