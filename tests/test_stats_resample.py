from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.metrics.contract import NotComputableError, ratio
from harness.stats.estimate import Plan
from harness.stats.resample import cluster_weights, interval, jackknife_se, leave_one_out

Array = NDArray[np.float64]


def mean_of(values_C: Array):  # type: ignore[no-untyped-def]
    return lambda w: np.asarray((w @ values_C) / w.sum(-1))


def ratio_of(top_C: Array, bottom_C: Array):  # type: ignore[no-untyped-def]
    return lambda w: ratio(w @ top_C, w @ bottom_C, "nothing below")


def test_weights_are_counts_of_draws_and_the_same_for_everyone() -> None:
    weights = cluster_weights(30, 500, 7)
    assert weights.shape == (500, 30)
    assert (weights.sum(1) == 30).all()
    assert (weights == cluster_weights(30, 500, 7)).all()
    assert (weights != cluster_weights(30, 500, 8)).any()
    assert not weights.flags.writeable


def test_weights_are_multinomial() -> None:
    weights = cluster_weights(10, 20_000, 0)
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.03)
    np.testing.assert_allclose(weights.var(0), 0.9, atol=0.05)
    drawn = np.bincount(weights[:, 0].astype(int), minlength=11)
    expected = 20_000 * stats.binom.pmf(np.arange(11), 10, 0.1)
    kept = expected > 5
    assert stats.chisquare(drawn[kept], expected[kept] * drawn[kept].sum() / expected[kept].sum()).pvalue > 1e-3


def test_weights_do_not_change_with_the_version_of_numpy() -> None:
    assert cluster_weights(5, 2, 0).tolist() == [[2, 1, 0, 1, 1], [0, 0, 1, 2, 2]]
    drawn = (np.random.default_rng(0).random((2, 5)) * 5).astype(int)
    assert [np.bincount(row, minlength=5).tolist() for row in drawn] == cluster_weights(5, 2, 0).tolist()


def test_jackknife_of_a_mean_is_the_textbook_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=25)
    left_out = mean_of(values)(leave_one_out(25))
    assert jackknife_se(left_out) == pytest.approx(stats.sem(values), rel=1e-12)


def test_percentile_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).gamma(2, 1, 80)
    ours = interval(mean_of(values), 80, Plan(resamples=20_000))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", random_state=0)
    assert ours.how == "percentile"
    assert ours.value == pytest.approx(values.mean())
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.lo == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
    assert ours.hi == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)


def test_percentile_interval_covers_and_is_as_wide_as_the_analytic_one() -> None:
    sets = np.random.default_rng(0).normal(0.3, 1, (200, 100))
    found = [interval(mean_of(values), 100) for values in sets]
    covered = np.mean([e.lo <= 0.3 <= e.hi for e in found])  # type: ignore[operator]
    analytic = 2 * stats.norm.isf(0.025) * sets.std(1, ddof=1) / 10
    widths = np.array([e.hi - e.lo for e in found]) / analytic  # type: ignore[operator]
    assert 0.90 <= covered <= 0.98
    assert widths.min() >= 0.9
    assert widths.max() <= 1.1


def naive_bootstrap_t(top: Array, bottom: Array, weights: Array) -> tuple[float, float]:
    """Bootstrap-t of a ratio of sums, one resample and one left-out draw at a time."""

    def se_of(index: Array) -> float:
        left = [np.delete(top[index], i).sum() / np.delete(bottom[index], i).sum() for i in range(len(index))]
        return float(np.sqrt((len(index) - 1) * np.var(left)))

    value, se = top.sum() / bottom.sum(), se_of(np.arange(len(top)))
    index_RC = [np.repeat(np.arange(len(top)), w.astype(int)) for w in weights]
    t = [(top[i].sum() / bottom[i].sum() - value) / se_of(i) for i in index_RC]
    low, high = np.quantile(t, [0.025, 0.975], method="inverted_cdf")
    return value - high * se, value - low * se


def test_studentised_interval_agrees_with_a_loop() -> None:
    rng = np.random.default_rng(2)
    bottom = rng.integers(20, 200, 12).astype(float)
    top = bottom * rng.lognormal(0, 0.5, 12)
    found = interval(ratio_of(top, bottom), 12, Plan(resamples=200, seed=3))
    assert found.how == "bootstrap-t"
    assert (found.lo, found.hi) == pytest.approx(naive_bootstrap_t(top, bottom, cluster_weights(12, 200, 3)))


