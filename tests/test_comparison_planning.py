"""``harness power``: what a task can see, from the pairs of methods measured on it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from board_cases import GOOD, WEAK, three
from board_records import Case, Cell, parts, save
from commands import call

from harness.comparison.comparing import compare
from harness.comparison.planning import MetricPower, TaskPower, plan
from harness.errors import UserError
from harness.metrics.contract import get_metric
from harness.stats.power import clusters_needed
from harness.stats.summary import metric_pseudo_values
from harness.stats.unrelated import unrelated

NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("run")
    for name, quality in zip(NAMES, (GOOD, WEAK, GOOD), strict=True):
        three(made, name, quality)
    return made


def of(table: TaskPower, metric: str) -> MetricPower:
    return next(found for found in table.metrics if found.metric == metric)


def test_ranges_are_over_the_pairs_and_come_from_their_variance_components(folder: Path) -> None:
    (table,) = plan(folder, "gsm_symbolic", delta=0.005)
    assert (table.methods, table.seeds, table.clusters) == (("one", "three", "two"), 3, 48)
    sides = []
    for name, quality in zip(NAMES, (GOOD, WEAK, GOOD), strict=True):
        sides.append(metric_pseudo_values(get_metric("kl_splice"), [parts(quality, 48, s, name) for s in (0, 1, 2)]))
    spreads = [unrelated(a, b) for a, b in combinations(sides, 2)]
    seen = sorted(spread.test(3, 48).detectable() for spread in spreads)
    found = of(table, "kl_splice")
    assert (found.pairs, found.now.low, found.now.middle, found.now.high) == (3, *(pytest.approx(x) for x in seen))
    needed = [clusters_needed(spread, 0.005, 3) for spread in spreads]
    assert found.clusters is not None
    known = sorted(size for size in needed if size is not None)
    assert found.clusters.low == (known[0] if known else None)
    assert (found.clusters.high is None) == (None in needed)


def test_the_present_size_agrees_with_a_comparison(folder: Path) -> None:
    (table,) = plan(folder, "gsm_symbolic", "fvu")
    detectable = [
        metric.detectable
        for a, b in combinations(NAMES, 2)
        for metric in compare(a, b, folder).tables[0].metrics
        if metric.metric == "fvu"
    ]
    now = of(table, "fvu").now
    assert (now.low, now.high) == (pytest.approx(min(detectable)), pytest.approx(max(detectable)))  # type: ignore[type-var]


def test_more_clusters_see_more_and_seeds_are_listed(folder: Path) -> None:
    (table,) = plan(folder, "gsm_symbolic")
    found = of(table, "fvu")
    assert [(size.seeds, size.times) for size in found.sizes] == [(s, t) for s in (1, 2, 3, 4, 5) for t in (1, 2, 4)]
    for one, two, four in zip(*(iter(found.sizes),) * 3, strict=True):
        if one.seeds != 2:  # with 2 seeds more clusters lower the degrees of freedom to 1
            assert one.detectable.low > two.detectable.low > four.detectable.low  # type: ignore[operator]
    (at_present,) = [size for size in found.sizes if (size.seeds, size.times) == (3, 1)]
    assert at_present.detectable == found.now
    dead = of(table, "dead_frac")
    assert [(size.seeds, size.times) for size in dead.sizes] == [(seeds, 1) for seeds in (2, 3, 4, 5)]


def test_one_seed_says_nothing_about_seeds(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(tmp_path, Case(), Cell(name))
    (table,) = plan(tmp_path, "gsm_symbolic", delta=0.01)
    found = of(table, "fvu")
    assert {size.seeds for size in found.sizes} == {1}
    assert found.seeds is None
    assert found.clusters is not None
    assert ("dead_frac", "no difference varies") in table.left_out


def test_refusals(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown task 'gsm'"):
        plan(folder, "gsm")
    with pytest.raises(UserError, match=r"unknown metric 'l0'.*--metric|--metric.*unknown metric 'l0'"):
        plan(folder, "gsm_symbolic", "l0")
    for delta in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="--delta: must be above 0"):
            plan(folder, "gsm_symbolic", delta=delta)
    save(tmp_path, Case(), Cell("one"))
    save(tmp_path, Case(), Cell("pca", role="floor", seeded=False))
    with pytest.raises(UserError, match="fewer than two measured methods"):
        plan(tmp_path, "gsm_symbolic")


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("power", "--task", "gsm_symbolic", "--run", str(folder), "--metric", "fvu")
    answer = call(capsys, *given, "--delta", ".01")
    assert answer.code == 0
    header, row, blank, *sizes = answer.out.splitlines()
    assert header.startswith("task\tmetric\tpairs")
    assert row.split("\t")[1] == "fvu"
    assert blank == ""
    assert len(sizes) == 1 + 15
    (table,) = call(capsys, *given, "--json").json
    assert table["metrics"][0]["now"]["low"] > 0
    assert table["metrics"][0]["clusters"] is None


def test_items_of_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "power", "--discordance", ".05", "--delta", ".03", "--json").json
    assert found["no_worse"] == 344
    assert call(capsys, "power", "--discordance", ".1", "--delta", ".03", "--json").json["no_worse"] == 687
    assert call(capsys, "power", "--discordance", ".06", "--delta", ".022", "--json").json["differ"] == 971
    for given in (("--discordance", ".05", "--delta", ".1"), ("--discordance", ".05"), ("--delta", ".1"), ()):
        answer = call(capsys, "power", *given)
        assert (answer.code, answer.out) == (2, "")
