"""Activations on disk are what was saved, or are found out and made again; disk and memory serve the same rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from harness.api import Activations, ArrayActivations
from harness.store.activations import (
    StoredActivations,
    finish,
    missing_shards,
    open_activations,
    save_shard,
    shard_path,
)

ROWS, WIDTH, PLAN = (5, 1, 7), 4, "plan"


def shards(dtype: torch.dtype = torch.float32, rows: tuple[int, ...] = ROWS) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    pieces, start = [], 0
    for count in rows:
        x_ND = torch.randn(count, WIDTH, generator=generator).to(dtype)
        pieces.append((x_ND, torch.arange(start, start + count) // 3))
        start += count
    return pieces


def fill(folder: Path, dtype: torch.dtype = torch.float32, rows: tuple[int, ...] = ROWS) -> StoredActivations:
    for index, (x_ND, doc_N) in enumerate(shards(dtype, rows)):
        save_shard(folder, index, PLAN, x_ND, doc_N)
    return finish(folder, PLAN, len(rows))


def contents(activations: Activations) -> tuple[Tensor, Tensor]:
    return activations.take(torch.arange(len(activations))), activations.doc_N


def expected(dtype: torch.dtype = torch.float32, rows: tuple[int, ...] = ROWS) -> tuple[Tensor, Tensor]:
    pieces = shards(dtype, rows)
    return torch.cat([x for x, _ in pieces]).float(), torch.cat([doc for _, doc in pieces])


def is_whole(activations: Activations | None) -> bool:
    if activations is None:
        return False
    return all(torch.equal(a, b) for a, b in zip(contents(activations), expected(), strict=True))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> StoredActivations:
    return fill(tmp_path_factory.mktemp("kept"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [ROWS, (3,), (4, 0, 2)])
def test_what_is_saved_is_what_is_opened(tmp_path: Path, dtype: torch.dtype, rows: tuple[int, ...]) -> None:
    fill(tmp_path, dtype, rows)
    found = open_activations(tmp_path)
    assert found is not None
    x_ND, doc_N = contents(found)
    assert x_ND.dtype == torch.float32
    assert doc_N.dtype == torch.int64
    assert torch.equal(x_ND, expected(dtype, rows)[0])
    assert torch.equal(doc_N, expected(dtype, rows)[1])
    assert (len(found), found.width) == (sum(rows), WIDTH)


@given(st.lists(st.integers(0, sum(ROWS) - 1), max_size=40))
def test_any_rows_in_any_order_are_those_of_the_concatenation(kept: StoredActivations, index: list[int]) -> None:
    index_N = torch.tensor(index, dtype=torch.int64)
    assert torch.equal(kept.take(index_N), expected()[0][index_N])


@pytest.mark.parametrize("index", [-1, sum(ROWS), 10**9])
def test_rows_that_are_not_there_are_an_error(tmp_path: Path, index: int) -> None:
    with pytest.raises(IndexError):
        fill(tmp_path).take(torch.tensor([index]))


def test_a_slice_of_a_larger_tensor_is_saved_as_itself(tmp_path: Path) -> None:
    x_ND = torch.randn(6, 8)[::2, :WIDTH]
    save_shard(tmp_path, 0, PLAN, x_ND, torch.zeros(6, dtype=torch.int64)[::2])
    assert torch.equal(finish(tmp_path, PLAN, 1).take(torch.arange(3)), x_ND)


def torn_sizes(size: int) -> list[int]:
    return [0, 1, 7, 8, 9, size // 3, size // 2, size - 8, size - 1]


@pytest.mark.parametrize("which", range(9))
def test_a_torn_shard_is_never_used_and_alone_made_again(tmp_path: Path, which: int) -> None:
    fill(tmp_path)
    path = shard_path(tmp_path, 1)
    data = path.read_bytes()
    path.write_bytes(data[: torn_sizes(len(data))[which]])
    kept = [shard_path(tmp_path, i).stat().st_mtime_ns for i in (0, 2)]
    assert open_activations(tmp_path) is None
    assert missing_shards(tmp_path, PLAN, 3) == [1]
    assert not path.exists()
    assert not (tmp_path / "manifest.json").exists()
    save_shard(tmp_path, 1, PLAN, *shards()[1])
    assert missing_shards(tmp_path, PLAN, 3) == []
    assert is_whole(finish(tmp_path, PLAN, 3))
    assert [shard_path(tmp_path, i).stat().st_mtime_ns for i in (0, 2)] == kept


def test_one_flipped_byte_anywhere_is_found_out_unless_it_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    path = shard_path(tmp_path, 0)
    data = path.read_bytes()
    harmless = 0
    for position in range(len(data)):
        for flip in (0x01, 0x0F, 0xFF):
            path.write_bytes(data[:position] + bytes([data[position] ^ flip]) + data[position + 1 :])
            found = open_activations(tmp_path)
            assert found is None or is_whole(found), f"byte {position} xor {flip:#x} went unnoticed"
            harmless += found is not None
    assert harmless < len(data) / 10, "only padding may change without harm"


@pytest.mark.parametrize("kind", [torch.float64, torch.uint64])
def test_documents_kept_as_another_kind_of_number_are_found_out(tmp_path: Path, kind: torch.dtype) -> None:
    fill(tmp_path)
    path = shard_path(tmp_path, 0)
    header = {torch.float64: b'"F64"', torch.uint64: b'"U64"'}[kind]
    assert path.read_bytes().count(b'"I64"') == 1
    path.write_bytes(path.read_bytes().replace(b'"I64"', header))
    assert open_activations(tmp_path) is None


def test_a_shard_with_other_tensors_or_none_of_ours_is_not_a_shard(tmp_path: Path) -> None:
    fill(tmp_path)
    save_file({"y": torch.zeros(2)}, shard_path(tmp_path, 0))
    assert open_activations(tmp_path) is None
    assert missing_shards(tmp_path, PLAN, 3) == [0]


def test_a_shard_of_another_plan_is_removed(tmp_path: Path) -> None:
    fill(tmp_path)
    save_shard(tmp_path, 2, "another plan", *shards()[2])
    assert open_activations(tmp_path) is None
    assert missing_shards(tmp_path, PLAN, 3) == [2]


def test_a_folder_of_another_plan_is_made_again_from_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    assert missing_shards(tmp_path, "another plan", 3) == [0, 1, 2]
    assert list(tmp_path.iterdir()) == []


def test_two_exchanged_shards_are_found_out(tmp_path: Path) -> None:
    fill(tmp_path, rows=(5, 5))
    one, two = (shard_path(tmp_path, i).read_bytes() for i in (0, 1))
    shard_path(tmp_path, 0).write_bytes(two)
    shard_path(tmp_path, 1).write_bytes(one)
    assert open_activations(tmp_path) is None


def test_a_folder_without_its_manifest_is_not_complete(tmp_path: Path) -> None:
    assert open_activations(tmp_path / "absent") is None
    fill(tmp_path)
    (tmp_path / "manifest.json").unlink()
    assert open_activations(tmp_path) is None
    assert missing_shards(tmp_path, PLAN, 3) == [], "the shards are whole, so nothing is computed again"
    assert is_whole(finish(tmp_path, PLAN, 3))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"x"', "3", "{}", '{"plan": "plan"}', '{"plan": 1, "rows": 3, "sha256": 4}', "\xff"],
)
def test_a_manifest_of_garbage_counts_as_none(tmp_path: Path, text: str) -> None:
    fill(tmp_path)
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    assert open_activations(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [1, 5, 7]},
        {"rows": [5, 1]},
        {"rows": [], "sha256": []},
        {"width": 8},
        {"width": "4"},
        {"dtype": "bfloat16"},
        {"plan": "another plan"},
        {"sha256": ["0", "0", "0"]},
        {"extra": 1},
    ],
    ids=str,
)
def test_a_manifest_that_does_not_fit_the_shards_counts_as_none(tmp_path: Path, change: dict[str, object]) -> None:
    fill(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert open_activations(tmp_path) is None


def test_shards_that_do_not_fit_together_are_never_finished(tmp_path: Path) -> None:
    save_shard(tmp_path, 0, PLAN, torch.zeros(2, 4), torch.arange(2))
    save_shard(tmp_path, 1, PLAN, torch.zeros(2, 5), torch.arange(2))
    with pytest.raises(RuntimeError, match="altered while the folder was being finished"):
        finish(tmp_path, PLAN, 2)
    with pytest.raises(RuntimeError, match="altered while the folder was being finished"):
        finish(tmp_path, PLAN, 3)
    assert not (tmp_path / "manifest.json").exists()


def test_a_temporary_file_of_a_killed_writer_is_not_a_shard(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / ".00001.safetensors.abc.tmp").write_bytes(b"half")
    assert is_whole(open_activations(tmp_path))


def test_the_mean_of_stored_rows_is_that_of_the_same_rows_in_memory(kept: StoredActivations) -> None:
    memory = ArrayActivations(*expected())
    assert torch.equal(kept.mean(), memory.mean())
    assert kept.scale() == memory.scale()
