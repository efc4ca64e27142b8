"""Edits against the plainest other way of making them: a hook written down here, or no cache at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.lm.blocks import hidden_of, hooked, with_hidden
from harness.lm.edits import added, edited
from harness.lm.loading import load_model
from harness.lm.model import LanguageModel


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("tiny-random")


def batch() -> tuple[Tensor, Tensor]:
    ids_BT = torch.randint(0, 256, (3, 9), generator=torch.Generator().manual_seed(1))
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[1, 6:] = 0
    return ids_BT, mask_BT


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


@torch.no_grad()
def logits(model: LanguageModel, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
    found: Tensor = model.network(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).logits
    return found[mask_BT.bool()]


def naive(delta_BTD: Tensor) -> Callable[[nn.Module, Any, Any], Any]:
    return lambda _module, _args, output: with_hidden(output, hidden_of(output) + delta_BTD)


def test_an_edit_of_zeros_changes_no_bit(model: LanguageModel) -> None:
    ids_BT, mask_BT = batch()
    clean_NV = logits(model, ids_BT, mask_BT)
    for shape in ((64,), (9, 64), (3, 9, 64)):
        with edited(model, {0: added(torch.zeros(shape)), 1: added(torch.zeros(shape))}):
            assert torch.equal(logits(model, ids_BT, mask_BT), clean_NV)


@pytest.mark.parametrize("blocks", [(0,), (1,), (0, 1)])
def test_edits_are_those_of_a_naive_hook(model: LanguageModel, blocks: tuple[int, ...]) -> None:
    ids_BT, mask_BT = batch()
    delta = {block: noise(3, 9, 64) * (block + 1) for block in blocks}
    with hooked((model.blocks[block], naive(one)) for block, one in delta.items()):
        expected_NV = logits(model, ids_BT, mask_BT)
    with edited(model, {block: added(one) for block, one in delta.items()}):
        assert torch.equal(logits(model, ids_BT, mask_BT), expected_NV)
    assert (logits(model, ids_BT, mask_BT) - expected_NV).abs().max() > 1e-2
    assert not any(module._forward_hooks for module in model.network.modules())


def test_reading_and_resuming_see_the_edit(model: LanguageModel) -> None:
    ids_BT, mask_BT = batch()
    delta_BTD = noise(3, 9, 64)
    x_BTD = model.read(ids_BT, mask_BT, [0])[0]
    with edited(model, {0: added(delta_BTD), 1: added(delta_BTD[0, 0])}):
        assert torch.equal(model.read(ids_BT, mask_BT, [0])[0], x_BTD + delta_BTD)
        resumed_BTD = model.resume(ids_BT, mask_BT, 0, x_BTD)
        expected_NV = logits(model, ids_BT, mask_BT)
    torch.testing.assert_close(model.logits(resumed_BTD[mask_BT.bool()]), expected_NV, atol=1e-5, rtol=1e-5)


def test_an_edit_reaches_no_earlier_position(model: LanguageModel) -> None:
    ids_BT, mask_BT = batch()
    delta_BTD = torch.zeros(3, 9, 64)
    delta_BTD[:, 4] = noise(3, 64)
    x_BTD = model.read(ids_BT, mask_BT, [0])[0]
    clean_BTD = model.resume(ids_BT, mask_BT, 0, x_BTD)
    with edited(model, {0: added(delta_BTD)}):
        found_BTD = model.resume(ids_BT, mask_BT, 0, x_BTD)
    assert torch.equal(found_BTD[:, :4], clean_BTD[:, :4])
    assert ((found_BTD - clean_BTD)[0, 4:].abs().amax(1) > 1e-3).all()


def test_generation_under_an_edit_is_the_same_with_padding_on_the_left_and_a_cache(model: LanguageModel) -> None:
    prompts = [[72, 105, 33], [87, 104, 97, 116, 63, 32]]
    edits = {0: added(2 * noise(64))}

    def slow(ids: list[int]) -> list[int]:
        for _ in range(6):
            one = torch.tensor([ids])
            ids = [*ids, int(logits(model, one, torch.ones_like(one))[-1].argmax())]
        return ids[-6:]

    ids_BT = torch.tensor([[256] * (6 - len(ids)) + ids for ids in prompts])
    asked: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": -1, "pad_token_id": 256}
    plain = [slow(ids) for ids in prompts]
    with edited(model, edits):
        expected = [slow(ids) for ids in prompts]
        found_BT = model.network.generate(ids_BT, attention_mask=ids_BT != 256, use_cache=True, **asked)
    assert found_BT[:, 6:].tolist() == expected != plain


def test_edits_that_do_not_fit_are_refused_and_leave_nothing_behind(model: LanguageModel) -> None:
    ids_BT, mask_BT = batch()
    for shape in ((32,), (8, 64), (2, 9, 64), (1, 9, 64), (1, 3, 9, 64)):
        with pytest.raises(ValueError, match="does not fit"), edited(model, {0: added(noise(*shape))}):
            logits(model, ids_BT, mask_BT)
    with pytest.raises(UserError, match="layer 2 is out of range"), edited(model, {2: added(noise(64))}):
        pass
    assert not any(module._forward_hooks for module in model.network.modules())
