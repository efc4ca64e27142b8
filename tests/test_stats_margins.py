from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from test_stats_crossed import mean_metric, parts_of

from harness.stats.estimate import Plan
from harness.stats.margins import margin
from harness.stats.resample import cluster_weights

Array = NDArray[np.float64]


def seeds(rows: Array, l0: float | None = None) -> list[dict[str, Array]]:
    return [parts_of(row, l0=l0) for row in np.atleast_2d(rows)]


def test_positive_means_better_for_both_directions() -> None:
    ours, near, far = np.arange(50.0), np.arange(50.0) + 2, np.arange(50.0) + 5
    noise = np.random.default_rng(0).normal(0, 0.1, 50)
    controls = {"near": seeds(near + noise), "far": seeds(far + noise)}
    down = margin(mean_metric("down"), seeds(ours), controls)
    up = margin(mean_metric("up"), seeds(ours), controls)
    assert (down.control, up.control) == ("near", "far")
    assert down.estimate.value == pytest.approx(2 + noise.mean())
    assert up.estimate.value == pytest.approx(-5 - noise.mean())
    assert down.eligible == ("near", "far")


def test_the_best_control_is_taken_again_in_every_resample() -> None:
    rng = np.random.default_rng(1)
    ours, a, b = rng.normal(1, 1, (3, 60))
    found = margin(mean_metric("up"), seeds(ours), {"a": seeds(a), "b": seeds(b)})
    replicates = [(w @ ours - max(w @ a, w @ b)) / 60 for w in cluster_weights(60, 2000, 0)]
    assert found.estimate.value == pytest.approx(ours.mean() - max(a.mean(), b.mean()))
    expected = tuple(np.quantile(replicates, [0.025, 0.975]))
    assert (found.estimate.lo, found.estimate.hi) == pytest.approx(expected)


def test_seeds_are_paired_with_a_control_built_from_each() -> None:
    rng = np.random.default_rng(0)
    ours = rng.normal(0, 1, (3, 1)) + rng.normal(0, 1, (1, 30)) + np.zeros((3, 30))
    derived = ours - 1 + rng.normal(0, 0.01, (3, 30))
    found = margin(mean_metric(), seeds(ours), {"derived": seeds(derived)})
    assert found.estimate.how == "crossed-t"
    assert found.estimate.value == pytest.approx(1, abs=0.01)
    assert found.estimate.hi - found.estimate.lo < 0.05  # type: ignore[operator]


def test_the_best_of_several_controls_is_that_of_the_seed_means() -> None:
    ours = np.zeros((2, 10)) + np.arange(10)
    steady, wild = ours - 1, np.stack([ours[0] + 3, ours[1] - 9])
    wild += np.random.default_rng(0).normal(0, 0.1, wild.shape)
    found = margin(mean_metric(), seeds(ours), {"steady": seeds(steady), "wild": seeds(wild)})
    assert found.control == "steady"
    assert found.estimate.value == pytest.approx(1)


def test_a_control_with_other_seeds_enters_by_its_mean() -> None:
    rng = np.random.default_rng(0)
    ours, three = rng.normal(1, 1, (1, 45)), rng.normal(0, 1, (3, 45))
    found = margin(mean_metric(), seeds(ours), {"three": seeds(three)})
    assert (found.estimate.how, found.estimate.seeds) == ("percentile", 1)
    assert found.estimate.value == pytest.approx(ours.mean() - three.mean())
    one = margin(mean_metric(), seeds(three), {"one": seeds(ours), "three": seeds(three)})
    assert one.control == "one"
    assert one.estimate.value == pytest.approx(three.mean() - ours.mean())


def test_a_control_with_more_latents_is_left_out() -> None:
    ours = np.random.default_rng(0).normal(5, 1, 50)
    controls = {"dense": seeds(ours + 9, l0=106), "close": seeds(ours - 1, l0=104), "sparse": seeds(ours - 2, l0=1)}
    found = margin(mean_metric(), seeds(ours, l0=100), controls)
    assert (found.control, found.eligible) == ("close", ("close", "sparse"))
    assert found.left_out == {"dense": "L0 106 is above 1.05 times the method's 100"}
    assert margin(mean_metric(), seeds(ours), controls).control == "dense"


def test_no_eligible_control_has_a_reason() -> None:
    ours = np.arange(50.0)
    found = margin(mean_metric(), seeds(ours, l0=10), {"dense": seeds(ours, l0=20)})
    assert (found.control, found.estimate.value, found.estimate.reason) == (None, None, "no control is eligible")
    assert margin(mean_metric(), seeds(ours), {}).estimate.reason == "no control is eligible"


def test_a_control_without_value_is_left_out_and_a_method_without_value_has_no_margin() -> None:
    ours, empty = np.arange(50.0), [parts_of(np.zeros(50), np.zeros(50))]
    found = margin(mean_metric(), seeds(ours), {"empty": empty, "half": seeds(ours / 2)})
    assert (found.control, found.left_out) == ("half", {"empty": "no tokens"})
    assert margin(mean_metric(), empty, {"half": seeds(ours)}).estimate.reason == "no tokens"


def test_refusals() -> None:
    with pytest.raises(ValueError, match="parts of 40 and of 50 clusters"):
        margin(mean_metric(), seeds(np.ones(50)), {"short": seeds(np.ones(40))})
    with pytest.raises(ValueError, match="direction 'target'"):
        margin(mean_metric("target"), seeds(np.ones(50)), {"x": seeds(np.ones(50))})


def test_metrics_over_seeds_compare_seed_by_seed() -> None:
    ours, theirs = np.array([1.0, 2, 4]), np.array([3.0, 5, 4])
    rows = {name: np.repeat(v[:, None], 2, axis=1) for name, v in {"ours": ours, "theirs": theirs}.items()}
    found = margin(mean_metric("down", "seeds"), seeds(rows["ours"]), {"x": seeds(rows["theirs"])})
    expected = stats.ttest_1samp(theirs - ours, 0).confidence_interval(0.95)
    assert (found.estimate.lo, found.estimate.hi) == pytest.approx(tuple(expected))


def test_a_method_that_is_a_null_rarely_beats_the_best_null() -> None:
    rng = np.random.default_rng(0)
    beaten = 0
    for _ in range(150):
        shared = rng.normal(0, 1, 60)
        ours, *nulls = shared + rng.normal(0, 0.5, (4, 60))
        found = margin(mean_metric(), seeds(ours), {str(i): seeds(x) for i, x in enumerate(nulls)}, Plan(resamples=300))
        beaten += found.estimate.lo > 0  # type: ignore[operator]
    assert beaten <= 0.04 * 150
