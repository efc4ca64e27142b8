"""A bias against transformers' own, a divergence against its definition, and what is changed of a prompt."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import SequenceBiasLogitsProcessor

from harness.lm.edits import edited
from harness.lm.generation import Prompt, Sampling, generate
from harness.lm.loading import LoadOptions, load_model
from harness.lm.model import LanguageModel
from harness.lm.spliced import Splice
from harness.lm.under import Biased, biased, closed_form_kl, spliced

PROMPTS = [Prompt("long", tuple(range(65, 85))), Prompt("short", (97, 98, 99)), Prompt("one", (120,))]
ASKED = Sampling(max_tokens=12)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("tiny-random", LoadOptions(device="cpu"))


def written(model: LanguageModel, batch_tokens: int = 1000) -> list[tuple[int, ...]]:
    return [one.ids for (one,) in generate(model, PROMPTS, ASKED, batch_tokens)]


def test_a_bias_is_transformers_own() -> None:
    generator = torch.Generator().manual_seed(0)
    ids_BS = torch.randint(0, 3, (4, 9), generator=generator)
    bias = {(0,): 1.5, (4,): -2.0, (1, 4): 0.5, (2, 1, 0): 3.0, (2,): -math.inf, (0, 2): 1.0, (1, 3): -math.inf}
    theirs = SequenceBiasLogitsProcessor({key: value for key, value in bias.items() if key != (0, 2)})
    logits_BTV = torch.randn(4, 9, 5, generator=generator)
    found = Biased(bias, 5).added(logits_BTV, ids_BS)
    for t in range(9):
        expected = theirs(ids_BS[:, : t + 1], logits_BTV[:, t])
        assert torch.allclose(found[:, t], expected), "a ban stays one, though (0, 2) would add to it"
    assert torch.equal(Biased(bias, 5).added(logits_BTV[:, -2:], ids_BS), found[:, -2:])


def test_a_bias_of_several_tokens_follows_what_is_written_with_a_cache(model: LanguageModel) -> None:
    clean = written(model)
    # After the two tokens that it writes first, a third that it would not write.
    other = (clean[1][2] + 1) % 256
    with biased(model, {(*clean[1][:2], other): 1e4}):
        steered, alone = written(model), written(model, batch_tokens=1)
    assert steered == alone
    assert steered[1][:3] == (*clean[1][:2], other)
    assert written(model) == clean, "the bias is gone after the block"
    with biased(model, {}):
        assert written(model) == clean


def test_what_is_banned_is_never_written(model: LanguageModel) -> None:
    clean = {id_ for ids in written(model) for id_ in ids}
    with biased(model, {(id_,): -math.inf for id_ in clean}):
        assert not clean & {id_ for ids in written(model) for id_ in ids}


def test_the_divergence_of_a_bias_has_a_closed_form() -> None:
    logits_NV = torch.randn(50, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logp_NV = logits_NV.log_softmax(1)
    for value in (-3.0, -0.1, 0.0, 0.5, 4.0):
        changed_NV = logits_NV.clone()
        changed_NV[:, [3, 7]] += value
        expected_N = (logp_NV.exp() * (logp_NV - changed_NV.log_softmax(1))).sum(1)
        assert torch.allclose(closed_form_kl(logp_NV, (3, 7), value), expected_N, atol=1e-12)
    with pytest.raises(ValueError, match="no finite"):
        closed_form_kl(logp_NV, (3,), -math.inf)


def shift(x_ND: Tensor, doc_N: Tensor) -> Tensor:
    return x_ND + 3 * torch.sin(torch.arange(x_ND.shape[1]))


@pytest.mark.parametrize("tail", [False, True])
def test_a_change_reaches_the_tokens_it_is_meant_for(tail: bool, model: LanguageModel) -> None:
    """Written in a padded batch with a cache, and by hand: alone, without a cache, the whole text for each token."""
    with spliced(model, {0: Splice(shift, tail=tail)}):
        found = written(model)
    assert found != written(model)
    for prompt, ids in zip(PROMPTS, found, strict=True):
        start = len(prompt.ids) - 1 if tail else 0
        # The first token of a text is never changed.
        assert ids[:6] == by_hand(model, list(prompt.ids), max(start, 1), 6)


def by_hand(model: LanguageModel, ids: list[int], start: int, count: int) -> tuple[int, ...]:
    def edit(x_BTD: Tensor) -> Tensor:
        rest_BTD = x_BTD[:, start:]
        changed: Any = shift(rest_BTD[0], torch.zeros(rest_BTD.shape[1]))
        return torch.cat([x_BTD[:, :start], changed[None]], 1)

    length = len(ids)
    with torch.no_grad(), edited(model, {0: edit}):
        for _ in range(count):
            ids = [*ids, int(model.network(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())]
    return tuple(ids[length:])
