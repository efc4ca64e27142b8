"""From a name to a loaded model: devices, precisions, folders, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from harness.errors import UserError
from harness.lm import loading
from harness.lm.blocks import find_blocks
from harness.lm.catalog import resolve
from harness.lm.fingerprints import fingerprint
from harness.lm.int8 import Int8Linear, quantize
from harness.lm.loading import LoadOptions, load_model, pick_device
from harness.lm.tiny import tiny_model, tiny_tokenizer

pytestmark = pytest.mark.usefixtures("cache")


def saved(folder: Path, network: PreTrainedModel | None = None) -> str:
    (network or tiny_model()).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def test_a_folder_loads_as_it_was_saved(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, told = saved(tmp_path / "m"), []
    capfd.readouterr()
    model = load_model(folder, progress=lambda *call: told.append(call))
    assert capfd.readouterr() == ("", "")
    assert told == [(f"loading {folder}", 0, 1), (f"loading {folder}", 1, 1)]
    assert (model.info.label, model.info.fingerprint) == ("local", fingerprint(resolve(folder)))
    for name, value in tiny_model().state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value), name
    assert model.tokenize(["ab"], 4).ids == [[97, 98]]


def test_a_model_is_frozen_and_in_evaluation(tmp_path: Path) -> None:
    model = load_model(saved(tmp_path / "m"))
    assert not model.network.training
    assert not any(value.requires_grad for value in model.network.parameters())


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = Path(saved(tmp_path / "m"))
    (folder / "model.safetensors").unlink()
    torch.save(tiny_model().state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(str(folder))


def test_code_of_a_model_does_not_run_unasked(tmp_path: Path) -> None:
    folder = Path(saved(tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(str(folder))
    assert not (tmp_path / "ran").exists()


def test_rotary_settings_that_transformers_4_would_ignore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e5}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(loading, "version", lambda _: "4.57.1")
    with pytest.raises(UserError, match="saved by transformers 5, and transformers 4 misreads it"):
        load_model(folder)


def test_padding_falls_back_to_the_end_token(tmp_path: Path) -> None:
    folder = Path(saved(tmp_path / "m"))
    path = folder / "tokenizer_config.json"
    config = {key: value for key, value in json.loads(path.read_text()).items() if key != "pad_token"}
    path.write_text(json.dumps(config))
    assert load_model(str(folder)).pad_id == 257
    config.pop("eos_token")
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match="neither a padding nor an end token"):
        load_model(str(folder))


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UserError, match="device 'gpu' is not known; use auto, cpu, cuda"):
        pick_device("gpu")
    with pytest.raises(UserError, match=r"device 'cuda:99' is not there: torch sees \d+ CUDA devices"):
        pick_device("cuda:99")


def test_wrong_options_are_refused_before_anything_loads() -> None:
    with pytest.raises(UserError, match=r"unknown dtype 'float23'\. Did you mean 'float32'"):
        load_model("smollm2-135m-instruct", LoadOptions(dtype="float23"))
    with pytest.raises(UserError, match="int8 and a device map cannot be combined"):
        load_model("smollm2-135m-instruct", LoadOptions(dtype="int8", device_map="auto"))
    with pytest.raises(UserError, match="has no revision"):
        load_model("tiny-random", LoadOptions(revision="v1"))
    with pytest.raises(UserError, match="unknown model"):
        load_model("tiny-randon")


def test_a_device_map_goes_through_accelerate(tmp_path: Path) -> None:
    model = load_model(saved(tmp_path / "m"), LoadOptions(device_map="auto"))
    assert model.info.device == ("cuda:0" if torch.cuda.is_available() else "cpu")


def test_int8_rounds_each_output_row_to_its_own_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(16, 5)
    linear.weight.data = torch.randn(5, 16, generator=generator) * torch.tensor([[1e-3], [1.0], [50.0], [2.0], [0.0]])
    rounded = Int8Linear(linear)
    assert rounded.weight.dtype == torch.int8
    error = (rounded.weight * rounded.scale - linear.weight).abs()
    assert (error <= rounded.scale / 2 * 1.0001).all()
    x = torch.randn(3, 4, 16, generator=generator)
    expected = torch.einsum("bti,oi->bto", x, rounded.weight * rounded.scale) + linear.bias
    torch.testing.assert_close(rounded(x), expected)


def test_int8_leaves_head_and_embeddings_alone(tmp_path: Path) -> None:
    model = load_model(saved(tmp_path / "m"), LoadOptions(dtype="int8"))
    plain = tiny_model()
    assert torch.equal(model.network.get_output_embeddings().weight, plain.get_output_embeddings().weight)
    assert torch.equal(model.network.get_input_embeddings().weight, plain.get_input_embeddings().weight)
    assert sum(isinstance(module, Int8Linear) for module in model.blocks.modules()) == 2 * 7
    assert not any(isinstance(module, nn.Linear) for module in model.blocks.modules())
    assert model.info.parameters == sum(value.numel() for value in plain.parameters())


def test_int8_without_linear_layers_is_refused() -> None:
    with torch.random.fork_rng():
        network = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=32))
    with pytest.raises(UserError, match=r"int8 needs nn.Linear layers, and GPT2LMHeadModel has none"):
        quantize(network, find_blocks(network, "gpt2"), "gpt2")
