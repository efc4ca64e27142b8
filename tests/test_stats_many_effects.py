"""Effect sizes of many features: each is the one of ``cohens_d``, and noise stays below its threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from harness.stats import many_effects
from harness.stats.effects import cohens_d
from harness.stats.many_effects import TOP, each_auroc, each_d, effect_sizes, fire_gap
from harness.stats.nulls import exchanged


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


def test_noise_of_the_published_size_reaches_what_the_definition_says() -> None:
    """462 wrong and 452 right rows, 36 864 features: about 3 s and 40 MB (benchmarks/bench_effects.py)."""
    x_nF = np.random.default_rng(0).standard_normal((914, 36864), dtype=np.float32)
    y_n = np.repeat([1, 0], [462, 452])
    found = effect_sizes(x_nF, y_n, np.arange(914), permutations=200)
    assert found.null.shape == (200,)
    assert found.null.mean() == pytest.approx(0.2855, abs=0.01)
    assert 0.318 - 0.01 <= found.threshold <= 0.320 + 0.01
    assert found.threshold == np.quantile(found.null, 0.95)
    # The mean of the hundred largest, which a table of them should be held against.
    assert found.null_top.mean() == pytest.approx(0.217, abs=0.002)
    assert (found.null > found.threshold).sum() == 10


def case(features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features of which a third hang together, labels, and groups of two."""
    draw = np.random.default_rng(seed)
    x_nF = draw.normal(size=(60, features)) + np.where(np.arange(features) % 3, 0.0, 2.0) * draw.normal(size=(60, 1))
    return x_nF, draw.permutation(30).repeat(2) % 2, np.arange(60) // 2


@pytest.mark.parametrize("held", [60 * 7, 60 * 150, 2**21])
def test_features_taken_some_at_a_time_give_what_all_at_once_gives(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x_nF, y_n, group_n = case(333)
    monkeypatch.setattr(many_effects, "_HELD", held)
    found = effect_sizes(x_nF, y_n, group_n, permutations=30)
    d_PF = np.abs(each_d(np.stack([exchanged(y_n, group_n, seed) for seed in range(30)]), x_nF))
    assert found.null == pytest.approx(d_PF.max(1))
    assert found.threshold == pytest.approx(np.quantile(d_PF.max(1), 0.95))
    assert found.null_above == pytest.approx((d_PF > found.threshold).mean(0))
    assert np.sort(found.null_top, 1) == pytest.approx(np.sort(d_PF, 1)[:, -TOP:])
    assert np.take_along_axis(d_PF, found.null_feature, 1) == pytest.approx(found.null_top)
    assert sorted(found.top) == sorted(np.argsort(-np.abs(found.d))[:TOP])


def test_tables_by_block_count_features_and_stand_beside_their_mean_under_exchange() -> None:
    x_nF, y_n, group_n = case(300)
    x_nF[:, 250:260] += 6 * y_n[:, None]
    block_F = np.arange(300) // 100 - 1
    found = effect_sizes(x_nF, y_n, group_n, permutations=40)
    table = found.by_block(block_F, 2)
    above = np.flatnonzero(found.above)
    assert table["block_above"].tolist() == [sum(100 <= f < 200 for f in above), sum(f >= 200 for f in above)]
    assert table["block_above"][1] >= 10
    assert table["block_above_null"].sum() <= found.null_above.sum()
    assert table["top_block"].sum() == sum(block_F[f] >= 0 for f in found.top)
    # Under exchange a place holds as many of the largest as of all features, whatever is planted.
    assert table["top_block_null"] == pytest.approx([TOP / 3, TOP / 3], rel=0.3)
    assert table["top_block"][1] > table["top_block_null"][1]


def test_fewer_features_than_a_table_of_the_largest_holds() -> None:
    x_nF, y_n, group_n = case(5)
    found = effect_sizes(x_nF, y_n, group_n, permutations=10)
    assert found.null_top.shape == (10, 5)
    assert found.by_block(np.zeros(5, dtype=np.int64), 1)["top_block"] == [5]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-50, 50))
def test_scale_and_shift_change_nothing_and_a_flip_the_sign(seed: int, scale: float, shift: float) -> None:
    x_nF, y_n, _ = case(6, seed)
    d = each_d(y_n[None], x_nF)[0]
    assert each_d(y_n[None], scale * x_nF + shift)[0] == pytest.approx(d, rel=1e-6, abs=1e-9)
    assert each_d(1 - y_n[None], x_nF)[0] == pytest.approx(-d, rel=1e-9)
    assert each_auroc(x_nF, 1 - y_n) == pytest.approx(1 - each_auroc(x_nF, y_n))
    assert fire_gap(np.maximum(x_nF, 0), 1 - y_n) == pytest.approx(-fire_gap(np.maximum(x_nF, 0), y_n))


def test_aurocs_and_gaps_are_those_of_a_loop() -> None:
    x_nF, y_n, _ = case(12)
    x_nF = np.round(np.maximum(x_nF, 0), 1)
    assert each_auroc(x_nF, y_n) == pytest.approx([roc_auc_score(y_n, column) for column in x_nF.T])
    gaps = [np.mean(column[y_n == 1] != 0) - np.mean(column[y_n == 0] != 0) for column in x_nF.T]
    assert fire_gap(x_nF, y_n) == pytest.approx(gaps)


@pytest.mark.parametrize("same", [0.0, 0.1, 1e9, -1e-9])
def test_features_without_spread_in_the_classes_have_no_effect_size(same: float) -> None:
    y_n = np.arange(30) % 2
    x_nF = np.stack([np.full(30, same), same + np.where(y_n, 5.0 * max(abs(same), 1), 0.0), np.arange(30.0)], 1)
    assert np.isnan(each_d(y_n[None], x_nF)[0]).tolist() == [True, True, False]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    x_nF, y_n, group_n = case(3)
    x_nF[4, 1] = bad
    with pytest.raises(ValueError, match="finite"):
        effect_sizes(x_nF, y_n, group_n, permutations=5)
