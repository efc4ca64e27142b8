from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from test_stats_crossed import mean_metric, parts_of

from harness.stats.crossed import crossed_t, difference_se
from harness.stats.estimate import Estimate, Plan
from harness.stats.paired import difference, items_needed, mcnemar, non_inferior, sign_flip
from harness.stats.resample import cluster_weights

Array = NDArray[np.float64]


def test_difference_is_paired_and_recomputes_the_ratios() -> None:
    rng = np.random.default_rng(0)
    n = rng.integers(10, 200, 80).astype(float)
    easy = rng.normal(0, 3, 80)
    a, b = n * (easy + 0.5 + rng.normal(0, 0.1, 80)), n * easy
    found = difference(mean_metric(), [parts_of(a, n)], [parts_of(b, n)])
    replicates = [(w @ a) / (w @ n) - (w @ b) / (w @ n) for w in cluster_weights(80, 2000, 0)]
    assert found.value == pytest.approx((a.sum() - b.sum()) / n.sum())
    assert (found.lo, found.hi) == pytest.approx(tuple(np.quantile(replicates, [0.025, 0.975])))
    assert found.hi - found.lo < 0.1  # type: ignore[operator]  # unpaired it would be above 1


def test_difference_with_seeds_is_the_crossed_t_of_the_differences() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, (3, 20)), rng.normal(0, 1, (3, 20))
    found = difference(mean_metric(), [parts_of(x) for x in a], [parts_of(x) for x in b])
    assert (found.how, found.seeds) == ("crossed-t", 3)
    assert found.value == pytest.approx((a - b).mean())
    assert (found.lo, found.hi) == pytest.approx((crossed_t(a - b).lo, crossed_t(a - b).hi))
    unrelated = difference(
        mean_metric(), [parts_of(x) for x in a], [parts_of(x) for x in b[[2, 0, 1]]], paired_seeds=False
    )
    se, df = difference_se(a, b)  # the order of seeds is nothing to it
    assert unrelated.hi - unrelated.value == pytest.approx(stats.t.isf(0.025, df) * se)  # type: ignore[operator]
    unequal = difference(mean_metric(), [parts_of(x) for x in a], [parts_of(x) for x in b[:2]])
    assert unequal.value == pytest.approx(a.mean() - b[:2].mean())
    assert unequal.lo < unequal.value < unequal.hi  # type: ignore[operator]


def test_difference_over_seeds() -> None:
    metric = mean_metric(interval="seeds")
    a, b = np.array([1.0, 2, 4]), np.array([3.0, 5])
    found = difference(metric, [parts_of(np.full(2, v)) for v in a], [parts_of(np.full(2, v)) for v in b])
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (found.lo, found.hi) == pytest.approx(tuple(expected))
    without = difference(mean_metric(interval="none"), [parts_of(a)] * 2, [parts_of(a + 1)])
    assert (without.value, without.lo) == (pytest.approx(-1), None)


def test_what_difference_cannot_do() -> None:
    metric, good = mean_metric(), parts_of(np.arange(5.0))
    with pytest.raises(ValueError, match="parts of 4 and of 5 clusters"):
        difference(metric, [good], [parts_of(np.ones(4))])
    found = difference(metric, [good], [parts_of(np.ones(5), np.zeros(5))])
    assert (found.value, found.reason) == (None, "no tokens")
    one = difference(metric, [parts_of(np.ones(1))] * 2, [parts_of(np.ones(1))])
    assert (one.value, one.reason) == (0, "one cluster has no spread")
    assert difference(metric, [good], [good]).how == "constant"


def naive_sign_flip(differences: Array) -> float:
    observed = abs(differences.mean())
    means = [abs((differences * signs).mean()) for signs in product([1, -1], repeat=differences.size)]
    return float(np.mean([mean >= observed - 1e-12 for mean in means]))


def test_sign_flip_known_value() -> None:
    assert sign_flip(np.array([1.0, 2, 3, 4])) == 0.125


