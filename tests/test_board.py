"""Scores, intervals, margins and bars of known records, each against a direct call."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from board_cases import GOOD, controls, only_table, realistic, row, stored_parts, three
from board_records import METRICS, Case, Cell, Quality, parts, save

import harness
from harness.board import load_board
from harness.board.rows import Board
from harness.board.text import markdown
from harness.metrics.contract import get_metric
from harness.stats.margins import margin
from harness.stats.summary import summarise


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("board")
    realistic(path)
    return path


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    return load_board(folder)


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


def test_counts_of_the_code_take_no_margin(board: Board) -> None:
    scores = row(board.tables[0], "topk").scores
    assert scores["dead_frac"].margin is None
    assert scores["l0"].margin is None


@pytest.mark.parametrize("name", ["fvu", "kl_splice", "agree1"])
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


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_the_interval_over_every_control_is_that_of_a_comparison(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    for seed in seeds:
        save(tmp_path, Case(), Cell("topk", seed, GOOD))
    for cell in controls(["topk"], seeds):
        save(tmp_path, Case(), cell)
    margins = {name: row(only_table(tmp_path), "topk").scores[name].margin for name in ("fvu", "agree1")}
    floors = {"mean_only", "pca", "random_dictionary"}
    for control in floors:
        (table,) = harness.compare("topk", control, tmp_path).tables
        for name, found in margins.items():
            assert found is not None
            assert found.each.keys() == {*floors, "permuted_decoder of topk"}
            gap = next(one for one in table.metrics if one.metric == name).difference
            assert gap.lo is not None
            assert gap.hi is not None
            expected = (gap.lo, gap.hi) if name == "agree1" else (-gap.hi, -gap.lo)
            assert found.each[control] == pytest.approx(expected, rel=1e-12)


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


def test_a_bar_for_the_whole_interval_is_not_decided_where_the_interval_reaches_over_it(tmp_path: Path) -> None:
    three(tmp_path / "plain", "topk", GOOD)
    found = row(only_table(tmp_path / "plain"), "topk").scores["fvu"]
    assert found.value is not None
    assert found.lo is not None
    assert found.hi is not None
    said = {}
    for level in (found.lo - 0.01, found.value + (found.hi - found.value) / 2, found.hi + 0.01):
        folder = tmp_path / f"{level:.6f}"
        three(folder, "topk", GOOD, Case(spec={"bars": {"fvu": {"max": level, "by": "interval"}}}))
        bar = row(only_table(folder), "topk").scores["fvu"].bar
        said[bar] = set(re.findall("; bar ([a-z ]+[a-z])", markdown(load_board(folder))))
    assert said == {False: {"missed"}, None: {"not decided"}, True: {"met"}}


def test_a_metric_without_a_value_has_its_reason(tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        table = parts(GOOD, 48, seed)
        table["fires"] = np.zeros(0)
        save(tmp_path, Case(), Cell("mean_only", seed, GOOD), table)
    score = row(only_table(tmp_path), "mean_only").scores["dead_frac"]
    assert score.value is None
    assert "there are no latents" in (score.reason or "")
    assert score.rank is None


def test_costs_are_of_the_methods_own_stages(board: Board) -> None:
    cost = row(board.tables[0], "topk").cost
    assert (cost.fit_seconds, cost.peak_mb, cost.parameters) == (39.0, 910.0, 2_656_000.0)
