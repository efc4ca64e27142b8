"""Generated text is the model's own, whatever the batch, and is found again after a kill."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.errors import UserError
from harness.lm import generation
from harness.lm.blocks import hidden_of, hooked, with_hidden
from harness.lm.generation import Continuation, Prompt, Sampling, generate
from harness.lm.loading import LoadOptions, load_model
from harness.lm.model import LanguageModel

WIDE = 10**6


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("tiny-random", LoadOptions(device="cpu"))


def prompts(model: LanguageModel, count: int = 11) -> list[Prompt]:
    """Return prompts of different lengths."""
    texts = [f"{'so ' * (i % 4)}{i} + {i * i} =" for i in range(count)]
    return [Prompt(str(i), tuple(model.tokenizer(text)["input_ids"])) for i, text in enumerate(texts)]


def naive(model: LanguageModel, ids: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Continue greedily with a whole forward pass for each token, alone and without a cache."""
    new: list[int] = []
    while len(new) < most:
        with torch.no_grad():
            logits = model.network(torch.tensor([[*ids, *new]]), use_cache=False).logits[0, -1]
        if (best := int(logits.argmax())) == model.eos_id:
            break
        new.append(best)
    return tuple(new)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_texts_do_not_depend_on_the_batch(model: LanguageModel, temperature: float) -> None:
    asked, several = Sampling(6, temperature, samples=1 + (temperature > 0)), prompts(model)
    alone = generate(model, several, asked, 1)
    together = generate(model, several, asked, WIDE)
    assert alone == together == generate(model, several, asked, 60)
    backwards = generate(model, several[::-1], asked, 60)
    assert backwards[::-1] == alone
    assert generate(model, several[3:5], asked, WIDE) == alone[3:5]


def test_greedy_is_the_argmax_of_the_plain_model(model: LanguageModel) -> None:
    several = prompts(model)
    found = generate(model, several, Sampling(7), WIDE)
    assert [one.ids for (one,) in found] == [naive(model, prompt.ids, 7) for prompt in several]


def test_draws_follow_the_models_own_probabilities(model: LanguageModel) -> None:
    (ids,) = {prompts(model)[3].ids}
    count, temperature = 4000, 0.7
    found = generate(model, [Prompt("p", ids)], Sampling(1, temperature, samples=count), WIDE)
    drawn = np.bincount([one.ids[0] for one in found[0] if one.ids], minlength=model.info.vocab)
    with torch.no_grad():
        p_V = (model.network(torch.tensor([ids])).logits[0, -1].double() / temperature).softmax(-1).numpy()
    p_V[model.eos_id or 0] = 0  # ends the text at once
    likely = p_V > 0.005
    off = (drawn - count * p_V)[likely] / np.sqrt(count * p_V * (1 - p_V))[likely]
    assert np.abs(off).max() < 4.5
    assert drawn[~likely].sum() == pytest.approx(count * p_V[~likely].sum(), abs=4.5 * np.sqrt(count))


def test_a_seed_and_a_name_decide_the_draws(model: LanguageModel) -> None:
    ids = prompts(model)[0].ids
    asked = Sampling(8, 1.0, samples=2)
    (one, two), (same, _), (other, _) = generate(model, [Prompt(n, ids) for n in ("a", "a", "b")], asked, WIDE)
    assert one == same
    assert len({one.ids, two.ids, other.ids}) == 3
    reseeded = generate(model, [Prompt("a", ids)], Sampling(8, 1.0, seed=1), WIDE)
    assert reseeded[0][0] != one


def test_a_stop_string_ends_its_row_alone_and_is_no_part_of_the_text(model: LanguageModel) -> None:
    several = prompts(model)
    whole = [one for (one,) in generate(model, several, Sampling(12), WIDE)]
    # Two letters in a row, so that the string spans tokens; texts may hold bytes that are no letters.
    pairs = (one.text[i : i + 2] for one in whole for i in range(2, len(one.text) - 1))
    stop = next(pair for pair in pairs if pair.isascii() and pair.isprintable())
    for batch in (1, WIDE):
        found = [one for (one,) in generate(model, several, Sampling(12, stop=(stop,)), batch)]
        for before, after in zip(whole, found, strict=True):
            assert after.text == before.text.split(stop)[0]
            assert after.ended == ("stop" if stop in before.text else before.ended)
            assert after.ids == before.ids[: len(after.ids)]
    assert {one.ended for one in found} >= {"stop", "length"}


