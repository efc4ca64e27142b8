"""Tables from folders of records: what belongs together, what is set aside, and what is said about it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from board_cases import GOOD, WEAK, controls, only_table, realistic, row, three
from board_records import METRICS, Case, Cell, parts, record, save

from harness.board import load_board
from harness.board.rows import Board
from harness.metrics.contract import get_metric
from harness.store.files import sha256_file
from harness.store.records import find_records


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("board")
    realistic(path)
    return path


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    return load_board(folder)


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def change_hash(path: Path) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"parts_sha256": sha256_file(path.with_suffix(".npz"))}))


def test_different_resolved_tasks_never_share_a_table(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    three(tmp_path, "topk", WEAK, Case(table="ffff0000", model="pythia-70m", spec={"limit": 10}))
    tables = load_board(tmp_path).tables
    assert [table.hash for table in tables] == ["0123456789abcdef01234567", "ffff0000"]
    assert [len(table.rows) for table in tables] == [1, 1]
    second = dict(tables[1].differs)
    assert second["limit"] == "10"
    assert second["model"].startswith("pythia-70m")
    assert dict(tables[0].differs)["limit"] == "not set"
    assert "title" not in second


def test_tables_of_one_task_alone_do_not_differ_from_anything(board: Board) -> None:
    assert [table.differs for table in board.tables] == [(), ()]


def test_two_identities_of_a_slug_are_two_rows(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD, identity="aaaaaa111111")
    three(tmp_path, "topk", WEAK, identity="bbbbbb222222")
    assert [r.label for r in only_table(tmp_path).methods] == ["topk (aaaaaa)", "topk (bbbbbb)"]


def test_altered_missing_and_broken_files_are_reported_and_not_used(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    saved = [save(tmp_path, Case(), Cell(name, 0, GOOD)) for name in ("altered", "lost", "torn", "old", "outside")]
    alter(saved[0].path.with_suffix(".npz"))
    saved[1].path.with_suffix(".npz").unlink()
    saved[2].path.write_text(saved[2].path.read_text()[:300])
    saved[3].path.write_text(saved[3].path.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    saved[4].path.write_text(saved[4].path.read_text().replace('"parts": "', '"parts": "../'))
    board = load_board(tmp_path)
    assert [r.label for r in board.tables[0].rows] == ["topk"]
    reasons = {Path(p.path).parts[2]: p.reason for p in board.problems}
    assert set(reasons) == {"altered", "lost", "torn", "old", "outside"}
    assert "not the file" in reasons["altered"]
    assert "schema 99" in reasons["old"]
    assert "outside its own folder" in reasons["outside"]
    assert not any(str(tmp_path) in reason for reason in reasons.values())


def test_parts_that_metrics_cannot_read_are_reported(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    table = parts(GOOD, 48, 0)
    bad = save(tmp_path, Case(), Cell("odd", 0, GOOD), table)
    np.savez_compressed(bad.path.with_suffix(".npz"), **(table | {"se": np.ones(3)}))
    change_hash(bad.path)
    board = load_board(tmp_path)
    assert [r.label for r in board.tables[0].rows] == ["topk"]
    assert "cannot be computed" in board.problems[0].reason


def test_a_record_on_other_clusters_is_left_out(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    save(tmp_path, Case(clusters=47), Cell("gated", 0, GOOD))
    board = load_board(tmp_path)
    assert [r.label for r in board.tables[0].rows] == ["topk"]
    assert "47 clusters in its parts, 48 in the other records" in board.problems[0].reason


def test_values_come_from_parts_and_a_disagreement_is_a_warning(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    path = next(iter(find_records(tmp_path)))
    value = json.loads(path.read_text())
    true = value["metrics"]["fvu"]["value"]
    value["metrics"]["fvu"]["value"] = true * (1 + 1e-5)
    value["metrics"]["l0"]["value"] *= 1 + 1e-7
    value["metrics"]["agree1"]["version"] = 7
    value["metrics"]["invented"] = value["metrics"]["fvu"]
    path.write_text(json.dumps(value))
    own = row(only_table(tmp_path), "topk")
    assert own.scores["fvu"].by_seed[value["seed"]] == pytest.approx(true, rel=1e-9)
    said = "\n".join(own.warnings)
    assert f"the parts give {true:.7g}; the latter is shown (seed {value['seed']})" in said
    assert "agree1 was stored as version 7; shown is version 1" in said
    assert "invented is not a metric of this version" in said
    assert "l0" not in said
    assert "invented" not in own.scores


def test_controls_the_task_demands_and_nobody_ran_are_named(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    save(tmp_path, Case(), Cell("pca", 0, WEAK, "floor", seeded=False))
    (note,) = (note for note in only_table(tmp_path).notes if note.startswith("No measured"))
    assert "mean_only, random_dictionary, permuted_decoder of topk" in note
    assert "pca" not in note


def test_controls_from_outside_the_package_are_known_by_their_slug(tmp_path: Path) -> None:
    three(tmp_path, "topk-803d9831", GOOD)
    for cell in controls(("topk-803d9831",)):
        save(tmp_path, Case(), replace(cell, name=f"{cell.name}-a318cbad"))
    assert not [note for note in only_table(tmp_path).notes if note.startswith("No measured")]


def test_a_warning_of_several_rows_is_said_once(tmp_path: Path) -> None:
    for name, said in (("topk", ("short", "odd")), ("gated", ("short",))):
        for seed in (0, 1, 2):
            save(tmp_path, Case(), Cell(name, seed, GOOD, warnings=said))
    assert dict(only_table(tmp_path).warnings) == {"every row": "short", "topk": "odd"}


def test_dead_latents_come_with_their_tokens_and_the_false_dead_rate(board: Board) -> None:
    (note,) = (note for note in board.tables[0].notes if note.startswith("dead_frac"))
    assert "N_eval = 50\u202f000 tokens" in note
    assert "probability 0.0067" in note
    assert "the expected false-dead rate is 0." in note


def test_facts_say_what_was_run(board: Board) -> None:
    facts = dict(board.tables[1].facts)
    assert "gguf-q4_1-dequantized" in facts["Model"]
    assert "local mirror 'squad'" in facts["Data"]
    assert "101 documents with 24\u202f000 tokens, 3 cut at the context length" in facts["Documents"]
    assert facts["Newest record"] == "2026-11-20T12:00:00+00:00"
    assert facts["Package"] == "version 0.1.0, commit 4ef6112d0c"


def test_warnings_of_records_are_kept_with_the_seeds_that_warn(tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        save(tmp_path, Case(), Cell("topk", seed, GOOD, warnings=("cut short",) if seed == 1 else ()))
    assert row(only_table(tmp_path), "topk").warnings == ("cut short (seed 1)",)


def test_text_that_would_act_instead_of_being_shown_is_replaced(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD, title="turned \u202e and \x1b[31mred")
    assert row(only_table(tmp_path), "topk").title == "turned \ufffd and \ufffd[31mred"


def test_a_task_stored_in_another_shape_does_not_stop_the_board(tmp_path: Path) -> None:
    spec = {"seeds": "all", "budget": None, "bars": ["fvu"], "controls": {"floor": 3}, "metrics": {"a": 1}}
    three(tmp_path, "topk", GOOD, Case(spec=spec))
    table = only_table(tmp_path)
    assert table.l0 is None
    assert [column.name for column in table.columns] == list(METRICS)


def test_an_empty_folder_is_an_empty_board(tmp_path: Path) -> None:
    assert load_board(tmp_path) == Board((), (), 0, None, ())


def test_the_builder_stores_the_values_its_parts_give() -> None:
    table = parts(GOOD, 48, 0, "topk")
    stored = record(Case(), Cell("topk", 0, GOOD), table).metrics
    assert stored["fvu"].value == get_metric("fvu").point(table)[0]
    assert stored["fvu"].value == pytest.approx(0.14, rel=0.1)


def test_boards_and_pages_import_without_torch() -> None:
    code = (
        "import sys, harness.board\n"
        "harness.board.load_board\n"
        "harness.board.write_pages\n"
        "found = {'torch', 'transformers', 'datasets', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
