"""The detectable difference is the one that the test sees four times in five."""

from __future__ import annotations

import numpy as np
import pytest
from audit_worlds import Planted, parts, world
from scipy import stats

from harness.audits.detectable import detectable_differences
from harness.metrics.contract import get_metric

ROWS = [Planted("a", 0.7, 0.7, 0.3, noise=0.02), Planted("b", 0.8, 0.8, 0.2, noise=0.05)]


def test_over_seeds_welchs_test_sees_it_with_the_stated_power() -> None:
    found = detectable_differences(get_metric("mcc_over_g"), world(ROWS).evidence())[5]
    assert found is not None
    sd = [np.std([parts(row, seed)["cos_matched"][0] for seed in row.seeds], ddof=1) for row in ROWS]
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(20_000, 5)) * s for s in sd)
    p = stats.ttest_ind(a, b + found, axis=1, equal_var=False).pvalue
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.02)


def test_over_clusters_the_crossed_t_sees_it_with_the_stated_power() -> None:
    rows = [Planted(name, 0.7, 0.7, 0.3, noise=0.01) for name in "ab"]
    found = detectable_differences(get_metric("fvu"), world(rows).evidence())
    values = [np.array([parts(row, s)["se"] / parts(row, s)["sxx"] for s in row.seeds]) for row in rows]
    # Seeds shift a whole row; clusters add little here, so the paired t over seeds is the test.
    shift = (values[0] - values[1]).mean(1)
    assert np.std(shift, ddof=1) > 3 * np.std((values[0] - values[1])[0], ddof=1) / np.sqrt(values[0].shape[1])
    assert found[3] is not None
    rng = np.random.default_rng(1)
    seen = stats.ttest_1samp(found[3] + np.std(shift, ddof=1) * rng.normal(size=(20_000, 3)), 0, axis=1).pvalue < 0.05
    assert seen.mean() == pytest.approx(0.8, abs=0.05)


def test_more_seeds_see_less_and_one_seed_tells_no_methods_apart() -> None:
    for metric in ("fvu", "mcc_over_g"):
        found = detectable_differences(get_metric(metric), world(ROWS).evidence())
        assert found[1] is None
        rest = [found[seeds] for seeds in (2, 3, 4, 5)]
        assert all(value is not None for value in rest)
        assert rest == sorted(rest, reverse=True)  # type: ignore[type-var]


def test_without_seeds_nothing_is_claimed() -> None:
    rows = [Planted(row.name, row.finds, row.fires, row.fvu, seeds=(0,)) for row in ROWS]
    assert set(detectable_differences(get_metric("fvu"), world(rows).evidence()).values()) == {None}
