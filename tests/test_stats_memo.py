"""Remembered metrics give what metrics give, and are asked once; t and BH as scipy has them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from test_stats_crossed import mean_metric, parts_of

from harness.metrics.contract import Array, Metric, NotComputableError, Parts
from harness.stats.margins import margin
from harness.stats.memo import remembered
from harness.stats.multiplicity import benjamini_hochberg
from harness.stats.resample import cluster_weights, leave_one_out
from harness.stats.student import t_quantile, t_tail
from harness.stats.summary import metric_pseudo_values, summarise


def counted(calls: list[int]) -> Metric:
    metric = mean_metric()

    def value(parts: Parts, w: Array) -> Array:
        calls.append(w.ndim)
        return metric.value(parts, w)

    return Metric(**{**vars(metric), "value": value})


@pytest.fixture
def methods() -> list[list[dict[str, Array]]]:
    rng = np.random.default_rng(0)
    return [
        [parts_of(rng.normal(mean, 1, 20), l0=5.0) for _ in range(seeds)] for mean, seeds in ((1, 3), (0, 3), (0, 1))
    ]


def test_everything_a_board_asks_is_bit_for_bit_the_same(methods: list[list[dict[str, Array]]]) -> None:
    plain, kept = mean_metric(), remembered(mean_metric())
    controls = {"a": methods[1], "b": methods[2]}
    for _ in range(2):
        assert margin(kept, methods[0], controls) == margin(plain, methods[0], controls)
        for method in methods:
            assert summarise(kept, method) == summarise(plain, method)
            np.testing.assert_array_equal(metric_pseudo_values(kept, method), metric_pseudo_values(plain, method))


def test_the_point_and_the_values_without_each_cluster_are_computed_once(
    methods: list[list[dict[str, Array]]],
) -> None:
    calls: list[int] = []
    kept = remembered(counted(calls))
    for _ in range(3):
        kept.point(methods[0][0])
        summarise(kept, methods[0])
        metric_pseudo_values(kept, methods[0])
    assert sorted(calls) == [1, 1, 1, 2, 2, 2], "once a seed at the point, and once without each cluster"


def test_weights_that_can_change_are_never_remembered(methods: list[list[dict[str, Array]]]) -> None:
    kept, w = remembered(mean_metric()), np.eye(20)
    before = kept.of_seeds(methods[0], w).copy()
    w[:] = w[::-1].copy()
    np.testing.assert_array_equal(kept.of_seeds(methods[0], w), before[:, ::-1])
    for shared in (leave_one_out(20), cluster_weights(20, 100, 0)):
        with pytest.raises(ValueError, match="read-only"):
            shared[0, 0] = 7
        with pytest.raises(ValueError, match="read-only"):
            kept.of_seeds(methods[0], shared)[0, 0] = 7


def test_what_has_no_value_says_so_every_time() -> None:
    kept = remembered(mean_metric())
    empty = [parts_of(np.ones(3), np.zeros(3))]
    for _ in range(2):
        assert kept.point(empty[0]) == (None, "no tokens")
        with pytest.raises(NotComputableError, match="no tokens"):
            metric_pseudo_values(kept, empty)


def test_students_t_is_that_of_scipy() -> None:
    t, df = np.meshgrid([0.0, 0.3, 2.0, 40.0, 1e9, np.inf], [1.0, 2.5, 30.0, 99.0])
    tail = t_tail(t, df)
    np.testing.assert_array_equal(tail, stats.t.sf(t, df))
    np.testing.assert_array_equal(t_quantile(tail, df), stats.t.isf(tail, df))
    assert float(t_quantile(0.025, 7)) == stats.t.isf(0.025, 7)


def test_false_discovery_control_is_that_of_scipy() -> None:
    p = np.random.default_rng(0).random(200) ** 3
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p), rtol=1e-15)
