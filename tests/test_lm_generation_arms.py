"""What holds of texts that are written in batches, and of arms that write from the same random numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.lm import generation
from harness.lm.edits import added, edited
from harness.lm.generation import Prompt, Sampling, generate
from harness.lm.loading import LoadOptions, load_model
from harness.lm.model import LanguageModel
from harness.lm.under import biased

TOKENS, DRAWN = 10, Sampling(10, 1.0, samples=2)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("tiny-random", LoadOptions(device="cpu"))


def prompts(count: int = 9) -> list[Prompt]:
    return [Prompt(str(i), tuple(range(65, 66 + 5 * (i % 4) + i))) for i in range(count)]


def written(model: LanguageModel, several: list[Prompt], batch_tokens: int = 10**6) -> list[tuple[int, ...]]:
    return [one.ids for both in generate(model, several, DRAWN, batch_tokens) for one in both]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(0, 30), st.integers(1, 400))
def test_batches_are_of_similar_length_and_within_their_tokens(lengths: list[int], new: int, most: int) -> None:
    batches = generation._batches(lengths, new, most)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    sizes = [[lengths[row] for row in batch] for batch in batches]
    assert [size for batch in sizes for size in batch] == sorted(lengths, reverse=True)
    for batch, later in zip(sizes, [*sizes[1:], []], strict=True):
        assert len(batch) == 1 or len(batch) * (max(batch) + new) <= most
        # Full: the first of what comes later would not have fitted.
        assert not later or (len(batch) + 1) * (max(batch) + new) > most


def test_no_pass_has_more_positions_than_a_batch_may(model: LanguageModel) -> None:
    positions: list[int] = []

    def see(_module: Any, _args: Any, options: Any) -> None:
        rows, columns = options["input_ids"].shape
        positions.append(rows * (columns + options["past_key_values"].get_seq_length()))

    handle = model.network.register_forward_pre_hook(see, with_kwargs=True)
    try:
        generate(model, prompts(), Sampling(TOKENS), 120)
    finally:
        handle.remove()
    assert 60 < max(positions) <= 120


def test_arms_that_do_the_same_write_the_same_whatever_their_batches(model: LanguageModel) -> None:
    clean = written(model, prompts())
    zero_D = torch.zeros(model.info.width)
    with edited(model, {0: added(zero_D)}):
        assert written(model, prompts()) == clean
    with biased(model, {(token,): 0.25 for token in range(model.info.vocab)}):
        assert written(model, prompts(), 100) == clean, "what is added to every logit alike changes no probability"


def test_arms_share_the_random_numbers_of_each_token(model: LanguageModel) -> None:
    """A ban changes a text where the banned token would stand, and not before; unbanned rows stay whole.

    With numbers of its own for each arm, next to no row would stay.
    """
    clean = written(model, prompts())
    banned = clean[0][TOKENS // 2]
    with biased(model, {(banned,): float("-inf")}):
        steered = written(model, prompts()[::-1], 100)
    steered = [ids for i in range(0, len(steered), 2) for ids in steered[len(steered) - 2 - i :][:2]]
    touched = 0
    for before, after in zip(clean, steered, strict=True):
        same = before.index(banned) if banned in before else len(before)
        touched += banned in before
        assert after[:same] == before[:same]
        assert banned not in after
    assert 1 <= touched < len(clean) / 2


def test_a_text_that_ends_early_moves_no_number_of_its_neighbours(model: LanguageModel) -> None:
    several = prompts()
    whole = generate(model, several, DRAWN, 10**6)
    stop = next(one.text[2] for both in whole for one in both if len(one.text) > 4 and one.text[2].isprintable())
    cut = generate(model, several, Sampling(10, 1.0, (stop,), samples=2), 10**6)
    assert {one.ended for both in cut for one in both} >= {"stop"}
    for before, after in zip(whole, cut, strict=True):
        for one, other in zip(before, after, strict=True):
            assert other.ids == one.ids[: len(other.ids)]
            assert other.text == one.text.split(stop)[0]
