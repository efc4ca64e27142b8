from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.metrics.contract import Metric, Parts, ratio
from harness.stats.crossed import crossed_se, crossed_t, difference_se, difference_ses, pseudo_values
from harness.stats.estimate import Plan
from harness.stats.seeds import seeds_t, seeds_welch, welch
from harness.stats.summary import metric_pseudo_values, summarise

Array = NDArray[np.float64]


def mean_metric(direction: str = "up", interval: str = "clusters") -> Metric:
    """Return the metric ``total / n``."""

    def value(parts: Parts, w: Array) -> Array:
        return ratio(w @ parts["total"], w @ parts["n"], "no tokens")

    return Metric(
        "mean", "1", direction, 1, "x", interval, "x", ("total", "n"), ("t",), direction != "target", "A mean.",
        "mean = total / n", value  # type: ignore[arg-type]
    )  # fmt: skip


def parts_of(total_C: Array, n_C: Array | None = None, l0: float | None = None) -> dict[str, Array]:
    n_C = np.ones(total_C.size) if n_C is None else n_C
    return {"n": n_C, "total": total_C} | ({} if l0 is None else {"l0": l0 * n_C})


def table(rng: np.random.Generator, sizes: tuple[int, int], sd: tuple[float, float, float], sets: int) -> Array:
    """Return ``sets`` tables ``[S, C]`` with mean 0 and given seed, cluster and residual spread."""
    seeds, clusters = sizes
    by_seed, by_cluster = rng.normal(0, sd[0], (sets, seeds, 1)), rng.normal(0, sd[1], (sets, 1, clusters))
    return np.asarray(by_seed + by_cluster + rng.normal(0, sd[2], (sets, seeds, clusters)))


def test_pseudo_values_of_a_mean_are_the_clusters_values() -> None:
    values = np.random.default_rng(0).normal(size=(3, 9))
    parts = [parts_of(row) for row in values]
    np.testing.assert_allclose(metric_pseudo_values(mean_metric(), parts), values, rtol=1e-10)


def test_pseudo_values_average_to_the_point_value_of_a_ratio() -> None:
    rng = np.random.default_rng(0)
    top, bottom = rng.lognormal(size=(2, 11)), rng.lognormal(size=11)
    pseudo = pseudo_values(lambda w: np.stack([ratio(w @ row, w @ bottom) for row in top]), 11)
    np.testing.assert_allclose(pseudo.mean(1), top.sum(1) / bottom.sum(), rtol=1e-12)
    linear = (top - (top.sum(1) / bottom.sum())[:, None] * bottom) / bottom.mean()
    assert pseudo[0].std() == pytest.approx(linear[0].std(), rel=0.2)


def test_crossed_se_from_the_mean_squares_by_hand() -> None:
    values = np.array([[1.0, 2, 6], [3, 3, 8]])
    mean_s, mean_c, mean = [3, 14 / 3], [2, 2.5, 7], 23 / 6
    seeds = 3 * sum((m - mean) ** 2 for m in mean_s) / 1
    clusters = 2 * sum((m - mean) ** 2 for m in mean_c) / 2
    rest = sum((values[s, c] - mean_s[s] - mean_c[c] + mean) ** 2 for s in range(2) for c in range(3)) / 2
    total = seeds + clusters - rest
    se, df = crossed_se(values)
    assert se == pytest.approx(np.sqrt(total / 6))
    assert df == pytest.approx(total**2 / (seeds**2 / 1 + clusters**2 / 2 + rest**2 / 2))


def test_a_negative_seed_component_counts_as_0() -> None:
    values = np.random.default_rng(0).normal(size=(3, 12)) + 3 * np.arange(12)
    values -= values.mean(1, keepdims=True)  # all seeds have the same mean, so seeds vary less than chance
    se, df = crossed_se(values)
    assert (se, df) == pytest.approx((values.mean(0).std(ddof=1) / np.sqrt(12), 11))


