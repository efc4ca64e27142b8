"""Boards from known records: every number against a direct call, every row that is not ranked with its reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from board_records import METRICS, Case, Cell, Quality, controls, parts, realistic, record, save

from harness.board import load_board
from harness.board.rows import Board, Row, Table
from harness.metrics.contract import get_metric
from harness.stats.margins import margin
from harness.stats.summary import metric_pseudo_values, summarise
from harness.stats.ties import tie_groups, welch_holm
from harness.store.records import find_records, load_record

GOOD, WEAK = Quality(0.14, 64.0, 0.26, 0.02), Quality(0.19, 64.0, 0.40, 0.10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("board")
    realistic(path)
    return path


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    return load_board(folder)


def only_table(folder: Path) -> Table:
    (table,) = load_board(folder).tables
    return table


def row(table: Table, label: str) -> Row:
    return next(row for row in table.rows if row.label == label)


def stored_parts(folder: Path, task: str, method: str, of: str | None = None) -> list[dict[str, np.ndarray]]:
    found = [load_record(path) for path in find_records(folder)]
    own = [s for s in found if (s.record.task.name, s.record.method.name, s.record.method.of) == (task, method, of)]
    return [s.parts() for s in sorted(own, key=lambda s: s.record.seed)]


def three(folder: Path, name: str, quality: Quality, case: Case | None = None, **more: object) -> None:
    for seed in (0, 1, 2):
        save(folder, case or Case(), Cell(name, seed, quality, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("method", ["topk", "pca", "random_dictionary"])
def test_scores_are_means_over_seeds_with_the_intervals_of_stats(
    folder: Path, board: Board, method: str, name: str
) -> None:
    table = board.tables[0]
    expected = summarise(get_metric(name), stored_parts(folder, table.task, method))
    score = row(table, method).scores[name]
    assert (score.value, score.lo, score.hi, score.how) == (expected.value, expected.lo, expected.hi, expected.how)
    assert score.reason == expected.reason


def test_seeds_are_pooled_with_a_crossed_interval_and_one_seed_with_a_bootstrap(board: Board) -> None:
    table = board.tables[0]
    assert row(table, "topk").scores["fvu"].how == "crossed-t"
    assert row(table, "pca").scores["fvu"].how == "percentile"
    by_seed = row(table, "topk").scores["fvu"].by_seed
    assert list(by_seed) == [0, 1, 2]
    assert row(table, "topk").scores["fvu"].value == pytest.approx(np.mean(list(by_seed.values())), rel=1e-12)


@pytest.mark.parametrize("name", ["fvu", "kl_splice", "agree1", "dead_frac"])
def test_margins_are_those_of_stats_over_floors_and_own_derived_controls(folder: Path, board: Board, name: str) -> None:
    nulls = {
        label: stored_parts(folder, "gsm_symbolic", method, of)
        for label, method, of in (
            ("mean_only", "mean_only", None),
            ("pca", "pca", None),
            ("random_dictionary", "random_dictionary", None),
            ("permuted_decoder of topk", "permuted_decoder", "topk"),
        )
    }
    expected = margin(get_metric(name), stored_parts(folder, "gsm_symbolic", "topk"), nulls)
    found = row(board.tables[0], "topk").scores[name].margin
    assert found is not None
    assert found.control == expected.control
    assert (found.value, found.lo, found.hi) == (expected.estimate.value, expected.estimate.lo, expected.estimate.hi)


def test_margins_are_positive_when_better_in_either_direction(board: Board) -> None:
    scores = row(board.tables[0], "batchtopk").scores
    for name in ("fvu", "agree1"):
        own = scores[name].margin
        assert own is not None
        assert own.control == "pca"
        assert own.value is not None
        assert own.value > 0
        assert own.verdict == "above"


def test_a_margin_whose_interval_holds_0_is_told_apart_from_one_below(board: Board) -> None:
    scores = row(board.tables[0], "relu_l1").scores
    assert scores["fvu"].margin is not None
    assert scores["fvu"].margin.verdict == "null"
    assert scores["kl_splice"].margin is not None
    assert scores["kl_splice"].margin.verdict == "below"


def test_targets_and_controls_have_no_margin_and_no_rank(board: Board) -> None:
    table = board.tables[0]
    assert all(r.scores["l0"].margin is None and r.scores["l0"].rank is None for r in table.rows)
    assert all(s.margin is None and s.rank is None for r in table.controls for s in r.scores.values())


def test_a_derived_control_counts_for_its_own_method_only(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    three(tmp_path, "gated", GOOD)
    three(tmp_path, "permuted_decoder", Quality(0.05), role="derived", of="gated")
    for cell in controls(()):
        save(tmp_path, Case(), cell)
    table = only_table(tmp_path)
    first, second = (row(table, name).scores["fvu"].margin for name in ("topk", "gated"))
    assert first is not None
    assert first.control == "pca"
    assert second is not None
    assert second.control == "permuted_decoder of gated"
    assert second.verdict == "below"


def test_a_control_with_more_latents_than_the_method_is_left_out_of_the_margin(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    save(tmp_path, Case(), Cell("pca", 0, Quality(0.01, 80.0), "floor", seeded=False))
    save(tmp_path, Case(), Cell("mean_only", 0, Quality(1.0, 0.0), "floor", seeded=False))
    found = row(only_table(tmp_path), "topk").scores["fvu"].margin
    assert found is not None
    assert found.control == "mean_only"
    assert "is above 1.05 times the method" in found.left_out["pca"]


def test_without_controls_the_margin_says_so(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    found = row(only_table(tmp_path), "topk").scores["fvu"].margin
    assert found is not None
    assert (found.value, found.verdict) == (None, None)
    assert found.reason == "the table has no floor or derived control"


def test_ranks_are_the_tie_groups_of_stats(folder: Path, board: Board) -> None:
    ranked = ("batchtopk", "relu_l1", "topk")
    pseudo = {n: metric_pseudo_values(get_metric("fvu"), stored_parts(folder, "gsm_symbolic", n)) for n in ranked}
    expected = tie_groups(pseudo, "down").rank
    found = {r.label: r.scores["fvu"].rank for r in board.tables[0].methods if r.scores["fvu"].rank is not None}
    assert found == dict(expected)
    assert found["batchtopk"] == 1
    assert found["relu_l1"] == 3


def test_methods_that_cannot_be_told_apart_share_a_rank(tmp_path: Path) -> None:
    three(tmp_path, "one", GOOD)
    three(tmp_path, "two", Quality(0.1401, 64.0, 0.26))
    three(tmp_path, "far", Quality(0.4, 64.0, 1.5))
    table = only_table(tmp_path)
    assert [(r.label, r.scores["fvu"].rank, r.scores["fvu"].tied) for r in table.methods][2] == ("far", 3, False)
    assert {r.scores["fvu"].rank for r in table.methods[:2]} == {1}
    assert all(r.scores["fvu"].tied for r in table.methods[:2])


def test_metrics_with_intervals_over_seeds_are_ranked_by_their_seeds(tmp_path: Path) -> None:
    three(tmp_path, "few_dead", Quality(dead=0.01))
    three(tmp_path, "many_dead", Quality(dead=0.4))
    table = only_table(tmp_path)
    values = [list(r.scores["dead_frac"].by_seed.values()) for r in table.methods]
    assert welch_holm([np.array(v) for v in values])[0, 1] < 0.05
    assert {r.label: r.scores["dead_frac"].rank for r in table.methods} == {"few_dead": 1, "many_dead": 2}


def test_two_seeds_of_a_seeded_method_are_shown_unranked(tmp_path: Path) -> None:
    for seed in (0, 1):
        save(tmp_path, Case(), Cell("topk", seed, GOOD))
    own = row(only_table(tmp_path), "topk")
    assert own.unranked == "2 of the 3 seeds a rank needs"
    assert own.scores["fvu"].value is not None
    assert own.scores["fvu"].rank is None
    assert [(s.seed, s.status) for s in own.seeds] == [(0, "ok"), (1, "ok"), (2, "missing")]


def test_an_unseeded_method_is_ranked_by_its_one_seed(tmp_path: Path) -> None:
    save(tmp_path, Case(), Cell("kmeans", 0, GOOD, seeded=False))
    three(tmp_path, "topk", WEAK)
    own = row(only_table(tmp_path), "kmeans")
    assert own.unranked is None
    assert own.scores["fvu"].rank == 1
    assert [seed.status for seed in own.seeds] == ["ok"]


@pytest.mark.parametrize(
    ("l0", "reason"),
    [
        (60.9, None),
        (67.1, None),
        (68.5, "L0 68.5 is 7 % above the target of 64; ranks need 5 %"),
        (57.6, "L0 57.6 is 10 % below the target of 64; ranks need 5 %"),
    ],
)
def test_only_methods_at_the_target_l0_are_ranked(tmp_path: Path, l0: float, reason: str | None) -> None:
    three(tmp_path, "topk", Quality(0.14, l0))
    assert row(only_table(tmp_path), "topk").unranked == reason


def test_without_a_target_l0_nothing_is_ranked(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD, Case(spec={"budget": {"context": 256}}))
    assert row(only_table(tmp_path), "topk").unranked == "the task sets no L0 to match"


def test_the_target_l0_may_come_from_the_corpus(tmp_path: Path) -> None:
    spec = {"budget": {"context": 256, "l0": None}, "corpus": {"budget": {"l0": 64}}}
    three(tmp_path, "topk", GOOD, Case(spec=spec))
    assert only_table(tmp_path).l0 == 64
    assert row(only_table(tmp_path), "topk").unranked is None


def test_a_failed_seed_is_shown_and_costs_the_rank(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    save(tmp_path, Case(), Cell("topk", 3, failed="loss is NaN at step 12"))
    own = row(only_table(tmp_path), "topk")
    assert own.unranked == "seed 3 failed"
    assert [(s.seed, s.reason) for s in own.failed] == [(3, "loss is NaN at step 12")]
    assert list(own.scores["fvu"].by_seed) == [0, 1, 2]


def test_a_method_that_failed_on_every_seed_is_a_row_with_reasons(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    three(tmp_path, "gated", GOOD, failed="encode returned NaN")
    score = row(only_table(tmp_path), "gated").scores["fvu"]
    assert (score.value, score.reason) == (None, "failed: encode returned NaN")
    assert row(only_table(tmp_path), "topk").scores["fvu"].rank == 1


def test_a_success_takes_the_place_of_a_failure(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    save(tmp_path, Case(), Cell("topk", 1, failed="out of memory", finished="2026-11-21T12:00:00+00:00"))
    table = only_table(tmp_path)
    assert row(table, "topk").unranked is None
    assert "topk, seed 1, was recorded more than once; the newest that did not fail is shown." in table.notes


def test_bars_are_met_or_missed_by_the_pooled_value(board: Board) -> None:
    scores = row(board.tables[0], "topk").scores
    assert {name: scores[name].bar for name in METRICS} == {
        "fvu": False,
        "mse_elem": None,
        "mse_elem_norm": False,
        "l0": True,
        "dead_frac": True,
        "delta_ce": None,
        "kl_splice": True,
        "agree1": None,
    }


def test_different_resolved_tasks_never_share_a_table(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    three(tmp_path, "topk", WEAK, Case(table="ffff0000", model="pythia-70m", spec={"limit": 10}))
    tables = load_board(tmp_path).tables
    assert [table.hash for table in tables] == ["0123456789abcdef01234567", "ffff0000"]
    assert [len(table.rows) for table in tables] == [1, 1]
    second = dict(tables[1].differs)
    assert second["limit"] == "10"
    assert second["model"].startswith("pythia-70m")
    assert dict(tables[0].differs)["limit"] == "None"
    assert "title" not in second


def test_tables_of_one_task_alone_do_not_differ_from_anything(board: Board) -> None:
    assert [table.differs for table in board.tables] == [(), ()]


def test_two_identities_of_a_slug_are_two_rows(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD, identity="aaaaaa111111")
    three(tmp_path, "topk", WEAK, identity="bbbbbb222222")
    assert [r.label for r in only_table(tmp_path).methods] == ["topk (aaaaaa)", "topk (bbbbbb)"]


def test_contestants_stand_first_then_controls_by_role(board: Board) -> None:
    roles = [r.role for r in board.tables[0].rows]
    assert roles == [None] * 4 + ["ceiling"] + ["floor"] * 3 + ["derived"] * 4
    assert [r.label for r in board.tables[0].methods] == ["batchtopk", "topk", "relu_l1", "jumprelu"]


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


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


def change_hash(path: Path) -> None:
    from harness.store.files import sha256_file

    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"parts_sha256": sha256_file(path.with_suffix(".npz"))}))


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


def test_a_metric_without_a_value_has_its_reason(tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        table = parts(GOOD, 48, seed)
        table["fires"] = np.zeros(0)
        save(tmp_path, Case(), Cell("mean_only", seed, GOOD), table)
    score = row(only_table(tmp_path), "mean_only").scores["dead_frac"]
    assert score.value is None
    assert "there are no latents" in (score.reason or "")
    assert score.rank is None


def test_controls_the_task_demands_and_nobody_ran_are_named(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    save(tmp_path, Case(), Cell("pca", 0, WEAK, "floor", seeded=False))
    (note,) = (note for note in only_table(tmp_path).notes if note.startswith("No measured"))
    assert "mean_only, random_dictionary, permuted_decoder of topk" in note
    assert "pca" not in note


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


def test_costs_are_of_the_methods_own_stages(board: Board) -> None:
    cost = row(board.tables[0], "topk").cost
    assert (cost.fit_seconds, cost.peak_mb, cost.parameters) == (39.0, 910.0, 2_656_000.0)


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


def test_boards_and_pages_import_without_torch_and_tables_without_the_drawing_library() -> None:
    code = (
        "import sys, harness.board\n"
        "harness.board.load_board\n"
        "assert 'altair' not in sys.modules, 'altair'\n"
        "harness.board.write_pages\n"
        "found = {'torch', 'transformers', 'datasets', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
