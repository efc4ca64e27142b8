"""Effect sizes and the max-T null against closed forms, scipy and a loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.stats.effects import cohens_d
from harness.stats.nulls import against_null, exchanged


class TestCohen:
    def test_known_answer(self) -> None:
        effect = cohens_d(np.arange(1.0, 6), np.arange(3.0, 8))
        assert effect.d == pytest.approx(1.2649111, abs=1e-7)
        assert effect.g == pytest.approx(1.1418394, abs=1e-7)
        assert effect.g / effect.d == pytest.approx(0.9027033, abs=1e-7)
        assert effect.se == pytest.approx(0.6928203, abs=1e-7)

    def test_p_is_that_of_scipy_and_the_sign_is_target_minus_reference(self) -> None:
        rng = np.random.default_rng(0)
        a, b = rng.normal(1, 1, 12), rng.normal(0, 2, 9)
        effect = cohens_d(a, b)
        assert effect.p == pytest.approx(stats.ttest_ind(a, b).pvalue, rel=1e-9)
        assert effect.d < 0
        assert cohens_d(b, a).d == pytest.approx(-effect.d)

    def test_no_spread(self) -> None:
        same = cohens_d(np.full(5, 2.0), np.full(5, 2.0))
        assert (same.d, same.p) == (0.0, 1.0)
        apart = cohens_d(np.zeros(5), np.ones(5))
        assert math.isnan(apart.d)
        assert apart.p == 0.0

    def test_too_few_or_not_finite(self) -> None:
        with pytest.raises(ValueError, match="at least 2"):
            cohens_d(np.ones(1), np.ones(5))
        with pytest.raises(ValueError, match="finite"):
            cohens_d(np.array([1, np.nan]), np.ones(5))


def step_down(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Adjusted p-values by a plain loop over the definition."""
    mean, sd = null.mean(0), null.std(0)
    z, z_null = (observed - mean) / sd, (null - mean) / sd
    order = np.argsort(-z, kind="stable")
    adjusted, worst = np.empty(len(observed)), 0.0
    for place, i in enumerate(order):
        rest = order[place:]
        count = sum(max(draw[rest]) >= z[i] - 1e-12 for draw in z_null)
        worst = max(worst, (1 + count) / (1 + len(null)))
        adjusted[i] = worst
    return adjusted


class TestNull:
    def test_equals_a_loop(self) -> None:
        rng = np.random.default_rng(0)
        null = rng.gamma(1, 1, (130, 9)) * rng.random(9)
        observed = null.mean(0) + rng.normal(0.5, 1, 9) * null.std(0)
        tested = against_null(observed, null, np.ones(9, dtype=bool))
        assert tested.p == pytest.approx([(1 + (null[:, i] >= observed[i]).sum()) / 131 for i in range(9)])
        assert tested.q == pytest.approx(stats.false_discovery_control(tested.p, method="bh"))
        assert tested.p_max == pytest.approx(step_down(observed, null))
        assert (tested.p_max >= tested.p - 1 / 131).all(), "holding the error over all costs something"

    def test_what_is_not_eligible_or_does_not_vary_is_not_tested_and_does_not_count(self) -> None:
        rng = np.random.default_rng(0)
        null = np.concatenate([rng.normal(size=(200, 3)), np.full((200, 1), 5.0)], axis=1)
        observed = np.array([6.0, 0.1, 9, 5])
        tested = against_null(observed, null, np.array([True, True, False, True]))
        assert np.isnan(tested.p).tolist() == [False, False, True, True]
        alone = against_null(observed[:2], null[:, :2], np.ones(2, dtype=bool))
        assert tested.p_max[:2] == pytest.approx(alone.p_max)

    def test_nothing_to_test(self) -> None:
        assert np.isnan(against_null(np.ones(2), np.ones((5, 2)), np.zeros(2, dtype=bool)).p_max).all()

    def test_family_wise_error_is_held_and_power_is_there(self) -> None:
        rng = np.random.default_rng(0)
        false, true = 0, 0
        for _ in range(200):
            shared = rng.normal(size=(151, 1))
            draws = 0.6 * shared + rng.exponential(size=(151, 40)) * rng.random(40)
            observed = draws[0].copy()
            false += bool((against_null(observed, draws[1:], np.ones(40, dtype=bool)).p_max < 0.05).any())
            observed[0] += 12 * draws[:, 0].std()
            true += bool(against_null(observed, draws[1:], np.ones(40, dtype=bool)).p_max[0] < 0.05)
        assert false <= 20, f"{false} of 200 null data sets had a rejection"
        assert true >= 180


class TestExchanged:
    def test_each_group_gets_the_labels_of_one_other_group(self) -> None:
        draw = np.random.default_rng(0)
        group_n = draw.permutation(np.repeat(np.arange(30), 3))
        label_n = 10 * group_n + draw.integers(0, 2, 90)
        new_n = exchanged(label_n, group_n, 1)
        found = {tuple(sorted(new_n[group_n == group])) for group in range(30)}
        assert found == {tuple(sorted(label_n[group_n == group])) for group in range(30)}
        assert (new_n != label_n).mean() > 0.9

    def test_noise_has_the_spread_it_has_where_groups_differ_in_size(self) -> None:
        """Sums of one digit are drawn again and again: groups of 2 to 16 equal answers, all right or all wrong."""
        size_g = np.repeat([2, 4, 8, 16], [40, 8, 5, 3])
        group_n = np.repeat(np.arange(len(size_g)), size_g)
        own, null = [], []
        for seed in range(300):
            draw = np.random.default_rng(seed)
            y_n, x_n = (draw.permutation(len(size_g)) % 2)[group_n], draw.normal(size=len(size_g))[group_n]
            for found, label_n in ((own, y_n), (null, exchanged(y_n, group_n, seed))):
                found.append(x_n[label_n == 1].mean() - x_n[label_n == 0].mean())
        # The ratio of two standard deviations of 300 each has a standard error of .06; labels laid end to end give .61.
        assert np.std(null) / np.std(own) == pytest.approx(1.0, abs=0.12)

    def test_nothing_is_left_of_who_wrote_the_answer(self) -> None:
        group_n, author_n = np.repeat(np.arange(50), 4), np.tile(np.arange(4), 50)
        found = [exchanged((author_n == 0).astype(np.int64), group_n, seed)[author_n == 0].mean() for seed in range(40)]
        # 2000 answers with a share of one quarter: a standard error of .01.
        assert np.mean(found) == pytest.approx(0.25, abs=0.04)

    def test_no_class_is_lost(self) -> None:
        group_n = np.array([0, 0, 0, 0, 1, 2, 3])
        label_n = np.array([2, 1, 0, 0, 0, 0, 0])
        assert all(set(exchanged(label_n, group_n, seed)) == {0, 1, 2} for seed in range(50))