def test_one_seed_and_a_method_without_randomness_reduce_to_the_cluster_t() -> None:
    values = np.random.default_rng(0).normal(size=(1, 30))
    expected = stats.ttest_1samp(values[0], 0).confidence_interval(0.95)
    for seeds in (1, 3):
        found = crossed_t(np.repeat(values, seeds, axis=0))
        assert (found.lo, found.hi) == pytest.approx(tuple(expected))
        assert found.seed_sd is None if seeds == 1 else found.seed_sd == pytest.approx(0, abs=1e-12)


def test_seeds_alone_reduce_to_the_seeds_t() -> None:
    values = np.repeat(np.array([[1.0], [2.0], [4.0]]), 20, axis=1)
    found, expected = crossed_t(values), seeds_t(values[:, 0], 20, Plan())
    assert (found.lo, found.hi, found.seed_sd) == pytest.approx((expected.lo, expected.hi, expected.seed_sd))


@pytest.mark.parametrize("sd", [(0.0, 1.0, 1.0), (0.1, 1.0, 0.3), (0.3, 1.0, 0.3), (1.0, 0.1, 0.1), (0.0, 0.0, 1.0)])
def test_crossed_interval_of_three_seeds_covers(sd: tuple[float, float, float]) -> None:
    tables = table(np.random.default_rng(0), (3, 60), sd, 400)
    found = [crossed_t(values) for values in tables]
    assert np.mean([e.lo <= 0 <= e.hi for e in found]) > 0.915  # type: ignore[operator]
    if sd[0] == 0.3:  # resampling clusters alone takes the seeds for the population, and covers far too little
        alone = tables.mean(1).std(1, ddof=1) / np.sqrt(60)
        assert np.mean(np.abs(tables.mean((1, 2))) <= 2 * alone) < 0.85


def test_difference_of_unequal_numbers_of_seeds_covers() -> None:
    rng = np.random.default_rng(1)
    a, b = table(rng, (5, 40), (0.3, 1, 0.3), 500), table(rng, (3, 40), (0.2, 1, 0.3), 500)
    se_df = np.array([difference_se(x, y) for x, y in zip(a, b, strict=True)])
    shift = np.abs(a.mean((1, 2)) - b.mean((1, 2)))
    covered = np.mean(shift <= stats.t.isf(0.025, se_df[:, 1]) * se_df[:, 0])
    assert 0.92 < covered < 0.98


