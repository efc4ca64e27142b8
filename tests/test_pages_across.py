"""The board across tasks: nothing is averaged, what is missing never looks measured, the newest table stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from board_cases import GOOD, WEAK, controls, realistic, three
from board_records import Case, Cell, save
from markup import read, row_line

from harness.board import load_board, write_pages
from harness.board.across import Across, Crossing, across
from harness.board.rows import Board, main_column

WORDS = Case("squad", "Reading comprehension", "fedcba98765432100")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("across")
    realistic(path)
    return path


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    return load_board(folder)


def at(found: Across, label: str, task: str) -> Crossing:
    place = [column.table.task for column in found.columns].index(task)
    return next(line for line in found.lines if line.label == label).crossings[place]


def test_methods_and_no_controls_cross_the_tasks(board: Board) -> None:
    found = across(board)
    assert [line.label for line in found.lines] == ["batchtopk", "gated", "jumprelu", "relu_l1", "topk"]
    assert [column.table.task for column in found.columns] == ["gsm_symbolic", "squad"]
    assert [(name, len(columns)) for name, columns in found.tracks] == [("reconstruction", 2)]


def test_every_crossing_says_what_it_is(board: Board) -> None:
    found = across(board)
    assert at(found, "topk", "gsm_symbolic").state == "ranked"
    assert at(found, "gated", "gsm_symbolic") == Crossing("missing", "not measured on this task")
    assert at(found, "relu_l1", "squad").state == "missing"
    unmatched = at(found, "jumprelu", "squad")
    assert (unmatched.state, unmatched.reason) == ("unranked", "L0 71.6 is 12 % above the target of 64; ranks need 5 %")
    assert unmatched.score is not None
    assert unmatched.score.rank is None


def test_counts_are_of_tables(board: Board) -> None:
    lines = {line.label: line for line in across(board).lines}
    assert [lines[name].measured for name in ("topk", "gated", "relu_l1")] == [2, 1, 1]
    assert lines["jumprelu"].first == 0
    first = sum(
        row.scores["fvu"].rank == 1 for table in board.tables for row in table.methods if row.label == "batchtopk"
    )
    assert lines["batchtopk"].first == first > 0
    assert lines["relu_l1"].above == 0
    assert lines["topk"].above == 2


def test_a_method_that_failed_everywhere_is_not_missing(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    save(tmp_path, Case(), Cell("gated", 0, failed="NaN in the codes"))
    board = load_board(tmp_path)
    found = at(across(board), "gated", "gsm_symbolic")
    assert (found.state, found.reason) == ("failed", "failed: NaN in the codes")
    write_pages(board, tmp_path)
    line = row_line((tmp_path / "index.html").read_text(), "gated")
    assert ">failed</a>" in line


def test_the_newest_table_stands_for_its_task(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    three(tmp_path, "topk", WEAK, Case(table="ffff", spec={"limit": 10}), finished="2026-11-21T12:00:00+00:00")
    found = across(load_board(tmp_path))
    assert [column.table.hash for column in found.columns] == ["ffff"]
    assert [table.hash for table in found.older] == [Case().table]


def test_the_main_metric_has_a_better_side_and_is_trusted(board: Board) -> None:
    table = board.tables[0]

    def main(*diagnostic: str) -> str | None:
        columns = tuple(replace(c, diagnostic="why" if c.name in diagnostic else None) for c in reversed(table.columns))
        found = main_column(columns)
        return found and found.name

    assert main() == "agree1"
    assert main("agree1") == "kl_splice"
    assert main(*(c.name for c in table.columns)) == "agree1", "one that is not trusted stands where there is no other"
    assert main_column([c for c in table.columns if c.direction == "target"]) is None


def test_a_table_without_a_metric_to_lead_with_still_has_its_column(board: Board, tmp_path: Path) -> None:
    table = board.tables[0]
    columns = tuple(c for c in table.columns if c.direction == "target")
    write_pages(replace(board, tables=(replace(table, columns=columns),)), tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "no metric" in page
    assert row_line(page, "topk").count(">no value</a>") == 1


def test_the_page_shows_rank_score_and_verdict_in_words(board: Board, tmp_path: Path) -> None:
    write_pages(board, tmp_path)
    page = (tmp_path / "index.html").read_text()
    score = next(row for row in board.tables[0].methods if row.label == "relu_l1").scores["fvu"]
    assert score.margin is not None
    assert score.margin.verdict == "null"
    line = read(row_line(page, "relu_l1") + "</tr>")
    assert f"{score.rank}" in line.text
    assert f"{score.value:.3f}" in line.text
    assert f"[{score.lo:.3f}, {score.hi:.3f}]" in line.text
    assert "Fraction of variance unexplained" in read(page).text
    assert any(tag == "em" and attributes.get("class") == "null" for tag, attributes in line.elements)
    assert "missing" in line.text


def test_controls_alone_make_a_column_without_rows(tmp_path: Path) -> None:
    for cell in controls(()):
        save(tmp_path, WORDS, cell)
    board = load_board(tmp_path)
    assert across(board).lines == ()
    write_pages(board, tmp_path)
    assert "0 methods on 1 task." in read((tmp_path / "index.html").read_text()).text
