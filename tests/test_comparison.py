"""Two rows compared: planted differences are found, nothing else is, and the two sides are treated alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from board_cases import GOOD, WEAK, three
from board_records import Case, Cell, parts, save
from scipy import stats

import harness
from harness.comparison.comparing import compare
from harness.comparison.findings import MetricFinding, TableFinding
from harness.comparison.judging import adjusted
from harness.comparison.measuring import Numbers
from harness.errors import UserError
from harness.metrics.contract import Array, get_metric
from harness.specs.reliability import CardProvenance, Check, ReliabilityCard, card_path
from harness.stats.paired import difference
from harness.stats.summary import metric_pseudo_values
from harness.stats.ties import tie_groups

pytestmark = pytest.mark.usefixtures("no_cards")

LOOSE = replace(GOOD, l0=71.0)


def of(table: TableFinding, metric: str) -> MetricFinding:
    return next(found for found in table.metrics if found.metric == metric)


def only(folder: Path, a: str = "one", b: str = "two", **more: object) -> TableFinding:
    (table,) = compare(a, b, folder, **more).tables  # type: ignore[arg-type]
    return table


@pytest.fixture
def two(tmp_path: Path) -> Path:
    three(tmp_path, "one", GOOD)
    three(tmp_path, "two", WEAK)
    return tmp_path


def test_a_planted_difference_is_found_on_the_right_side_in_both_directions(two: Path) -> None:
    table = only(two)
    fvu = of(table, "fvu")
    assert (fvu.verdict, fvu.better, fvu.direction) == ("A better", "A", "down")
    assert fvu.difference.value == pytest.approx(fvu.a - fvu.b)  # type: ignore[operator]
    assert fvu.difference.value == pytest.approx(-0.05, rel=0.1)
    assert fvu.relative == pytest.approx(fvu.difference.value / fvu.b)  # type: ignore[operator]
    assert fvu.p is not None
    assert fvu.p < 0.01
    assert of(only(two, "two", "one"), "fvu").verdict == "B better"


def test_numbers_are_those_of_the_paired_difference(two: Path) -> None:
    table = only(two)
    sides = [[parts(quality, 48, seed, name) for seed in (0, 1, 2)] for name, quality in (("one", GOOD), ("two", WEAK))]
    for name in ("fvu", "delta_ce", "kl_splice", "agree1"):
        expected, found = difference(get_metric(name), *sides, paired_seeds=False), of(table, name).difference
        assert (found.value, found.lo, found.hi) == pytest.approx((expected.value, expected.lo, expected.hi), rel=1e-5)


def test_metrics_over_seeds_are_welch(two: Path) -> None:
    found = of(only(two), "dead_frac")
    sides = [
        [get_metric("dead_frac").point(parts(quality, 48, seed, name))[0] for seed in (0, 1, 2)]
        for name, quality in (("one", GOOD), ("two", WEAK))
    ]
    expected = stats.ttest_ind(*sides, equal_var=False)
    ends = expected.confidence_interval(0.95)
    assert (found.difference.lo, found.difference.hi) == pytest.approx((ends.low, ends.high))
    assert (found.over, found.places) == ("seeds", None)
    pooled = np.sqrt(np.mean([np.var(side, ddof=1) for side in sides]))
    assert found.effect.value == pytest.approx((np.mean(sides[0]) - np.mean(sides[1])) / pooled)
    # The table has 1 metric over seeds and 6 over clusters: its share of alpha is one in seven.
    assert found.p == pytest.approx(min(1.0, 7 * float(expected.pvalue)))


def test_exchanging_the_sides_exchanges_everything(two: Path) -> None:
    for ours, theirs in zip(only(two).metrics, only(two, "two", "one").metrics, strict=True):
        for gap, turned in ((ours.difference, theirs.difference), (ours.effect, theirs.effect)):
            assert gap.value == pytest.approx(-turned.value)  # type: ignore[operator]
            if gap.lo is not None:
                assert (gap.lo, gap.hi) == pytest.approx((-turned.hi, -turned.lo), rel=1e-6)  # type: ignore[operator]
        assert (ours.p, ours.detectable) == (pytest.approx(theirs.p), pytest.approx(theirs.detectable))
        assert {ours.verdict, theirs.verdict} in ({"A better", "B better"}, {"no difference seen"})
        if ours.places is not None:
            assert (ours.places.count.a, ours.places.count.b) == (theirs.places.count.b, theirs.places.count.a)  # type: ignore[union-attr]


def test_a_method_against_itself_differs_in_nothing(two: Path) -> None:
    for metric in only(two, "one", "one").metrics:
        assert (metric.difference.value, metric.better) == (0, None)
        assert metric.p in (None, 1.0)  # over seeds there is still a spread to test against
        assert metric.verdict == "no difference seen"
        if metric.places is not None:
            assert (metric.places.count.a, metric.places.count.b) == (0, 0)
    for table in compare(two, two).tables:
        assert {metric.better for metric in table.metrics} == {None}


def test_equal_methods_are_not_told_apart_and_it_is_said_what_could_not_be_seen(tmp_path: Path) -> None:
    three(tmp_path, "one", GOOD)
    three(tmp_path, "two", GOOD)
    found = of(only(tmp_path), "fvu")
    assert found.verdict == "no difference seen"
    assert found.detectable is not None
    assert abs(found.difference.value or 0) < found.detectable < 0.05


def test_unmatched_l0_is_said_and_no_side_is_called_better(tmp_path: Path) -> None:
    three(tmp_path, "one", LOOSE)
    three(tmp_path, "two", WEAK)
    table = only(tmp_path, margins={"fvu": 1.0})
    assert (table.matched, table.l0_a, table.l0_b) == (False, pytest.approx(71, rel=0.01), pytest.approx(64, rel=0.01))
    assert {metric.verdict for metric in table.metrics} == {"unmatched L0"}
    assert of(table, "fvu").margin.verdict == "inconclusive"  # type: ignore[union-attr]


@pytest.mark.parametrize(("l0", "matched"), [(67.1, True), (67.4, False), (61.1, True), (60.7, False)])
def test_l0_may_differ_by_5_percent(tmp_path: Path, l0: float, matched: bool) -> None:
    for name, value in (("one", 64.0), ("two", l0)):
        measured = parts(GOOD, 48, 0, name)
        save(tmp_path, Case(), Cell(name), measured | {"l0": measured["n"] * value})
    assert only(tmp_path).matched is matched


def test_few_seeds_failed_seeds_and_controls_are_said(tmp_path: Path) -> None:
    save(tmp_path, Case(), Cell("one", 0))
    save(tmp_path, Case(), Cell("one", 1, failed="NaN"))
    save(tmp_path, Case(), Cell("pca", 0, WEAK, "floor", seeded=False))
    notes = " ".join(only(tmp_path, "one", "pca").notes)
    assert "since seeds are missing: A: seed 1 failed." in notes
    assert "A: seed 1 failed; the seeds that are left may flatter it" in notes
    assert "B is a control (floor)" in notes
    assert "B: 1 of" not in notes  # nothing varies in it


@pytest.mark.parametrize(
    ("seeds_a", "seeds_b"), [((0, 1), (0, 1)), ((0,), (0,)), ((0,), (0, 1, 2)), ((0, 1, 2), (0, 1))]
)
def test_a_difference_is_no_verdict_below_the_seeds_of_a_rank(
    tmp_path: Path, seeds_a: tuple[int, ...], seeds_b: tuple[int, ...]
) -> None:
    for name, quality, seeds in (("one", GOOD, seeds_a), ("two", WEAK, seeds_b)):
        for seed in seeds:
            save(tmp_path, Case(), Cell(name, seed, quality))
    table = only(tmp_path, margins={"fvu": 0.5})
    fvu = of(table, "fvu")
    assert (fvu.verdict, fvu.better, fvu.p) == ("too few seeds", None, None)
    assert fvu.difference.excludes_0  # shown all the same
    assert "of the 3 seeds a rank needs" in (fvu.why or "")
    assert fvu.margin is not None
    assert fvu.margin.verdict == "inconclusive"
    assert table.notes[0].startswith("No side is called better, since seeds are missing: ")


def test_a_comparison_of_two_methods_is_the_boards_test_of_the_pair() -> None:
    """One rule: where one metric is asked of one pair, p is that of the board's tie groups."""
    sides = [[parts(quality, 48, seed, name) for seed in (0, 1, 2)] for name, quality in (("one", GOOD), ("two", GOOD))]
    metric = get_metric("fvu")
    (p,) = adjusted([Numbers(metric, *sides)]).values()
    board = tie_groups({str(i): metric_pseudo_values(metric, side) for i, side in enumerate(sides)}, "down")
    assert p == pytest.approx(board.p["0", "1"], abs=2e-4)
    assert 0.05 < p < 0.95