def test_a_cluster_that_was_not_drawn_is_not_left_out() -> None:
    bottom = np.r_[np.ones(9), 100.0]  # without it, once more than it was drawn, the denominator would be negative
    top = bottom * np.random.default_rng(0).normal(1, 0.2, 10)
    found = interval(lambda w: ratio(w @ top, w @ bottom, above=0.0), 10, Plan(resamples=400))
    assert found.how == "bootstrap-t"


def test_studentised_interval_covers_skewed_clusters_better_than_percentiles() -> None:
    sets = np.random.default_rng(0).lognormal(0, 1, (1000, 15))
    truth, plan, weights = np.exp(0.5), Plan(resamples=400), cluster_weights(15, 400, 0) / 15
    studentised = [interval(mean_of(values), 15, plan) for values in sets]
    percentile = np.quantile(sets @ weights.T, [0.025, 0.975], axis=1)
    covered = np.mean([e.lo <= truth <= e.hi for e in studentised])  # type: ignore[operator]
    assert {e.how for e in studentised} == {"bootstrap-t"}
    assert covered > np.mean((percentile[0] <= truth) & (truth <= percentile[1])) + 0.05
    assert covered > 0.87


def test_very_few_clusters_get_a_t_interval_and_say_so() -> None:
    values = np.array([1.0, 2, 4, 4])
    found = interval(mean_of(values), 4)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.how == "jackknife-t"
    assert (found.lo, found.hi) == pytest.approx(tuple(expected))
    assert found.reason == "4 clusters are too few for a bootstrap"


def test_clusters_that_repeat_get_a_t_interval_and_say_so() -> None:
    found = interval(mean_of(np.array([0.0, 0, 0, 0, 0, 0, 0, 1])), 8)
    assert found.how == "jackknife-t"
    assert found.reason == "too many resamples without spread for a studentised bootstrap"
    assert np.isfinite([found.lo, found.hi]).all()  # type: ignore[list-item]


@pytest.mark.parametrize("clusters", [3, 12, 60])
def test_equal_clusters_have_no_interval_and_a_reason(clusters: int) -> None:
    found = interval(mean_of(np.full(clusters, 0.1)), clusters)
    assert found.value == pytest.approx(0.1)
    assert (found.lo, found.hi, found.how) == (None, None, "constant")
    assert "same value" in str(found.reason)


def test_one_cluster_has_no_interval_and_a_reason() -> None:
    found = interval(mean_of(np.ones(1)), 1)
    assert (found.value, found.lo, found.how, found.reason) == (1.0, None, "none", "one cluster has no spread")


def test_a_point_without_value_keeps_its_reason() -> None:
    found = interval(ratio_of(np.ones(5), np.zeros(5)), 5)
    assert (found.value, found.lo, found.reason) == (None, None, "nothing below")
    assert interval(mean_of(np.full(5, np.nan)), 5).reason == "not finite on these data"


def test_resamples_without_value_are_dropped_when_few_and_named_when_many() -> None:
    top = np.random.default_rng(0).normal(5, 1, 50)
    many, few = np.zeros(50), np.zeros(50)
    many[:2], few[:6] = 1, 1
    assert interval(ratio_of(top, few), 50).how == "percentile"
    found = interval(ratio_of(top, many), 50)
    assert found.value is not None
    assert found.lo is None
    assert "not computable in" in str(found.reason)
    small = interval(ratio_of(top[:6], np.r_[1.0, np.zeros(5)]), 6)
    assert small.reason == "not computable without cluster 0"


def test_errors_of_the_statistic_reach_the_caller_unless_they_mean_no_value() -> None:
    def broken(w: Array) -> Array:
        raise ZeroDivisionError

    def without(w: Array) -> Array:
        raise NotComputableError("no")

    with pytest.raises(ZeroDivisionError):
        interval(broken, 5)
    assert interval(without, 5).reason == "no"


def test_plan_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 95"):
        Plan(level=95)
    with pytest.raises(ValueError, match="resamples must be at least 100, got 5"):
        Plan(resamples=5)
    with pytest.raises(ValueError, match="clusters must be at least 1, got 0"):
        cluster_weights(0, 100, 0)
