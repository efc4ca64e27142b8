"""Records from anywhere: what they say is text, and no path they name leaves the folder."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from board_cases import GOOD
from board_records import Case, Cell, save

from harness.board import build, load_board
from harness.board.publish import publish
from harness.board.text import csv_text, json_text, markdown
from harness.errors import UserError
from harness.metrics.contract import get_metric
from harness.store.files import sha256_file
from harness.store.records import BrokenRecordError, load_record

NAMES = [
    "</script><img src=x onerror=alert(1)>",
    "../../etc/passwd",
    "two\nlines | and ` bars",
    "turned \u202e and \x1b[31mred",
    "=cmd|' /C calc'!A0",
    "..",
    "/etc/cron.d/x",
    "a\\..\\b",
    ".hidden",
    "",
]


def edit(path: Path, *keys: str, value: Any) -> None:
    """Change one value of a record's file."""
    record = json.loads(path.read_text())
    inner = record
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(record))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    save(tmp_path / "run", Case(), Cell("topk", 0, GOOD))
    return tmp_path / "run"


def record_of(folder: Path) -> Path:
    (path,) = folder.glob("results/*/*/*.json")
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["task", "method"])
def test_a_hostile_name_is_text_in_every_file(run: Path, place: str, name: str) -> None:
    edit(record_of(run), place, "name", value=name)
    board = load_board(run)
    text, lines = markdown(board), list(csv.DictReader(io.StringIO(csv_text(board))))
    assert "<img" not in text
    assert "\u202e" not in text
    assert "\x1b" not in text
    shown = {line[place] for line in lines if line["role"] == "method"}
    assert len(shown) == 1
    assert not shown.pop().startswith(("=", "\t"))
    assert json.loads(json_text(board))["records"] == 1
    for section in text.split("\n## ")[1:]:
        bars = {line.replace(r"\|", "").count("|") for line in section.splitlines() if line.startswith("|")}
        assert len(bars) == 1


# As a part of a file's name dots and nothing at all are harmless.
WHOLE = [(keys, name) for keys in (("task", "name"), ("method", "name")) for name in NAMES]
PART = [(keys, name) for keys in (("method", "of"), ("cell",)) for name in NAMES if name.strip(".hiden")]


@pytest.mark.parametrize(("keys", "name"), WHOLE + PART)
def test_publishing_refuses_names_that_are_no_names_of_files(
    run: Path, tmp_path: Path, keys: tuple[str, ...], name: str
) -> None:
    save(run, Case("squad"), Cell("gated", 0, GOOD))
    edit(next(run.glob("results/gsm_symbolic/*/*.json")), *keys, value=name)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="nothing is published"):
        publish(run, tmp_path / "board")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("keys", [("method", "of"), ("cell",)])
def test_dots_inside_the_name_of_a_file_stay_inside(run: Path, tmp_path: Path, keys: tuple[str, ...]) -> None:
    edit(record_of(run), *keys, value="..")
    (copy,) = publish(run, tmp_path / "board")
    assert copy.resolve().parent == tmp_path / "board" / "results" / "gsm_symbolic" / "topk"


@pytest.mark.parametrize("beside", ["parts", "latents"])
@pytest.mark.parametrize("name", ["../secret.npz", "/etc/passwd", "seed0-other.json", ".x.npz"])
def test_a_record_reads_and_copies_only_what_lies_beside_it(run: Path, tmp_path: Path, beside: str, name: str) -> None:
    path = record_of(run)
    target = Path(os.path.normpath(path.parent / name))
    if target.is_relative_to(tmp_path):
        target.write_bytes(path.with_suffix(".npz").read_bytes())
    edit(path, beside, value=name)
    edit(path, f"{beside}_sha256", value=sha256_file(target) if target.exists() else "0" * 64)
    stored = load_record(path)
    with pytest.raises(BrokenRecordError, match="outside its own folder"):
        _ = stored.files
    with pytest.raises(UserError, match="no whole record"):
        publish(run, tmp_path / "board")
    assert not (tmp_path / "board").exists()


def test_a_published_record_that_names_other_files_does_not_take_them_along(run: Path, tmp_path: Path) -> None:
    board = tmp_path / "board"
    (copy,) = publish(run, board)
    victim = board / "results" / "victim.npz"
    victim.write_text("kept")
    edit(copy, "latents", value="../../victim.npz")
    edit(copy, "cell", value="f" * 24)
    publish(run, board)
    assert victim.read_text() == "kept"


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity"])
@pytest.mark.parametrize("keys", [("method", "params", "lr"), ("stages", "fit", "seconds"), ("fit", "parameters")])
def test_numbers_that_are_none_do_not_stop_the_board(run: Path, keys: tuple[str, ...], number: str) -> None:
    edit(record_of(run), *keys, value="NUMBER")
    record_of(run).write_text(record_of(run).read_text().replace('"NUMBER"', number))
    board = load_board(run)
    json.loads(json_text(board), parse_constant=lambda word: pytest.fail(word))
    assert "nan" not in csv_text(board).lower().replace("=", "")


def test_a_file_name_that_cannot_be_shown_is_reported(run: Path) -> None:
    path = record_of(run)
    path.with_name("seed0-\u202eabc.json").write_text(path.read_text())
    os.link(path, os.fsencode(path.parent) + b"/seed1-\xff.json")
    board = load_board(run)
    assert board.records == 1
    assert len(board.problems) == 2
    markdown(board).encode("utf-8")
    json_text(board).encode("utf-8")


def test_half_a_pair_of_surrogates_is_replaced(run: Path) -> None:
    path = record_of(run)
    path.write_text(path.read_text().replace("Topk", "Top\\ud800k"))
    json_text(load_board(run)).encode("utf-8")


def test_a_hostile_reliability_card_is_text(run: Path) -> None:
    name = f"{NAMES[0]}\u202e"
    check = {"value": 1.0, "passed": False, "reason": name, "decides": True}
    card = {
        "metric": "fvu", "version": get_metric("fvu").version, "task": "any", "table": "t", "verdict": "diagnostic",
        "checks": {name: check}, "detectable": {},
        "provenance": {"command": name, "version": "0", "commit": None, "dirty": None, "finished": "f"},
    }  # fmt: skip
    path = run / "cards" / "any" / "fvu.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(card))
    board = load_board(run)
    (column,) = [column for column in board.tables[0].columns if column.name == "fvu"]
    assert "onerror" in (column.diagnostic or "")
    text = markdown(board)
    assert "<img" not in text
    assert "\u202e" not in text + csv_text(board) + json_text(board)


@pytest.mark.parametrize("name", ["tasks", "cells"])
def test_no_page_is_written_or_removed_through_a_link(run: Path, tmp_path: Path, name: str) -> None:
    build(run, run)
    outside = tmp_path / "outside"
    (run / name).rename(outside)
    (run / name).symlink_to(outside)
    kept = {path: path.stat().st_mtime_ns for path in outside.rglob("*")}
    with pytest.raises(UserError, match="leads out of"):
        build(run, run)
    shutil.rmtree(run / "results")
    build(run, run)
    assert {path: path.stat().st_mtime_ns for path in outside.rglob("*")} == kept
