"""Effect sizes of many features: each is the one of ``cohens_d``, and noise stays below its threshold."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats.effects import cohens_d
from harness.stats.many_effects import effect_sizes


def test_each_feature_has_its_own_effect_size() -> None:
    draw = np.random.default_rng(0)
    x_nF, y_n = draw.normal(3.0, 2.0, (60, 7)), (draw.random(60) < 0.4).astype(np.int64)
    found = effect_sizes(x_nF, y_n, np.arange(60), permutations=20)
    for feature in range(7):
        one = cohens_d(x_nF[y_n == 0, feature], x_nF[y_n == 1, feature])
        assert (found.d[feature], found.g[feature]) == pytest.approx((one.d, one.g), rel=1e-9)


def test_the_vector_of_the_definition() -> None:
    x_nF = np.concatenate([np.arange(1.0, 6.0), np.arange(3.0, 8.0)])[:, None]
    found = effect_sizes(x_nF, np.repeat([0, 1], 5), np.arange(10), permutations=10)
    assert (found.d[0], found.g[0]) == pytest.approx((1.264911, 1.141839), abs=1e-6)


def test_pure_noise_rises_above_its_threshold_in_one_set_of_twenty() -> None:
    alarms = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        x_nF, y_n = draw.normal(size=(80, 50)), draw.permutation(np.repeat([0, 1], 40))
        alarms += bool(effect_sizes(x_nF, y_n, np.arange(80), permutations=100).above.any())
    # 5 of 100 expected; more than 13 in one of a thousand.
    assert alarms <= 13


def test_twins_raise_the_threshold_where_they_are_grouped() -> None:
    """Forty problems, each four times: as single rows the noise looks better than it is."""
    draw = np.random.default_rng(1)
    group_n = np.repeat(np.arange(40), 4)
    x_nF, y_n = draw.normal(size=(40, 200))[group_n], (np.arange(40) % 2)[group_n]
    grouped, single = (effect_sizes(x_nF, y_n, g, permutations=100).threshold for g in (group_n, np.arange(160)))
    assert grouped > 1.5 * single


def test_a_feature_that_does_not_vary_has_no_effect_size() -> None:
    x_nF = np.concatenate([np.ones((20, 1)), np.arange(20.0)[:, None]], 1)
    found = effect_sizes(x_nF, np.arange(20) % 2, np.arange(20), permutations=10)
    assert np.isnan(found.d).tolist() == [True, False]
    assert not found.above[0]


def test_one_item_of_a_class_is_refused() -> None:
    with pytest.raises(ValueError, match="two items"):
        effect_sizes(np.zeros((5, 1)), np.array([0, 0, 0, 0, 1]), np.arange(5))
