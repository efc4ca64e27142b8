"""Texts of single items: kept once for a table, bounded, told apart by their hash, and never published."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from error_records import Row, save_row, save_run

from harness.board.publish import publish
from harness.store.items import LONGEST, Item, load_items, save_items, shortened
from harness.store.records import load_record

ODD = "half a pair \ud800, \u2028 a line\nand a \x00"


def test_items_come_back_as_they_were(tmp_path: Path) -> None:
    items = (Item("test/1", ODD, None, ODD, "b", "wrong", {"x": 0.1 + 0.2}), Item("2", "g", "ann", "", "", "right"))
    assert load_items(tmp_path, save_items(tmp_path, items)) == items


def test_long_texts_keep_both_ends(tmp_path: Path) -> None:
    text = "start" + "x" * 5000 + "end"
    cut = shortened(text)
    assert len(cut) <= LONGEST
    assert cut.startswith("start")
    assert cut.endswith("end")
    assert "5008 characters" in cut
    assert shortened("y" * LONGEST) == "y" * LONGEST
    (held,) = load_items(tmp_path, save_items(tmp_path, (Item("1", "g", None, text, text, "wrong"),))) or ()
    assert (held.prompt, held.answer) == (cut, cut)


def test_numbers_that_json_has_not_are_left_out(tmp_path: Path) -> None:
    item = Item("1", "g", None, "p", "a", "wrong", {"low": -math.inf, "none": math.nan, "own": -1.5})
    (held,) = load_items(tmp_path, save_items(tmp_path, (item,))) or ()
    assert held.numbers == {"own": -1.5}


def test_rows_of_a_table_share_one_file(tmp_path: Path) -> None:
    run = save_run(tmp_path)
    (path,) = (run / "results" / "sums").glob("items-*.jsonl")
    digests = {load_record(record).record.items_sha256 for record in (run / "results").glob("*/*/*.json")}
    assert len(digests) == 1
    assert path.name == f"items-{digests.pop()[:12]}.jsonl"


def test_an_altered_file_is_no_file_and_is_written_again(tmp_path: Path) -> None:
    stored = save_row(tmp_path, Row("probe", 1.0))
    (path,) = (tmp_path / "results" / "sums").glob("items-*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"What is 3?", b"What is 4?"))
    assert stored.items() is None
    save_row(tmp_path, Row("other", 1.0))
    assert path.read_bytes() == whole
    assert stored.items() is not None


@pytest.mark.parametrize("digest", [None, "", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64])
def test_a_hash_that_names_no_file_of_ours_is_not_followed(digest: str | None, tmp_path: Path) -> None:
    assert load_items(tmp_path, digest) is None


def test_published_boards_do_not_carry_texts(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run")
    copies = publish(run, tmp_path / "board")
    assert len(copies) == 5
    assert list((tmp_path / "board").rglob("*.jsonl")) == []
    assert load_record(copies[0]).items() is None
