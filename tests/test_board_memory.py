"""What a board remembers: the same tables warm and cold, and nothing that has changed."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from board_cases import GOOD, WEAK, only_table, realistic, three
from board_records import Case, Cell, save

from harness.board import load_board
from harness.board import table as tables
from harness.board.rows import Board
from harness.board.text import csv_text, json_text, markdown
from harness.content import cache_dir
from harness.store.records import find_records, load_record


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records")
    realistic(path)
    return path


@pytest.fixture
def folder(source: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Files that were just written are not trusted; here every file has rested.
    monkeypatch.setattr("harness.board.scan.REST_NS", -(10**18))
    shutil.copytree(source, tmp_path / "board")
    return tmp_path / "board"


def texts(board: Board) -> list[str]:
    return [text(board) for text in (csv_text, json_text, markdown)]


def kept() -> list[Path]:
    return sorted(path for path in (cache_dir() / "board").glob("*/*.json") if path.name != "records.json")


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def built(*_: object) -> None:
        raise AssertionError("a table was built again")

    monkeypatch.setattr("harness.board.workers.tabulate", built)


def test_a_warm_board_is_the_cold_one_and_builds_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cold = load_board(folder)
    assert len(kept()) == 2
    forbid(monkeypatch)
    warm = load_board(folder)
    assert warm == cold
    assert texts(warm) == texts(cold)
    assert all(table.digest for table in warm.tables)


def test_without_a_cache_the_board_is_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = texts(load_board(folder))
    blocked = folder / "file"
    blocked.write_text("")
    monkeypatch.setenv("HARNESS_CACHE", str(blocked / "inside"))
    assert texts(load_board(folder)) == expected


def test_only_the_table_whose_record_changed_is_built_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {table.task: table for table in load_board(folder).tables}
    save(folder, Case(), Cell("gated", 0, WEAK))
    built: list[int] = []
    real = tables.packed_tables
    monkeypatch.setattr(
        tables, "packed_tables", lambda folder, jobs, *rest: built.append(len(jobs)) or real(folder, jobs, *rest)
    )
    after = {table.task: table for table in load_board(folder).tables}
    assert built == [1]
    assert after["squad"] == before["squad"]
    assert "gated" in [row.label for row in after["gsm_symbolic"].rows]
    assert after["gsm_symbolic"].digest != before["gsm_symbolic"].digest
    assert len(kept()) == 2, "the table of before is forgotten"


def test_a_record_that_is_taken_away_is_gone(folder: Path) -> None:
    load_board(folder)
    shutil.rmtree(folder / "results" / "gsm_symbolic" / "relu_l1")
    (table, _) = load_board(folder).tables
    assert "relu_l1" not in [row.label for row in table.rows]


def test_altered_parts_of_the_same_size_are_noticed(folder: Path) -> None:
    load_board(folder)
    path = next(folder.glob("results/squad/topk/*.npz"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    (problem,) = load_board(folder).problems
    assert "is not the file" in problem.reason


@pytest.mark.parametrize("damage", ["{}", "", "torn", "number"])
def test_a_broken_entry_is_ignored(folder: Path, damage: str) -> None:
    expected = texts(load_board(folder))
    for path in [*kept(), *(cache_dir() / "board").glob("*/records.json")]:
        text = path.read_text()
        path.write_text({"torn": text[: len(text) // 2], "number": text.replace("0.1", "0.2")}.get(damage, damage))
    assert texts(load_board(folder)) == expected


def test_files_that_just_changed_are_not_trusted(source: Path, tmp_path: Path, cache: Path) -> None:
    shutil.copytree(source, tmp_path / "board")
    # However slow the machine is, they are as new as can be when they are read.
    soon = time.time_ns() + 600 * 10**9
    for path in (tmp_path / "board").rglob("*"):
        os.utime(path, ns=(soon, soon))
    load_board(tmp_path / "board")
    assert kept() == []


def test_a_rewritten_record_of_the_same_size_and_time_is_read_again(folder: Path) -> None:
    path = next(folder.glob("results/gsm_symbolic/topk/*.json"))
    load_board(folder)
    was = path.stat()
    path.write_text(path.read_text().replace("TopK SAE", "TopK SEA"))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert "TopK SEA" in csv_text(load_board(folder))


def test_the_digest_is_of_content_and_not_of_times_or_places(folder: Path, source: Path) -> None:
    first = [table.digest for table in load_board(folder).tables]
    assert [table.digest for table in load_board(source).tables] == first
    path = next(folder.glob("results/gsm_symbolic/topk/*.json"))
    value = json.loads(path.read_text())
    value["provenance"]["command"] = "another"
    path.write_text(json.dumps(value))
    changed = [table.digest for table in load_board(folder).tables]
    assert [a == b for a, b in zip(first, changed, strict=True)] == [False, True]


def test_records_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    (row,) = only_table(tmp_path).rows
    expected = [load_record(path).record for path in find_records(tmp_path)]
    assert [seed.record for seed in row.seeds] == expected
    assert list(row.records) == expected
    assert replace(row.seeds[0], path=None).record is None


def test_two_workers_give_what_one_process_gives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_board(folder)
    shutil.rmtree(cache_dir())
    monkeypatch.setattr("harness.board.workers.FEWEST", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    forbid(monkeypatch)
    assert load_board(folder) == expected


def test_a_worker_that_dies_costs_only_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_board(folder)
    shutil.rmtree(cache_dir())
    monkeypatch.setattr("harness.board.workers.FEWEST", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    start = time.monotonic()
    assert load_board(folder) == expected
    assert time.monotonic() - start < 60
