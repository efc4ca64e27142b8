"""The interval of a change of accuracy: what was not seen to change is not thereby shown never to."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics.contract import Array, Parts, all_metrics
from harness.stats.share_change import share_change
from harness.stats.student import t_quantile
from harness.stats.summary import summarise

D_ACC = all_metrics()["d_acc"]


def parts(right: Array, clean: Array) -> Parts:
    return {"n": np.ones(len(right)), "right": right.astype(float), "right_clean": clean.astype(float)}


def test_one_seed_of_single_questions_is_bonett_and_price() -> None:
    """Their interval, with t in the place of z and the variance over n + 1 in that of n + 2."""
    n, wrong, right = 60, 7, 3
    clean = np.r_[np.ones(wrong), np.zeros(n - wrong)]
    after = np.r_[np.zeros(wrong), np.ones(right), np.zeros(n - wrong - right)]
    found = summarise(D_ACC, [parts(after, clean)])
    up, down = (right + 1) / (n + 2), (wrong + 1) / (n + 2)
    half = float(t_quantile(0.025, n + 1)) * np.sqrt((up + down - (up - down) ** 2) / (n + 1))
    assert (found.how, found.clusters, found.value) == ("adjusted-t", n, pytest.approx((right - wrong) / n))
    assert (found.lo, found.hi) == (pytest.approx(up - down - half), pytest.approx(up - down + half))


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_loss_of_three_points_is_not_taken_for_less(seeds: int) -> None:
    """Resampled, one in seven samples of 100 questions that lose 3 points seemed to show that fewer are lost."""
    random, wrongly, held, runs = np.random.default_rng(0), 0, 0, 300
    for _ in range(runs):
        clean = random.random(100) < 0.5
        after = clean & ~(random.random(100) < 0.06)
        found = summarise(D_ACC, [parts(after, clean)] * seeds)
        assert found.lo is not None
        assert found.hi is not None
        wrongly += found.lo >= -0.03
        held += found.lo <= -0.03 <= found.hi
    assert wrongly / runs < 0.07
    assert held / runs > 0.92


def test_no_change_in_few_questions_shows_little() -> None:
    same = np.ones(12)
    few, many = (
        share_change([parts(np.resize(same, n), np.resize(same, n))], ("right", "right_clean")) for n in (12, 400)
    )
    assert few.value == many.value == 0.0
    assert few.lo is not None
    assert many.lo is not None
    assert few.lo < -0.1
    assert -0.01 < many.lo < 0


def test_questions_that_hang_together_count_as_one() -> None:
    """Four questions of each group that turn together say no more than one of each."""
    random = np.random.default_rng(1)
    clean = (random.random(30) < 0.6).astype(float)
    after = clean * (random.random(30) < 0.8)
    one = summarise(D_ACC, [parts(after, clean)])
    four = summarise(D_ACC, [{name: 4 * value for name, value in parts(after, clean).items()}])
    assert (four.value, four.lo, four.hi) == (one.value, pytest.approx(one.lo), pytest.approx(one.hi))
    alone = summarise(D_ACC, [{"n": np.array([9.0]), "right": np.array([3.0]), "right_clean": np.array([4.0])}])
    assert (alone.lo, alone.hi) == (-1.0, 1.0)