@pytest.mark.parametrize("n", [2, 5, 12])
def test_sign_flip_is_exact_for_few_clusters(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    assert sign_flip(differences) == pytest.approx(naive_sign_flip(differences))


def test_sign_flip_of_many_clusters_is_never_0_and_repeats() -> None:
    rng = np.random.default_rng(0)
    assert sign_flip(rng.normal(5, 1, 40)) == 1 / 10_000
    differences = rng.normal(0.3, 1, 40)
    assert sign_flip(differences) == sign_flip(differences)
    assert sign_flip(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.02)
    assert sign_flip(np.zeros(40)) == 1


def test_sign_flip_refuses_what_it_cannot_test() -> None:
    with pytest.raises(ValueError, match="at least 2 differences, all finite; got 1"):
        sign_flip(np.ones(1))
    with pytest.raises(ValueError, match="got 3, of which 2 are finite"):
        sign_flip(np.array([1, np.nan, 2]))


@pytest.mark.parametrize(
    ("counts", "p"),
    [((2, 10), 0.0385742), ((10, 2), 0.0385742), ((0, 4), 0.125), ((1, 9), 0.0214844), ((5, 5), 1), ((0, 0), 1)],
)
def test_mcnemar_known_values(counts: tuple[int, int], p: float) -> None:
    assert mcnemar(*counts) == pytest.approx(p, abs=1e-7)
    if sum(counts):
        assert mcnemar(*counts) == pytest.approx(min(1, 2 * stats.binom.cdf(min(counts), sum(counts), 0.5)))


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="got -1 and 3"):
        mcnemar(-1, 3)


def change(lo: float, hi: float) -> Estimate:
    return Estimate((lo + hi) / 2, lo, hi, 0.9, "percentile", 50)


@pytest.mark.parametrize(
    ("ends", "up", "down"),
    [
        ((-0.02, 0.05), "pass", "inconclusive"),
        ((-0.05, 0.02), "inconclusive", "pass"),
        ((-0.09, -0.04), "fail", "pass"),
        ((0.04, 0.09), "pass", "fail"),
        ((-0.05, 0.05), "inconclusive", "inconclusive"),
    ],
)
def test_non_inferiority_looks_at_the_worse_side_only(ends: tuple[float, float], up: str, down: str) -> None:
    assert non_inferior(mean_metric("up"), change(*ends), 0.03) == up
    assert non_inferior(mean_metric("down"), change(*ends), 0.03) == down


def test_non_inferiority_without_interval() -> None:
    metric, parts = mean_metric(), [parts_of(np.arange(50.0))]
    assert non_inferior(metric, difference(metric, parts, parts, Plan(level=0.9)), 0.03) == "pass"
    lower = [parts_of(np.arange(50.0) - 0.5)]
    assert non_inferior(metric, difference(metric, lower, parts, Plan(level=0.9)), 0.03) == "fail"
    nothing = Estimate(None, None, None, 0.9, "none", 50, reason="no tokens")
    assert non_inferior(metric, nothing, 0.03) == "inconclusive"
    with pytest.raises(ValueError, match=r"must not be negative, got -0\.1"):
        non_inferior(metric, nothing, -0.1)
    with pytest.raises(ValueError, match="direction 'target'"):
        non_inferior(mean_metric("target"), change(0, 1), 0.03)


def test_items_needed() -> None:
    assert (items_needed(0.05, 0.03), items_needed(0.10, 0.03)) == (344, 687)


def test_the_sample_size_reaches_its_power() -> None:
    items = items_needed(0.1, 0.03)
    rng = np.random.default_rng(0)
    deltas = rng.choice([-1, 0, 1], p=[0.05, 0.9, 0.05], size=(4000, items))
    bound = deltas.mean(1) - stats.norm.isf(0.05) * deltas.std(1, ddof=1) / np.sqrt(items)
    assert np.mean(bound > -0.03) == pytest.approx(0.8, abs=0.03)
