"""What people's ratings are summed up by: published values, independent implementations, and simulated coverage."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from harness.stats.agreement import krippendorff
from harness.stats.correlation import _weighted, spearman
from harness.stats.estimate import Plan
from harness.stats.resample import cluster_weights

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve units, gaps.
OBSERVERS = ("1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 .")


def units() -> list[np.ndarray]:
    columns = zip(*(row.split() for row in OBSERVERS), strict=True)
    return [np.array([float(v) for v in column if v != "."]) for column in columns]


def test_alpha_of_the_published_table() -> None:
    found = krippendorff(units())
    assert found.value == pytest.approx(0.849, abs=5e-4)
    assert found.clusters == 11  # the last unit has one rating
    assert found.lo is not None
    assert found.lo < 0.849 <= found.hi <= 1


def test_alpha_is_the_ratio_of_pairs_by_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    ratings = [rng.integers(1, 6, rng.integers(2, 5)).astype(float) for _ in range(30)]
    every = np.concatenate(ratings)
    observed = sum(
        sum((a - b) ** 2 for a, b in itertools.permutations(values, 2)) / (len(values) - 1) for values in ratings
    )
    expected = sum((a - b) ** 2 for a, b in itertools.permutations(every, 2)) / (every.size - 1)
    found = krippendorff(ratings, Plan(resamples=200))
    assert found.value == pytest.approx(1 - observed / expected)


def test_raters_who_draw_lots_do_not_agree() -> None:
    rng = np.random.default_rng(1)
    values, covered = [], 0
    for _ in range(100):
        found = krippendorff(list(rng.integers(1, 6, (60, 2)).astype(float)), Plan(resamples=300))
        values.append(found.value)
        covered += found.lo <= 0 <= found.hi
    assert abs(np.mean(values)) < 0.04
    # 100 draws at .95: .022 each way is one standard error.
    assert covered >= 89


def test_agreement_about_nothing_is_null_with_a_reason() -> None:
    assert "agreement needs 2" in str(krippendorff([np.array([1.0, 2.0]), np.array([3.0])]).reason)
    assert "every rating is the same" in str(krippendorff([np.array([3.0, 3.0])] * 4).reason)
    assert krippendorff([np.array([float(k), float(k)]) for k in range(1, 7)]).value == 1


@pytest.mark.parametrize("levels", [3, 50])
def test_spearman_is_scipys(levels: int) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, levels, (2, 45)).astype(float)
    y = y + 0.5 * x
    assert spearman(x, y, Plan(resamples=200)).value == pytest.approx(stats.spearmanr(x, y).statistic)


def test_every_resample_is_ranked_anew() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 6, (2, 20)).astype(float)
    weights = cluster_weights(20, 50, 0)
    found = _weighted(weights, x, y)
    for w, value in zip(weights.astype(int), found, strict=True):
        drawn = np.repeat(np.arange(20), w)
        assert value == pytest.approx(stats.spearmanr(x[drawn], y[drawn]).statistic)


@pytest.mark.parametrize(("rho", "n"), [(0.0, 20), (0.6, 60)])
def test_the_interval_of_spearman_covers(rho: float, n: int) -> None:
    rng = np.random.default_rng(4)
    truth = 6 / np.pi * np.arcsin(rho / 2)  # of a normal pair (Kruskal 1958)
    covered = 0
    for _ in range(120):
        x, e = rng.normal(size=(2, n))
        found = spearman(x, rho * x + np.sqrt(1 - rho**2) * e, Plan(resamples=300))
        assert found.lo >= -1
        assert found.hi <= 1
        covered += found.lo <= truth <= found.hi
    assert covered / 120 >= 0.89


def test_spearman_without_an_order_is_null_with_a_reason() -> None:
    assert "needs 3" in str(spearman(np.array([1.0, 2.0]), np.array([1.0, 2.0])).reason)
    assert "same number" in str(spearman(np.ones(9), np.arange(9.0)).reason)
    with pytest.raises(ValueError, match="finite"):
        spearman(np.array([np.nan, 1, 2]), np.arange(3.0))
