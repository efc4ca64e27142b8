"""The random model that everything else is tried on: made in memory, the same each time."""

from __future__ import annotations

import pytest
import torch

from harness.errors import UserError
from harness.lm.loading import LoadOptions, load_model
from harness.lm.model import LanguageModel
from harness.lm.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def tiny() -> LanguageModel:
    return load_model("tiny-random")


def test_tokenize_says_what_was_cut(tiny: LanguageModel) -> None:
    found = tiny.tokenize(["abc", "é", "", "abcd"], 3)
    assert found.ids == [[97, 98, 99], [195, 169], [], [97, 98, 99]]
    assert found.cut == [False, False, False, True]
    assert tiny.tokenize([], 3).ids == []
    assert (tiny.bos_id, tiny.eos_id, tiny.pad_id) == (None, 257, 256)
    for context in (0, 4097):
        with pytest.raises(UserError, match="context must be at least 1 and at most 4096"):
            tiny.tokenize(["a"], context)


def test_tiny_random_is_the_same_each_time_and_disturbs_nothing() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, second = tiny_model(), tiny_model()
    assert torch.equal(before, torch.random.get_rng_state())
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    total = sum(float(value.double().abs().sum()) for value in first.state_dict().values())
    assert total == pytest.approx(24777.3398, abs=1e-3)  # a change here needs a new TINY["version"]


def test_tiny_tokenizer_covers_every_byte() -> None:
    tokenizer = tiny_tokenizer()
    text = "".join(map(chr, range(1, 0x250))) + "→😀"
    ids = tokenizer(text)["input_ids"]
    assert ids == list(text.encode())
    assert tokenizer.decode(ids) == text


def test_info(tiny: LanguageModel) -> None:
    info = tiny.info
    assert (info.name, info.label, info.blocks, info.width, info.vocab) == ("tiny-random", "random", 2, 64, 258)
    assert (info.dtype, info.device, info.context) == ("float32", "cpu", 4096)
    assert info.parameters == sum(value.numel() for value in tiny.network.parameters())
    assert info.libraries["torch"] == torch.__version__


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8"])
def test_other_precisions_stay_close(dtype: str) -> None:
    plain = load_model("tiny-random")
    ids_BT = torch.randint(0, 256, (3, 11), generator=torch.Generator().manual_seed(1))
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[1, 6:] = 0
    model = load_model("tiny-random", LoadOptions(dtype=dtype))
    assert model.info.dtype == dtype
    x_BTD = model.read(ids_BT, mask_BT, [0])[0]
    assert x_BTD.dtype == (torch.float32 if dtype == "int8" else getattr(torch, dtype))
    found_NV = model.logits(model.resume(ids_BT, mask_BT, 0, x_BTD.float())[mask_BT.bool()])
    assert found_NV.dtype == torch.float32
    own_NV = plain.network(input_ids=ids_BT, attention_mask=mask_BT).logits[mask_BT.bool()]
    assert (found_NV - own_NV).norm() / own_NV.norm() < 0.03
