"""Ranks are those of the tie groups, and every row without one says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from board_cases import GOOD, WEAK, only_table, realistic, row, stored_parts, three
from board_records import Case, Cell, Quality, save

from harness.board import load_board
from harness.board.rows import Board
from harness.metrics.contract import get_metric
from harness.stats.summary import metric_pseudo_values
from harness.stats.ties import tie_groups, welch_holm

pytestmark = pytest.mark.usefixtures("no_cards")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("board")
    realistic(path)
    return path


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    return load_board(folder)


def test_targets_and_controls_have_no_margin_and_no_rank(board: Board) -> None:
    table = board.tables[0]
    assert all(r.scores["l0"].margin is None and r.scores["l0"].rank is None for r in table.rows)
    assert all(s.margin is None and s.rank is None for r in table.controls for s in r.scores.values())


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


def test_contestants_stand_first_then_controls_by_role(board: Board) -> None:
    roles = [r.role for r in board.tables[0].rows]
    assert roles == [None] * 4 + ["ceiling"] + ["floor"] * 3 + ["derived"] * 4
    assert [r.label for r in board.tables[0].methods] == ["batchtopk", "topk", "relu_l1", "jumprelu"]
