"""The board as text: the same numbers everywhere, and nothing a record says can become markup or a formula."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from board_cases import realistic
from board_records import Case, Cell, Quality, save

from harness.board import formats, load_board
from harness.board.escaping import escape_markdown, neutral
from harness.board.rows import Board, Column
from harness.board.text import csv_text, json_text, markdown


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    path = tmp_path_factory.mktemp("board")
    realistic(path)
    return load_board(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", r"a\|b"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("[x](javascript:y)", r"\[x\](javascript:y)"),
        ("two\nlines", "two lines"),
        ("permuted_decoder of topk", "permuted_decoder of topk"),
        ("_em_ *b* `c` \\", r"\_em\_ \*b\* \`c\` \\"),
        ("&lt;", "&amp;lt;"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str, expected: str) -> None:
    assert escape_markdown(text) == expected


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "|x", "%x"])
def test_csv_text_that_begins_like_a_formula_is_neutralised(text: str) -> None:
    assert neutral(text) == f"'{text}"


def test_csv_text_that_is_no_formula_is_left_alone() -> None:
    assert neutral("topk = 64") == "topk = 64"


def test_hostile_records_stay_data_in_markdown_and_csv(tmp_path: Path) -> None:
    hostile = '=HYPERLINK("http://x") | <script>"</script> `'
    for seed in (0, 1, 2):
        save(tmp_path, Case(title=hostile), Cell("topk", seed, title=hostile, warnings=(hostile,)))
    save(tmp_path, Case(title=hostile), Cell("gated", 0, title=hostile, failed=hostile))
    board = load_board(tmp_path)
    text = markdown(board)
    assert "<script" not in text
    for section in text.split("\n## ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    lines = [line for line in csv.DictReader(io.StringIO(csv_text(board))) if line["role"] != "reference"]
    assert {line["title"] for line in lines} == {f"'{hostile}"}
    assert {line["reason"] for line in lines if line["method"] == "gated"} == {f"failed: {hostile}"}


def test_csv_has_one_line_per_row_and_metric_with_the_numbers_of_the_board(board: Board) -> None:
    lines = [line for line in csv.DictReader(io.StringIO(csv_text(board))) if line["role"] != "reference"]
    assert len(lines) == sum(len(table.rows) * len(table.columns) for table in board.tables)
    (line,) = (
        line
        for line in lines
        if (line["task"], line["method"], line["metric"]) == ("gsm_symbolic", "relu_l1", "kl_splice")
    )
    (row,) = (row for row in board.tables[0].rows if row.label == "relu_l1")
    score = row.scores["kl_splice"]
    assert score.margin is not None
    assert float(line["value"]) == pytest.approx(score.value, rel=1e-9)
    assert float(line["margin"]) == pytest.approx(score.margin.value, rel=1e-9)
    assert float(line["margin"]) < 0
    assert (line["margin_control"], line["margin_verdict"], line["bar_met"]) == ("pca", "below", "False")
    assert (line["seeds_ok"], line["seeds_failed"], line["rank"]) == ("3", "0", "3")


def test_missing_numbers_are_empty_in_csv_and_null_in_json(tmp_path: Path) -> None:
    save(tmp_path, Case(), Cell("gated", 0, failed="encode returned NaN"))
    board = load_board(tmp_path)
    line = next(csv.DictReader(io.StringIO(csv_text(board))))
    assert (line["value"], line["rank"], line["margin"]) == ("", "", "")
    score = json.loads(json_text(board))["tables"][0]["rows"][0]["scores"]["fvu"]
    assert (score["value"], score["reason"]) == (None, "failed: encode returned NaN")


def test_json_holds_every_score_and_where_its_records_lie(board: Board) -> None:
    value = json.loads(json_text(board))
    assert value["records"] == 56
    table = value["tables"][1]
    row = next(row for row in table["rows"] if row["method"] == "gated")
    assert [(seed["seed"], seed["status"]) for seed in row["seeds"]] == [(0, "ok"), (1, "failed"), (2, "missing")]
    assert row["seeds"][0]["path"].startswith("results/squad/gated/seed0-")
    assert set(row["scores"]) == {column["name"] for column in table["columns"]}
    assert row["scores"]["fvu"]["margin"]["verdict"] == "below"


def test_markdown_tells_scores_intervals_ranks_margins_and_reasons(board: Board) -> None:
    text = markdown(board)
    line = next(line for line in text.splitlines() if line.startswith("| relu_l1 | method "))
    assert "not above its null" in line
    assert "rank 3; bar missed; -0.001 over pca" in line
    assert "- jumprelu is unranked: L0 71.6 is 12 % above the target of 64; ranks need 5 %." in text
    assert "- gated, seed 1, failed: encode returned 12 values that are NaN or infinite" in text


def test_markdown_of_no_records_says_so(tmp_path: Path) -> None:
    assert markdown(load_board(tmp_path)) == "# Leaderboard\n\nNo records yet.\n"


def test_markdown_lists_records_that_could_not_be_used(tmp_path: Path) -> None:
    saved = save(tmp_path, Case(), Cell("topk", 0, Quality()))
    saved.path.write_text("{")
    text = markdown(load_board(tmp_path))
    assert "could not be used" in text
    assert "seed0-" in text


@pytest.mark.parametrize(
    ("value", "figures", "expected"),
    [
        (0.14365, 3, "0.144"),
        (64.03, 3, "64.0"),
        (576.1, 3, "576"),
        (0.9996, 3, "1.00"),
        (0.000004321, 3, "4.32e-6"),
        (1.5e8, 3, "1.50e8"),
        (-0.00512, 2, "-0.0051"),
        (0.0, 3, "0"),
    ],
)
def test_significant_figures(value: float, figures: int, expected: str) -> None:
    assert formats.significant(value, figures) == expected


@pytest.mark.parametrize(
    ("value", "places", "expected"),
    [(0.14, 3, "0.140"), (7.8249, 3, "7.825"), (0.0004, 3, "0.00040"), (-0.0012, 3, "-0.0012"), (3e-16, 3, "≈0")],
)
def test_decimals_down_a_column_are_equal_unless_they_would_say_nothing(
    value: float, places: int, expected: str
) -> None:
    assert formats.fixed(value, places) == expected


def test_a_column_takes_its_decimals_from_its_methods() -> None:
    assert formats.decimals([0.144, 0.151, 0.216]) == 3
    assert formats.decimals([63.4, 64.0]) == 1
    assert formats.decimals([576.0]) == 0
    assert formats.decimals([]) == 3


def test_margins_always_have_their_sign() -> None:
    assert [formats.signed(value, 2) for value in (0.5, -0.5, 0.0, -0.0083, 0.0004)] == [
        "+0.50",
        "-0.50",
        "0",
        "-0.01",
        "+0.0004",
    ]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(None, 0.5, "≤ 0.5"), (0.3, None, "≥ 0.3"), (50.0, 100.0, "50 to 100"), (None, None, "")],
)
def test_bars(low: float | None, high: float | None, expected: str) -> None:
    assert formats.bar(Column("fvu", "1", "down", 1, "", "", "", "clusters", low, high)) == expected


def test_durations_memory_and_dates() -> None:
    assert [formats.seconds(v) for v in (None, 0.42, 38.6, 600.0, 9000.0)] == ["—", "0.42 s", "39 s", "10 min", "2.5 h"]
    assert [formats.megabytes(v) for v in (None, 910.4, 2048.0)] == ["—", "910 MB", "2.0 GB"]
    assert formats.date("2026-11-20T12:00:00+00:00") == "20 November 2026, 12:00 UTC"
    assert formats.date("2026-11-20T12:00:00+02:00") == "20 November 2026, 10:00 UTC"
    assert formats.date("yesterday") == "yesterday"
