"""What noise gives, in closed form, against drawn noise and the figures that are known of it."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats.many_effects import effect_sizes
from harness.stats.noise import largest_by_chance


def test_drawn_noise_agrees() -> None:
    draw, drawn, tops = np.random.default_rng(3), [], []
    y = np.arange(50) % 2
    for _ in range(400):
        size = np.abs(effect_sizes(draw.normal(size=(50, 120)), y, np.arange(50), permutations=10).d)
        drawn.append(size.max())
        tops.append(np.sort(size)[-10:].mean())
    noise = largest_by_chance(25, 25, 120, top_k=10)
    error = np.std(drawn) / 20
    assert np.mean(drawn) == pytest.approx(noise.mean, abs=4 * error)
    assert np.mean(tops) == pytest.approx(noise.top, abs=4 * np.std(tops) / 20 + 0.01)
    assert np.mean(np.array(drawn) < noise.lo) == pytest.approx(0.05, abs=0.04)
    assert np.mean(np.array(drawn) > noise.hi) == pytest.approx(0.05, abs=0.04)


def test_the_size_of_the_published_probe() -> None:
    """Drawn with 200 permutations elsewhere: mean .2855, 90 % from .261 to .318, hundred largest .217."""
    noise = largest_by_chance(462, 452, 36864)
    assert noise.mean == pytest.approx(0.2855, abs=0.01)
    assert noise.lo == pytest.approx(0.261, abs=0.005)
    assert noise.hi == pytest.approx(0.318, abs=0.005)
    assert noise.top == pytest.approx(0.217, abs=0.002)


def test_one_feature_is_students_t() -> None:
    # |t| of 8 degrees of freedom: 95th percentile 2.306004, times sqrt(1/5 + 1/5).
    assert largest_by_chance(5, 5, 1, top_k=1).hi == pytest.approx(2.306004 * 0.4**0.5, rel=1e-6)


@pytest.mark.parametrize("asked", [(1, 5, 10, 1), (5, 5, 10, 11), (5, 5, 0, 0)])
def test_impossible_sizes_are_refused(asked: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="two rows in each class"):
        largest_by_chance(*asked[:3], top_k=asked[3])