def test_a_method_without_randomness_is_fixed_beside_seeds(tmp_path: Path) -> None:
    three(tmp_path, "one", GOOD)
    save(tmp_path, Case(), Cell("pca", 0, WEAK, "floor", seeded=False))
    table = only(tmp_path, "one", "pca")
    assert (table.seeds_a, table.seeds_b) == (3, 1)
    dead = of(table, "dead_frac")
    values = [get_metric("dead_frac").point(parts(GOOD, 48, seed, "one"))[0] for seed in (0, 1, 2)]
    fixed = get_metric("dead_frac").point(parts(WEAK, 48, 0, "pca"))[0]
    ends = stats.ttest_1samp(values, fixed).confidence_interval(0.95)
    assert (dead.difference.lo, dead.difference.hi) == pytest.approx((ends.low - fixed, ends.high - fixed))  # type: ignore[operator]
    assert of(table, "fvu").verdict == "A better"
    assert of(table, "fvu").detectable is not None


def test_margins_and_deltas(two: Path) -> None:
    table = only(two, margins={"fvu": 0.01, "agree1": 0.05}, deltas={"fvu": 0.01, "dead_frac": 0.01})
    assert of(table, "fvu").margin.verdict == "pass"  # type: ignore[union-attr]
    assert of(only(two, "two", "one", margins={"fvu": 0.01}), "fvu").margin.verdict == "fail"  # type: ignore[union-attr]
    needed, of_seeds = of(table, "fvu").needed, of(table, "dead_frac").needed
    assert needed is not None
    assert needed.clusters is not None
    assert of_seeds is not None
    assert of_seeds.clusters is None  # no number of clusters helps a metric over seeds
    assert of(table, "kl_splice").needed is None