def test_the_end_token_ends_a_text(model: LanguageModel) -> None:
    ids = prompts(model)[2].ids
    first = naive(model, ids, 1)[0]

    def end(_module: Any, _args: Any, output: Any) -> Any:
        # The direction that the head reads as the end token, much longer than what is there.
        weight_D = model.network.get_output_embeddings().weight[model.eos_id or 0]
        return with_hidden(output, hidden_of(output) + 1e4 * weight_D)

    with hooked([(model.blocks[-1], end)]):
        ((found,),) = generate(model, [Prompt("p", ids)], Sampling(4), WIDE)
    assert found == Continuation((), "", "end")
    assert generate(model, [Prompt("p", ids)], Sampling(1), WIDE)[0][0].ids == (first,)


def test_settings_that_came_with_the_model_change_nothing(model: LanguageModel) -> None:
    several = prompts(model)
    plain = generate(model, several, Sampling(8), WIDE)
    own = model.network.generation_config
    try:
        own.repetition_penalty, own.max_length = 50.0, 3
        assert generate(model, several, Sampling(8), WIDE) == plain
        assert model.network.generation_config is own
    finally:
        own.repetition_penalty, own.max_length = None, None


def test_a_killed_run_loses_one_batch(model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several, asked = prompts(model), Sampling(5)
    whole = generate(model, several, asked, 60)
    ran: list[int] = []
    own = generation._continue

    def dies(model: LanguageModel, rows: Any, asked: Sampling) -> list[Continuation]:
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(len(rows))
        return own(model, rows, asked)

    monkeypatch.setattr(generation, "_continue", dies)
    with pytest.raises(KeyboardInterrupt):
        generate(model, several, asked, 60, tmp_path)
    files = sorted(tmp_path.rglob("*.json"))
    assert len(files) == 2
    files[0].write_text(files[0].read_text()[:-9], encoding="utf-8")  # and one is torn

    calls: list[tuple[str, int, int]] = []
    again: list[int] = []
    monkeypatch.setattr(generation, "_continue", lambda m, rows, a: again.append(len(rows)) or own(m, rows, a))
    assert generate(model, several, asked, 60, tmp_path, lambda *told: calls.append(told)) == whole
    batches = len(list(tmp_path.rglob("*.json")))
    assert len(again) == batches - 1
    assert calls[-1] == ("generating", batches, batches)
    again.clear()
    assert generate(model, several, asked, 60, tmp_path) == whole
    assert not again
    generate(model, several, Sampling(5, seed=1), 60, tmp_path)
    assert again, "other settings are other texts"


def test_what_another_device_wrote_is_written_again(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernels round another way, and arms of one comparison are written in one place."""
    for device in ("cpu", "cuda:0"):
        monkeypatch.setattr(model, "info", replace(model.info, device=device))
        generate(model, prompts(model, 1), Sampling(3), WIDE, tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 2


def test_what_is_kept_is_plain(model: LanguageModel, tmp_path: Path) -> None:
    ((found,),) = generate(model, prompts(model, 1), Sampling(3), WIDE, tmp_path)
    (file,) = tmp_path.rglob("*.json")
    held = json.loads(file.read_text(encoding="utf-8"))
    assert held == [{"ids": list(found.ids), "text": found.text, "ended": found.ended}]


@pytest.mark.parametrize(
    ("prompt", "says"), [(Prompt("x", ()), "'x' has no tokens"), (Prompt("x", (65,) * 5000), "can read")]
)
def test_what_cannot_be_continued_is_refused(model: LanguageModel, prompt: Prompt, says: str) -> None:
    with pytest.raises(UserError, match=says):
        generate(model, [prompt], Sampling(4), WIDE)