@pytest.mark.parametrize("sd", [(0.0, 1.0, 1.0), (0.3, 1.0, 0.3), (1.0, 0.0, 0.3), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)])
def test_many_pairs_at_once_agree_with_one_pair_at_a_time(sd: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(2)
    sides = [table(rng, (seeds, 17), sd, 1)[0] for seeds in (1, 1, 3, 5, 3, 2)]
    first, second = np.triu_indices(len(sides), 1)
    found = np.stack(difference_ses(sides, first, second), axis=1)
    expected = [difference_se(sides[i], sides[j]) for i, j in zip(first, second, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_difference_to_one_seed_takes_it_as_fixed() -> None:
    for a in table(np.random.default_rng(0), (3, 20), (0.3, 0.5, 1), 20):
        assert difference_se(a, np.zeros((1, 20))) == pytest.approx(crossed_se(a), rel=1e-9)


def test_summarise_picks_the_interval_by_seeds_and_clusters() -> None:
    rng = np.random.default_rng(0)
    metric = mean_metric()
    cases = {(1, 50): "percentile", (1, 20): "bootstrap-t", (1, 3): "jackknife-t", (3, 20): "crossed-t"}
    for (seeds, clusters), how in cases.items():
        parts = [parts_of(rng.normal(5, 1, clusters)) for _ in range(seeds)]
        found = summarise(metric, parts)
        assert (found.how, found.seeds, found.clusters) == (how, seeds, clusters)
        assert found.value == pytest.approx(np.mean([p["total"].mean() for p in parts]))
        assert found.lo < found.value < found.hi  # type: ignore[operator]
        assert (found.seed_sd is None) == (seeds == 1)


def test_metrics_over_seeds_get_the_t_interval_of_the_seeds() -> None:
    parts = [parts_of(np.full(4, value)) for value in (1.0, 2.0, 6.0)]
    found = summarise(mean_metric(interval="seeds"), parts)
    expected = stats.ttest_1samp([1, 2, 6], 0).confidence_interval(0.95)
    assert (found.lo, found.hi) == pytest.approx(tuple(expected))
    assert found.how == "seeds-t"
    one = summarise(mean_metric(interval="seeds"), parts[:1])
    assert (one.value, one.lo, one.reason) == (1.0, None, "an interval over seeds needs at least 2 seeds")
    equal = summarise(mean_metric(interval="seeds"), [parts[0]] * 3)
    assert (equal.lo, equal.how, equal.seeds) == (None, "constant", 3)


def test_metrics_without_interval_keep_their_value() -> None:
    found = summarise(mean_metric(interval="none"), [parts_of(np.ones(4)), parts_of(np.full(4, 3.0))])
    assert (found.value, found.lo, found.reason) == (2.0, None, "the metric has no interval")


def test_what_summarise_cannot_do() -> None:
    metric, good = mean_metric(), parts_of(np.arange(5.0))
    empty = parts_of(np.zeros(5), np.zeros(5))
    assert summarise(metric, [empty]).reason == "no tokens"
    found = summarise(metric, [good, empty])
    assert (found.value, found.reason) == (None, "seed number 1: no tokens")
    assert summarise(metric, [{"n": np.ones(3)}]).reason == "parts not measured: total"
    with pytest.raises(ValueError, match="parts of 4 and of 5 clusters"):
        summarise(metric, [good, parts_of(np.ones(4))])
    with pytest.raises(ValueError, match="no parts were given"):
        summarise(metric, [])
    single = summarise(metric, [parts_of(np.ones(1)), parts_of(np.ones(1))])
    assert (single.value, single.reason) == (1.0, "one cluster has no spread")
    same = summarise(metric, [parts_of(np.ones(5))] * 2)
    assert (same.lo, same.how) == (None, "constant")


def test_a_cluster_that_carries_everything_is_named_as_the_obstacle() -> None:
    parts = parts_of(np.array([1.0, 0, 0]), np.array([3.0, 0, 0]))
    found = summarise(mean_metric(), [parts, parts])
    assert (found.value, found.lo) == (pytest.approx(1 / 3), None)
    assert found.reason == "not computable when one cluster is left out"


def test_pseudo_values_need_clusters() -> None:
    with pytest.raises(ValueError, match="at least 2 clusters, got 1"):
        metric_pseudo_values(mean_metric(), [parts_of(np.ones(1))])
    with pytest.raises(ValueError, match="interval 'seeds'; pseudo-values need 'clusters'"):
        metric_pseudo_values(mean_metric(interval="seeds"), [parts_of(np.ones(3))])


def test_welch_agrees_with_scipy() -> None:
    a, b = np.array([1.0, 2, 4]), np.array([3.0, 5, 4, 9, 6])
    expected = stats.ttest_ind(a, b, equal_var=False)
    shift, se, df = welch(a, b)
    assert (shift / se, df) == pytest.approx((expected.statistic, expected.df))
    found = seeds_welch(a, b, 7, Plan(level=0.9))
    assert (found.lo, found.hi) == pytest.approx(tuple(expected.confidence_interval(0.9)))


def test_welch_with_a_side_that_does_not_vary() -> None:
    a, fixed = np.array([1.0, 2, 4]), np.array([5.0])
    expected = tuple(stats.ttest_1samp(a, 5).confidence_interval(0.95) - np.array(5.0))
    found = seeds_welch(a, fixed, 7, Plan())
    assert (found.lo, found.hi) == pytest.approx(expected)
    turned = seeds_welch(fixed, a, 7, Plan())
    assert (turned.lo, turned.hi) == pytest.approx((-expected[1], -expected[0]))
    assert seeds_welch(np.ones(2), np.ones(3), 7, Plan()).how == "constant"
