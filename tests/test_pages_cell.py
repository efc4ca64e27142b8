"""The page of a row: what it takes to run it again, every seed's numbers, and how metrics spread over clusters."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from board_cases import controls, only_table, row, stored_parts, three
from board_records import Case, Quality, save
from markup import page_of, read

from harness.board import build, load_board, write_pages
from harness.board.cell_page import cell_view, flat
from harness.board.formats import significant
from harness.board.rows import Table
from harness.board.spread import HEIGHT, WIDTH, spreads
from harness.metrics.contract import all_metrics, get_metric


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cell")
    three(path, "topk", Quality(0.15, 64.0, 0.3), warnings=("density is low",))
    for cell in controls(("topk",)):
        save(path, Case(), cell)
    build(path, path)
    return path


@pytest.fixture(scope="module")
def table(folder: Path) -> Table:
    return only_table(folder)


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return page_of(folder, "cells", "topk")


def test_it_says_how_to_run_and_how_to_check_it_again(page: str, table: Table) -> None:
    assert page.count("<code>harness eval --method topk --task gsm_symbolic</code>") == 1, "one command made all seeds"
    for seed in row(table, "topk").seeds:
        assert f"<code>harness verify {seed.path}</code>" in page


def test_it_holds_configuration_provenance_costs_and_warnings(page: str) -> None:
    text = read(page).text
    for said in (
        "density is low", "lr0.0003", "batch256", "budget.train_tokens24000", "libraries.torch2.13.0", "devicecpu",
        "4ef6112d0c0ffee0", "Linux x86_64", "Fit: parameters2656000", "splits.test.documents208", "arXiv 2406.04093",
        "gguf-q4_1-dequantized", "2304", "38 s, 910 MB", "40 s, 910 MB", "41 s, 2.1 GBshared by the group",
    ):  # fmt: skip
        assert said in text, said


def test_every_seed_has_its_value(page: str, folder: Path) -> None:
    fvu = get_metric("fvu")
    for parts in stored_parts(folder, "gsm_symbolic", "topk"):
        value, _ = fvu.point(parts)
        assert value is not None
        assert f'<td class="number">{significant(value, 4)}</td>' in page


def test_differences_to_controls_are_those_of_the_scores(table: Table, folder: Path) -> None:
    own = row(table, "topk")
    lines = {line.metric: line for line in cell_view(table, own, folder, all_metrics()).margins}
    labels = ["mean_only", "pca", "random_dictionary", "permuted_decoder of topk"]
    for name, sign in (("fvu", -1), ("agree1", 1)):
        assert sorted(lines[name].differences) == sorted(labels)
        best = [label for label, found in lines[name].differences.items() if found.best]
        assert best == [own.scores[name].margin.control]  # type: ignore[union-attr]
        for label, found in lines[name].differences.items():
            expected = sign * (own.scores[name].value - row(table, label).scores[name].value)  # type: ignore[operator]
            assert float(found.text) == pytest.approx(expected, rel=0.006)
    assert "l0" not in lines
    assert "dead_frac" not in lines
    assert cell_view(table, row(table, "pca"), folder, all_metrics()).margins == []


def test_a_spread_is_the_metric_of_each_cluster_alone(folder: Path) -> None:
    parts = stored_parts(folder, "gsm_symbolic", "topk")[0]
    found = spreads((m for m in all_metrics().values() if m.point(parts)[0] is not None), parts)
    alone = np.sort(parts["l0"] / parts["n"])
    assert found["l0"].summary.startswith(f"48 clusters; median {significant(float(np.median(alone)))}")
    assert (found["l0"].low, found["l0"].high) == (significant(alone[0]), significant(alone[-1]))
    one = {name: value[:1] if value.shape[:1] == (48,) else value for name, value in parts.items()}
    one["x_gram"] = parts["x_gram"][:1, :1]
    assert float(found["fvu"].low) <= get_metric("fvu").point(one)[0] <= float(found["fvu"].high)  # type: ignore[operator]
    assert "dead_frac" not in found, "its interval is over seeds"


def test_only_derived_controls_have_no_spread(folder: Path, page: str) -> None:
    assert page.count('<svg class="spread"') == 7, "one for each metric over clusters"
    assert page_of(folder, "cells", "pca").count('<svg class="spread"') == 7
    assert "By cluster: the metric" not in page_of(folder, "cells", "permuted_decoder-of-topk")


def test_a_spread_counts_every_cluster_once_and_says_which_have_no_value() -> None:
    rng = np.random.default_rng(0)
    n = np.full(40, 10.0)
    parts = {"n": n, "n_kl": np.where(np.arange(40) < 5, 0.0, 5.0), "kl": rng.random(40), "l0": np.full(40, 640.0)}
    found = spreads([get_metric("kl_splice"), get_metric("l0")], parts)
    assert found["kl_splice"].summary.startswith("35 clusters, no value on 5 more; median ")
    heights = [float(bar) for bar in re.findall(r"v-([\d.e-]+)h", found["kl_splice"].path)]
    counts = np.array(heights) / HEIGHT
    # The tallest bar is as high as the drawing, and all bars together hold every cluster.
    assert counts.max() == pytest.approx(1)
    tallest = next(
        k
        for k in range(1, 36)
        if np.allclose(counts * k, np.round(counts * k), atol=0.05) and round(float((counts * k).sum())) == 35
    )
    assert tallest >= 2
    assert found["l0"].path.count("M") == 1, "values that are equal stand in one bar"
    assert all(float(x) <= WIDTH for x in re.findall(r"M([\d.]+) ", found["kl_splice"].path))


def test_a_record_that_is_gone_is_said_to_be(folder: Path, tmp_path: Path) -> None:
    write_pages(load_board(folder), tmp_path)
    text = read(page_of(tmp_path, "cells", "topk")).text
    assert "cannot be read any more" in text
    assert "harness verify" not in text


def test_settings_are_written_with_dots_and_long_ones_are_cut() -> None:
    found = dict(flat({"a": {"b": 1.50, "c": None}, "d": [1, "x"], "e": "y" * 1000, "f": True}))
    assert found["a.b"] == "1.5"
    assert found["a.c"] == "not set"
    assert found["d"] == '[1, "x"]'
    assert found["f"] == "true"
    assert found["e"] == "y" * 400 + "… (1000 characters)"


def test_a_derived_control_that_a_metric_cannot_see_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = {name: replace(metric, derived=False) for name, metric in all_metrics().items()}
    seen = load_board(folder).tables
    monkeypatch.setattr("harness.board.table.all_metrics", lambda: blind)
    # On a slow machine the files are old enough by now for the first tables to come back from memory.
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    note = "no null here: it leaves what this metric reads as it is"
    for tables, told in ((seen, False), (load_board(folder).tables, True)):
        margins = [row.scores["fvu"].margin for table in tables for row in table.methods if row.label == "topk"]
        derived = [m.left_out.get("permuted_decoder of topk") for m in margins if m is not None]
        assert derived
        assert [found == note for found in derived] == [told] * len(derived)
