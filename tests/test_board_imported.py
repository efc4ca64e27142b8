"""Results of other tools on a board: set apart, never ranked, and no more than text whatever they say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from board_cases import GOOD
from board_records import Case, Cell, save
from browsing import HOSTILE
from markup import pages_of, read

from harness.board import load_board, write_pages
from harness.board.apart import MOST
from harness.board.publish import publish
from harness.board.text import csv_text, json_text, markdown
from harness.exchange.imported import Imported, ImportedValue, read_imported, save_imported

NAMES = [
    HOSTILE,
    "../../etc/passwd",
    "a | b\n# c",
    "turned \u202e",
    "=cmd|' /C calc'!A0",
    "{{ 7 * 7 }}",
    "[x](javascript:1)",
]


def results(
    name: str = "pythia/topk", tool: Any = "saebench", sha: str = "a", count: int = 1, **changes: Any
) -> Imported:
    values = [ImportedValue(task=name, metric=f"{name} {i}", value=0.7123456, stderr=0.0085) for i in range(count)]
    none = ImportedValue(task="core", metric="misc/none", value=None, reason="null in the file")
    given: dict[str, Any] = {
        "tool": tool, "tool_version": name, "subject": name, "model": name, "measured": "2026-01-02T03:04:05+00:00",
        "file": name, "sha256": sha * 64, "values": (none, *values),
    }  # fmt: skip
    return Imported(**given | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path, Case(), Cell("topk", 0, GOOD))
    return tmp_path


def test_they_stand_on_a_page_of_their_own_with_the_hash_of_their_file(folder: Path) -> None:
    save_imported(folder, results())
    save_imported(folder, results("smollm", "lm-eval", "b"))
    write_pages(load_board(folder), folder)
    pages = {name: read(page) for name, page in pages_of(folder).items()}
    text = pages["imported.html"].text
    for said in ("a" * 64, "b" * 64, "0.712346", "0.0085", "none: null in the file", "2 January 2026, 03:04 UTC"):
        assert said in text
    assert text.index("LM Evaluation Harness") < text.index("smollm") < text.index("SAEBench") < text.index("pythia")
    links = {attributes.get("href") for name, attributes in pages["index.html"].elements if name == "a"}
    assert {"imported.html", "imported.html#saebench", "imported.html#lm-eval"} <= links
    assert "computed again" not in text


def test_they_enter_no_table_and_no_rank(folder: Path) -> None:
    before = load_board(folder)
    save_imported(folder, results("topk"))
    board = load_board(folder)
    assert board.tables == before.tables
    assert csv_text(board) == csv_text(before)
    kept = json.loads(json_text(board))
    assert kept["overview"] == json.loads(json_text(before))["overview"]
    assert kept["imported"] == [results("topk").model_dump(mode="json")]


def test_the_page_goes_when_the_results_go(folder: Path) -> None:
    path = save_imported(folder, results())
    write_pages(load_board(folder), folder)
    path.unlink()
    write_pages(load_board(folder), folder)
    assert not (folder / "imported.html").exists()
    assert "imported.html" not in (folder / "index.html").read_text()
    assert "Imported" not in markdown(load_board(folder))


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_is_text(folder: Path, name: str) -> None:
    before = set(folder.rglob("*"))
    save_imported(folder, results(name))
    board = load_board(folder)
    write_pages(board, folder)
    page = read((folder / "imported.html").read_text())
    assert page.count("script") == 1
    assert page.count("img") == 0
    assert " ".join(name.replace("\u202e", "\ufffd").split()) in page.text
    text = markdown(board)
    assert "\u202e" not in text + json_text(board)
    assert "<img" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    section = text.split("## Imported", 1)[1]
    assert {line.replace(r"\|", "").count("|") for line in section.splitlines() if line.startswith("|")} == {4}
    assert not [line for line in section.splitlines() if line.startswith("# ")]
    made = {path.relative_to(folder).parts[0] for path in set(folder.rglob("*")) - before}
    assert made <= {
        "imported", "imported.html", "index.html", "board.md", "board.csv", "board.json", "overview.csv", "pages.json",
        "tasks", "cells",
    }  # fmt: skip


def test_a_file_that_is_none_is_named_among_the_problems(folder: Path) -> None:
    save_imported(folder, results())
    (folder / "imported" / "bad\u202e.json").write_text('{"tool": "\u202e<img>"}')
    (folder / "imported" / "folder.json").mkdir()
    board = load_board(folder)
    assert len(board.imported) == 1
    assert [problem.path for problem in board.problems] == ["imported/bad\ufffd.json", "imported/folder.json"]
    assert "\u202e" not in "".join(problem.reason for problem in board.problems)
    assert str(folder) not in "".join(problem.reason for problem in board.problems)


def test_a_long_file_is_cut_on_the_page_and_says_so(folder: Path) -> None:
    save_imported(folder, results(count=MOST + 9))
    board = load_board(folder)
    write_pages(board, folder)
    page = read((folder / "imported.html").read_text())
    assert page.count("tr") == MOST + 1
    assert "10 more values are in board.json" in page.text
    assert "10 more values are in board.json" in markdown(board)
    assert len(json.loads(json_text(board))["imported"][0]["values"]) == MOST + 10


def test_publishing_takes_them_along(folder: Path, tmp_path: Path) -> None:
    save_imported(folder, results())
    (folder / "imported" / "bad.json").write_text("{}")
    publish(folder, tmp_path / "board")
    assert read_imported(tmp_path / "board") == ([results()], [])