def card(verdict: str, version: int = 1) -> ReliabilityCard:
    return ReliabilityCard(
        metric="fvu", version=version, task="gsm_symbolic", table="x", verdict=verdict,  # type: ignore[arg-type]
        checks={"permutation": Check(value=1.0, passed=verdict == "reliable")}, detectable={},
        provenance=CardProvenance(command="x", version="0", commit=None, dirty=None, finished="x"),
    )  # fmt: skip


@pytest.mark.parametrize(("found", "verdict"), [(card("diagnostic"), "diagnostic"), (card("reliable"), "A better"),
                                                (card("diagnostic", 0), "A better")])  # fmt: skip
def test_a_metric_whose_card_fails_gets_no_verdict(two: Path, found: ReliabilityCard, verdict: str) -> None:
    path = card_path(two / "cards", "gsm_symbolic", "fvu")
    path.parent.mkdir(parents=True)
    path.write_text(found.model_dump_json(), encoding="utf-8")
    metric = of(only(two), "fvu")
    assert metric.verdict == verdict
    assert metric.difference.lo is not None  # shown all the same
    assert (metric.p is None) == (verdict == "diagnostic")
    assert ("permutation" in (metric.why or "")) == (verdict == "diagnostic")


def planted(name: str, error_C: Array, labels: bool = False) -> dict[str, Array]:
    """Return parts whose squared error of cluster c is ``error_C[c]`` on equal clusters."""
    measured = parts(GOOD, error_C.size, 0, name)
    ones = np.ones(error_C.size)
    measured |= {"n": 100 * ones, "l0": 6400 * ones, "sxx": 100 * ones, "se": error_C, "x_gram": 0 * measured["x_gram"]}
    if labels:
        measured |= {"doc_label": np.repeat([0.0, 1.0], [20, 28]), "doc_cluster": np.arange(48.0)}
    return measured


def test_where_each_side_wins_by_cluster_and_class(tmp_path: Path) -> None:
    a_C, b_C = np.full(48, 10.0), np.full(48, 10.0)
    a_C[:20] -= np.linspace(1, 2, 20)  # A is better in the first class, most in cluster 19
    a_C[20:30] += np.linspace(2, 1, 10)  # and B in some of the second, most in cluster 20
    details = {"details": {"documents of algebra": 20.0, "documents of logic": 28.0}}
    for name, error_C in (("one", a_C), ("two", b_C)):
        save(tmp_path, Case(), Cell(name, seeded=False, change=details), planted(name, error_C, labels=True))
    places = of(only(tmp_path), "mse_elem").places
    assert places is not None
    assert (places.count.a, places.count.b, places.count.ties) == (20, 10, 18)
    assert [gap.cluster for gap in places.for_a] == [19, 18, 17, 16, 15]
    assert [gap.cluster for gap in places.for_b] == [20, 21, 22, 23, 24]
    assert places.for_a[0].tokens == 100
    algebra, logic = places.classes
    assert (algebra.name, algebra.count.a, algebra.count.b) == ("algebra", 20, 0)
    assert (logic.name, logic.count.b, logic.count.ties) == ("logic", 10, 18)
    whole = of(only(tmp_path), "mse_elem").difference.value
    assert (20 * algebra.difference.value + 28 * logic.difference.value) / 48 == pytest.approx(whole)  # type: ignore[operator]
    ends = stats.ttest_1samp((a_C - b_C)[:20], 0).confidence_interval(0.95)
    ratio = (algebra.difference.value or 0) / float((a_C - b_C)[:20].mean())
    assert (algebra.difference.lo, algebra.difference.hi) == pytest.approx((ends.low * ratio, ends.high * ratio))


