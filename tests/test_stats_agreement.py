"""Agreement of orders and of runs: closed forms, independent implementations, and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.stats.agreement import intraclass, tau

Z = stats.norm.isf(0.025)


def all_pairs(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    i, j = np.triu_indices(len(x), 1)
    return x[i] - x[j], y[i] - y[j]


def test_tau_is_kendalls() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        x, y = rng.normal(size=(2, 12))
        assert tau(*all_pairs(x, y), 12).value == pytest.approx(stats.kendalltau(x, y).statistic)


def test_ties_count_nothing() -> None:
    found = tau(np.array([1.0, 1.0, -1.0, 2.0]), np.array([3.0, 0.0, -2.0, -1.0]), 4)
    assert found.value == pytest.approx((1 + 0 + 1 - 1) / 4)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_interval_of_full_agreement_has_a_closed_form(sign: float) -> None:
    # (1 - tau)^2 = k (1 - tau^2) gives (1 - k) / (1 + k), with k = 2 z^2 / n.
    k = 2 * Z**2 / 10
    found = tau(np.ones(45), sign * np.ones(45), 10)
    assert (found.lo, found.hi) == pytest.approx(tuple(sorted((sign * (1 - k) / (1 + k), sign))))


def test_tau_of_no_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="0 pairs"):
        tau(np.zeros(0), np.zeros(0), 0)
    with pytest.raises(ValueError, match="true order"):
        tau(np.array([1.0, 0.0]), np.array([1.0, 1.0]), 3)


@pytest.mark.parametrize(("rho", "apart"), [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.8, 1.0)])
def test_the_interval_of_tau_covers_also_where_close_pairs_are_left_out(rho: float, apart: float) -> None:
    rng = np.random.default_rng(1)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray, int]:
        x, e = rng.normal(size=(2, n))
        truth, given = all_pairs(x, rho * x + np.sqrt(1 - rho**2) * e)
        kept, (i, j) = np.abs(truth) > apart, np.triu_indices(n, 1)
        return truth[kept], given[kept], np.unique(np.concatenate([i[kept], j[kept]])).size

    truth, given, _ = draw(2000)
    true_tau = np.mean(np.sign(truth) * np.sign(given))
    for n in (6, 14):
        found = [tau(*sample) for sample in (draw(n) for _ in range(600)) if sample[0].size]
        covered = np.mean([e.lo <= true_tau <= e.hi for e in found if e.lo is not None and e.hi is not None])
        assert covered >= 0.94


def test_intraclass_is_that_of_the_analysis_of_variance() -> None:
    runs = list(np.random.default_rng(2).normal(size=(5, 3)) + np.arange(5)[:, None])
    f = stats.f_oneway(*runs).statistic
    assert intraclass(runs).value == pytest.approx((f - 1) / (f + 3 - 1))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_intraclass_covers_the_planted_share(share: float) -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(600):
        runs = np.sqrt(share) * rng.normal(size=(6, 1)) + np.sqrt(1 - share) * rng.normal(size=(6, 3))
        found = intraclass(list(runs))
        assert found.lo is not None
        assert found.hi is not None
        covered += found.lo <= share <= found.hi
    assert 0.925 <= covered / 600 <= 0.975


def test_intraclass_where_nothing_varies_or_seeds_do_not() -> None:
    assert intraclass([np.ones(3), np.ones(3)]).value is None
    found = intraclass([np.ones(3), np.zeros(3)])
    assert (found.value, found.lo, found.hi) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="equally many"):
        intraclass([np.ones(3), np.ones(2)])
