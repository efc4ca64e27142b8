from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.stats.estimate import Plan
from harness.stats.multiplicity import benjamini_hochberg, holm
from harness.stats.proportions import acc_ci, clopper_pearson, wilson

WILSON = {
    (120, 183): (0.5843, 0.7207),
    (122, 183): (0.5956, 0.7309),
    (16, 30): (0.3614, 0.6977),
    (20, 30): (0.4878, 0.8077),
    (466, 500): (0.9065, 0.9509),
    (0, 10): (0, 0.2775),
    (10, 10): (0.7225, 1),
}


@pytest.mark.parametrize(("counts", "expected"), WILSON.items())
def test_wilson_known_values(counts: tuple[int, int], expected: tuple[float, float]) -> None:
    assert wilson(*counts) == pytest.approx(expected, abs=5e-5)


def test_wilson_is_the_formula() -> None:
    right, n, z = 120, 183, stats.norm.isf(0.025)
    p = right / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert wilson(right, n) == pytest.approx((centre - half, centre + half), rel=1e-9)


@pytest.mark.parametrize(("n", "half"), [(30, 0.169), (100, 0.096), (198, 0.069), (500, 0.044), (1000, 0.031)])
def test_half_widths_at_one_half(n: int, half: float) -> None:
    lo, hi = wilson(n // 2, n)
    assert (hi - lo) / 2 == pytest.approx(half, abs=6e-4)


def test_clopper_pearson_is_the_beta_quantiles() -> None:
    expected = stats.beta.ppf(0.025, 16, 15), stats.beta.ppf(0.975, 17, 14)
    assert clopper_pearson(16, 30) == pytest.approx(expected, rel=1e-9)
    assert clopper_pearson(0, 10) == pytest.approx((0, 1 - 0.025**0.1), rel=1e-9)


@pytest.mark.parametrize("counts", [(3, 2), (-1, 5), (0, 0)])
def test_impossible_counts_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"got {counts[0]} of {counts[1]}"):
        wilson(*counts)


def test_independent_items_get_wilson() -> None:
    correct = np.r_[np.ones(120), np.zeros(63)]
    found = acc_ci(correct, np.arange(183.0))
    assert (found.value, found.how) == (pytest.approx(120 / 183), "wilson")
    assert (found.lo, found.hi) == pytest.approx((0.5843, 0.7207), abs=5e-5)


def test_items_that_repeat_within_clusters_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(0)
    correct = (rng.random(60) < 0.6).astype(float)
    once = acc_ci(correct, np.arange(60.0))
    tenfold = acc_ci(np.repeat(correct, 10), np.repeat(np.arange(60.0), 10))
    assert tenfold.how == "percentile"
    assert tenfold.clusters == 60
    assert tenfold.hi - tenfold.lo == pytest.approx(once.hi - once.lo, rel=0.1)  # type: ignore[operator]


def test_all_right_in_clusters_gets_the_exact_interval_of_the_clusters() -> None:
    cluster = np.repeat(np.arange(45.0), 4)
    found = acc_ci(np.ones(180), cluster)
    assert (found.value, found.hi, found.how) == (1.0, 1.0, "clopper-pearson")
    assert found.lo == pytest.approx(0.025 ** (1 / 45), rel=1e-9)
    assert "every cluster counts as one item" in str(found.reason)
    wrong = acc_ci(np.zeros(180), cluster, Plan(level=0.9))
    assert (wrong.lo, wrong.hi) == (0.0, pytest.approx(1 - 0.05 ** (1 / 45)))


@pytest.mark.parametrize("clusters", [1, 2, 3, 40, 45])
def test_the_exact_interval_holds_the_share_it_stands_for(clusters: int) -> None:
    found = acc_ci(np.tile([0.0, 1, 1], clusters), np.repeat(np.arange(float(clusters)), 3))
    assert found.how == "clopper-pearson"
    assert found.lo <= 2 / 3 <= found.hi  # type: ignore[operator]


def test_bad_answers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"0 and 1 only, got 0\.5"):
        acc_ci(np.array([0, 0.5]), np.arange(2.0))
    with pytest.raises(ValueError, match="got 3 items and 2"):
        acc_ci(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="got 0 items"):
        acc_ci(np.ones(0), np.ones(0))


def test_holm_by_hand_and_its_bound() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.6, 0.7])), [1, 1])
    assert holm(np.zeros(0)).size == 0
    p = np.random.default_rng(0).random(50)
    assert (holm(p) >= benjamini_hochberg(p) - 1e-15).all()


def test_holm_holds_the_family_wise_error() -> None:
    p = np.random.default_rng(0).random((3000, 8))
    wrong = np.mean([holm(row).min() < 0.05 for row in p])
    assert wrong == pytest.approx(0.05, abs=0.012)


def test_benjamini_hochberg_by_hand() -> None:
    p = np.array([0.01, 0.02, 0.03, 0.5])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.04, 0.04, 0.04, 0.5])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_what_is_not_a_p_value_is_refused(adjust) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="from 0 to 1"):
        adjust(np.array([0.1, 1.2]))
    with pytest.raises(ValueError, match="from 0 to 1"):
        adjust(np.array([0.1, np.nan]))