def test_a_cluster_that_holds_the_spread_is_named(tmp_path: Path) -> None:
    a_C = np.full(48, 10.0) + np.random.default_rng(0).normal(0, 0.01, 48)
    a_C[7] = 60.0
    for name, error_C in (("one", a_C), ("two", np.full(48, 10.0))):
        save(tmp_path, Case(), Cell(name, seeded=False), planted(name, error_C))
    found = of(only(tmp_path), "mse_elem")
    # One value x among 47 zeros has (x - x/48)^2 of x^2 (1 - 1/48): the share 47/48.
    assert (found.verdict, found.why) == (
        "no difference seen", "cluster 7 alone holds 98 % of the spread, and the interval hangs on it"
    )  # fmt: skip


def test_a_constant_difference_has_no_interval_and_no_verdict(tmp_path: Path) -> None:
    for name, error in (("one", 10.0), ("two", 11.0)):
        save(tmp_path, Case(), Cell(name, seeded=False), planted(name, np.full(48, error)))
    found = of(only(tmp_path), "mse_elem")
    assert (found.verdict, found.p, found.difference.lo, found.better) == ("no interval", None, None, None)


def test_a_metric_without_value_has_a_reason(tmp_path: Path) -> None:
    for name in ("one", "two"):
        measured = planted(name, np.full(48, 10.0))
        save(tmp_path, Case(), Cell(name), {key: value for key, value in measured.items() if key != "kl"})
    found = of(only(tmp_path), "kl_splice")
    assert (found.verdict, found.a, found.why) == ("no value", None, "parts not measured: kl")


def test_what_is_not_compared_is_named(two: Path) -> None:
    three(two, "one", GOOD, Case("squad", "Reading", "other", 96))
    found = compare("one", "two", two)
    assert found.unpaired == ("squad: only one",)
    assert found.tables[0].left_out == (("l0", "has no better side"),)


def test_folders_are_compared_method_by_method(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    three(old, "one", WEAK, identity="a" * 24)
    three(new, "one", GOOD, identity="b" * 24)
    found = compare(new, old)
    assert (found.kind, found.tables[0].row) == ("folders", "one")
    assert of(found.tables[0], "fvu").verdict == "A better"
    assert found.tables[0].notes == ("Parameters or code of the method differ between the two folders.",)


def test_folders_with_other_clusters_are_not_paired(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    three(old, "one", GOOD)
    three(new, "one", GOOD, Case(clusters=40))
    with pytest.raises(UserError, match="measured on 40 and 48 clusters"):
        compare(new, old)


def test_refusals(two: Path) -> None:
    cases: list[tuple[str, dict[str, object]]] = [
        ("unknown method 'onee'.*Did you mean 'one'", {"a": "onee"}),
        ("is a folder of results and 'two' is none", {"a": two}),
        ("--run: .* holds no results", {"run": two / "nowhere"}),
        ("--task: unknown task 'gsm'", {"tasks": ["gsm"]}),
        ("--margin: unknown metric 'fuv'.*Did you mean 'fvu'", {"margins": {"fuv": 0.1}}),
        ("--margin: unknown metric 'l0'", {"margins": {"l0": 0.1}}),
        ("--delta fvu: must be above 0, got -0.1", {"deltas": {"fvu": -0.1}}),
    ]
    for message, change in cases:
        given: dict[str, object] = {"a": "one", "b": "two", "run": two} | change
        with pytest.raises(UserError, match=message):
            compare(**given)  # type: ignore[arg-type]
    save(two, Case(), Cell("broken", 0, failed="NaN"))
    with pytest.raises(UserError, match="broken has no measured cell"):
        compare("one", "broken", two)


def test_the_python_interface(two: Path) -> None:
    assert harness.compare("one", "two", two) == compare("one", "two", two)
