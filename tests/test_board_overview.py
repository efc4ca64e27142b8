"""The overview across tasks in Markdown, CSV and JSON, and the files the command writes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from board_cases import GOOD, WEAK, controls, realistic, three
from board_records import Case, Cell, save
from commands import call

from harness.board import load_board
from harness.board.across import across
from harness.board.overview_text import overview_csv, overview_json, overview_markdown
from harness.board.rows import Board
from harness.board.text import json_text, markdown


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("board")
    realistic(path)
    return path


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    return load_board(folder)


def lines(board: Board) -> dict[tuple[str, str], dict[str, str]]:
    found = csv.DictReader(io.StringIO(overview_csv(across(board))))
    return {(line["method"], line["task"]): line for line in found}


def test_a_line_for_every_method_and_task_says_how_it_stands(board: Board) -> None:
    found = lines(board)
    assert len(found) == 5 * 2
    states = {key: line["state"] for key, line in found.items()}
    assert states["topk", "squad"] == "ranked"
    assert states["jumprelu", "squad"] == "unranked"
    assert states["relu_l1", "squad"] == "missing"
    assert states["gated", "gsm_symbolic"] == "missing"
    assert found["relu_l1", "squad"]["reason"] == "not measured on this task"
    assert found["jumprelu", "squad"]["reason"].startswith("L0 71.6 is 12 % above")
    assert found["gated", "squad"]["reason"] == "seed 1 failed"


def test_numbers_are_those_of_the_tables(board: Board) -> None:
    found = lines(board)
    for table in board.tables:
        for row in table.methods:
            score, line = row.scores["fvu"], found[row.label, table.task]
            assert float(line["value"]) == pytest.approx(score.value, rel=1e-9)
            assert line["rank"] == ("" if score.rank is None else str(score.rank))
            assert score.margin is not None
            assert line["margin_verdict"] == score.margin.verdict


def test_methods_are_counted_and_never_averaged(board: Board) -> None:
    counts = {m["label"]: (m["first"], m["above"], m["measured"]) for m in overview_json(across(board))["methods"]}
    assert counts["batchtopk"] == (2, 2, 2)
    assert counts["relu_l1"] == (0, 0, 1)
    assert json.loads(json_text(board))["overview"] == json.loads(json.dumps(overview_json(across(board))))


def test_markdown_begins_with_the_overview(board: Board) -> None:
    text = markdown(board)
    section = text.split("\n## ")[1]
    assert section.startswith("Across tasks")
    line = next(line for line in section.splitlines() if line.startswith("| relu_l1 "))
    assert line == "| relu_l1 | 0.215; rank 3; not above its null | missing | 0 | 0 | 1 of 2 |"


def test_of_several_tables_of_a_task_the_newest_counts(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD, finished="2026-11-21T12:00:00+00:00")
    three(tmp_path, "gated", WEAK, Case(table="ffff0000"))
    found = overview_json(across(load_board(tmp_path)))
    assert [method["label"] for method in found["methods"]] == ["topk"]
    assert [task["table"] for task in found["tasks"]] == ["0123456789abcdef01234567"]


def test_a_board_without_methods_has_no_overview(tmp_path: Path) -> None:
    assert overview_markdown(across(load_board(tmp_path))) == []
    for cell in controls(()):
        save(tmp_path, Case(), cell)
    assert overview_markdown(across(load_board(tmp_path))) == []


def test_a_method_that_failed_everywhere_on_a_task_says_why(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    save(tmp_path, Case(), Cell("gated", 0, failed="encode returned NaN"))
    line = lines(load_board(tmp_path))["gated", "gsm_symbolic"]
    assert (line["state"], line["reason"], line["value"]) == ("failed", "failed: encode returned NaN", "")


def test_the_command_writes_the_overview_beside_the_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = call(capsys, "leaderboard", str(folder), "--output-path", str(tmp_path))
    assert answer.code == 0
    assert str(tmp_path / "overview.csv") in answer.out.splitlines()
    assert (tmp_path / "overview.csv").read_text() == overview_csv(across(load_board(folder)))


METRIC = '''
from harness.metrics.contract import metric, ratio

@metric(
    unit="1", direction="down", needs=("se", "n"), tracks=("reconstruction",), source="x", null="x", formula="Σe / n",
)
def of_mine(parts, w):
    """Error of a token."""
    return ratio(w @ parts["se"], w @ parts["n"])
'''
PROGRAM = """
import os, sys
from pathlib import Path
from harness.board import load_board, workers
from harness.board.text import json_text
from harness.metrics.contract import add_metric_folders
add_metric_folders([Path(sys.argv[2])])
if sys.argv[3] == "workers":
    workers.FEWEST, os.sched_getaffinity = 1, lambda _: {0, 1}
    def never(*_): raise AssertionError
    workers.tabulate = never
print(json_text(load_board(Path(sys.argv[1]))))
"""


def test_workers_know_metrics_from_outside_the_package(tmp_path: Path) -> None:
    """The script has no ``__main__`` guard, and its workers must not run it again."""
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "mine.py").write_text(METRIC)
    for case in (Case(spec={"metrics": ["of_mine"]}), Case("squad", table="ffff", spec={"metrics": ["of_mine"]})):
        three(tmp_path, "topk", GOOD, case)
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    told = [
        subprocess.run(
            [sys.executable, str(script), str(tmp_path), str(tmp_path / "metrics"), how],
            check=True, capture_output=True, text=True,
        ).stdout
        for how in ("workers", "alone")
    ]  # fmt: skip
    assert told[0] == told[1]
    assert json.loads(told[0])["tables"][0]["columns"][0]["name"] == "of_mine"
