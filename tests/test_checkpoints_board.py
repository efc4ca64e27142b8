"""Other people's checkpoints from the command to the page: measured beside ours, refused where they do not belong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import call
from markup import read
from running import PLUGINS, record_of, run, values
from safetensors.torch import load_file, save_file

from harness.board import load_board, write_pages
from harness.checkpoints.detect import find_checkpoint
from harness.checkpoints.dictionary import load_dictionary
from harness.errors import UserError

pytestmark = pytest.mark.usefixtures("cache")
GOLDEN = Path(__file__).parent / "golden" / "checkpoints"
BOARD = ("saelens_topk_board", "dl_topk_board", "dl_batchtopk_board", "sparsify_topk_board")
TASK = ("--task", "toy_task", "--include-path", str(PLUGINS))


def test_checkpoints_of_three_libraries_share_a_board_with_ours(tmp_path: Path) -> None:
    """Nothing is fitted for them, their identity is their content, and a derived control is built from each."""
    methods = ",".join(["topk", *(f"path:{GOLDEN / case}" for case in BOARD)])
    sets = {"metrics": "[fvu, l0, delta_ce, kl_splice]", "controls.derived": "[permuted_decoder]"}
    outcome = run(methods, "toy_task", tmp_path, set=sets)
    found = {
        s.record.method.name.rpartition("-")[0]: s.record for s in outcome.records if "path:" in s.record.method.name
    }
    assert sorted(found) == sorted(f"path:{case}" for case in BOARD)
    for record in found.values():
        assert record.status == "ok"
        assert None not in values(record).values()
        assert (record.fit["train_tokens"], record.fit["passes"]) == (0, 0)
        assert record.method.seeded is False
        assert all(margin.control for name, margin in record.margins.items() if name == "fvu")
    built = {stored.record.method.of for stored in outcome.records if stored.record.method.role == "derived"}
    assert built == {"topk", *(record.method.name for record in found.values())}
    assert values(found["path:dl_topk_board"])["l0"] == pytest.approx(5, abs=0.3)
    assert found["path:sparsify_topk_board"].warnings[-2:] == (
        "the sparsify files do not say at which site the dictionary was trained",
        "the sparsify files do not say on which model the dictionary was trained",
    )
    board = load_board(tmp_path)
    page = read(write_pages(board, tmp_path)[0].read_text()).text
    assert all(f"path:{case}" in page for case in BOARD)
    assert ":" not in "".join(path.name for path in (tmp_path / "results" / "toy_task").iterdir())
    again = run(methods, "toy_task", tmp_path, set=sets)
    assert again.skipped == len(again.records)


def test_the_same_files_under_another_label_are_the_same_method(tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN / "dl_topk_board", tmp_path / "trainer_0")
    one = run(f"mine=path:{folder}", "toy_task", tmp_path / "a", controls=False)
    other = run(f"path:{GOLDEN / 'dl_topk_board'}", "toy_task", tmp_path / "b", controls=False)
    first, second = one.records[0].record, other.records[0].record
    assert first.method.name.startswith("path:mine-")
    assert first.method.identity == second.method.identity
    assert values(first) == values(second)


def test_a_changed_file_is_another_cell(tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN / "saelens_topk_board", tmp_path / "sae")
    run(f"path:{folder}", "toy_task", tmp_path / "runs", controls=False)
    path = folder / "sae_weights.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "b_dec": tensors["b_dec"] + 0.01}, path)
    assert run(f"path:{folder}", "toy_task", tmp_path / "runs", controls=False).skipped == 0


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (f"path:{GOLDEN / 'saelens_topk'}", (), "16 wide; those of the model are 64 wide"),
        (f"path:{GOLDEN / 'saelens_topk_board'}", ("--layers", "1"), "Give --layers 0"),
        ("path:/nonexistent", (), "path: '/nonexistent' is not a folder"),
        (f"path:{GOLDEN}", (), "holds no dictionary that can be read"),
        (f"path:{GOLDEN / 'saelens_topk_board'}", ("--set", "params.k=3"), "has no parameter 'k'"),
    ],
)
def test_what_does_not_belong_is_refused_before_a_model_loads(
    method: str,
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.tracks.contract.load_model", lambda *_: pytest.fail("a model was loaded"))
    answer = call(capsys, "eval", "--method", method, *TASK, "--output-path", str(tmp_path), *options)
    assert answer.code == 2
    assert message in answer.err


def test_torn_weights_are_refused_before_a_model_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(GOLDEN / "dl_topk_board", tmp_path / "torn")
    (folder / "ae.pt").write_bytes(b"torn")
    monkeypatch.setattr("harness.tracks.contract.load_model", lambda *_: pytest.fail("a model was loaded"))
    answer = call(capsys, "eval", "--method", f"path:{folder}", *TASK, "--output-path", str(tmp_path / "runs"))
    assert (answer.code, "cannot be read" in answer.err) == (2, True)


def test_show_and_validate_take_a_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    name = f"path:{GOLDEN / 'dl_topk_board'}"
    assert call(capsys, "validate", name).code == 0
    assert call(capsys, "show", name).json["title"] == "dl_topk_board (dictionary_learning, AutoEncoderTopK)"


@pytest.mark.parametrize("method", ["topk", "batchtopk", "relu_l1"])
def test_what_we_fitted_is_exported_and_read_back_with_the_same_numbers(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = values(record_of(run(method, "toy_task", tmp_path / "a", controls=False), method))
    to = tmp_path / "out"
    answer = call(capsys, "export", method, *TASK, "--to", str(to), "--json")
    assert answer.json == {"folder": str(to), "files": ["sae_weights.safetensors", "cfg.json"]}
    config = json.loads((to / "cfg.json").read_text())
    assert config["metadata"]["hook_name"] == "blocks.0.hook_resid_post"
    assert config["metadata"]["model_name"] == "tiny-random"
    theirs = values(run(f"path:{to}", "toy_task", tmp_path / "b", controls=False).records[0].record)
    for name, value in ours.items():
        assert theirs[name] == (value if value is None else pytest.approx(value, rel=1e-4, abs=1e-5)), name


def test_export_refuses_what_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = ("--to", str(tmp_path / "out"))
    answer = call(capsys, "export", "topk", *TASK, *to)
    assert (answer.code, "is not fitted on task 'toy_task' with seed 0" in answer.err) == (2, True)
    run("pca", "toy_task", tmp_path / "a", controls=False)
    answer = call(capsys, "export", "pca", *TASK, *to)
    assert (answer.code, "method 'pca' cannot be exported" in answer.err) == (2, True)
    answer = call(capsys, "export", "topk,pca", *TASK, *to)
    assert (answer.code, "give one method" in answer.err) == (2, True)


def test_export_turns_other_formats_into_saelens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, to = GOLDEN / "sparsify_topk_board", tmp_path / "out"
    assert call(capsys, "export", f"path:{source}", *TASK, "--to", str(to)).code == 0
    expected = load_file(source / "expected.safetensors")
    codes = load_dictionary(find_checkpoint(to)).encode(expected["x"], torch.zeros(8))
    assert torch.allclose(codes, expected["codes"], atol=1e-5)
    with pytest.raises(UserError, match="exists already"):
        run_again(source, to)


def run_again(source: Path, to: Path) -> None:
    from harness.run.export import export

    export(f"path:{source}", "toy_task", 0, to, {"include_path": [PLUGINS]})
