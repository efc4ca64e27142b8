from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from test_metrics_parts import Array

from harness.metrics.contract import get_metric
from harness.metrics.sparsity import false_dead


def densities(fires: Array, tokens: float) -> dict[str, Array]:
    return {"n": np.ones(3), "fires": np.asarray(fires, float), "n_density": np.array(tokens)}


def point(name: str, parts: dict[str, Array]) -> float:
    value, reason = get_metric(name).point(parts)
    assert value is not None, reason
    return value


def code_parts(codes_NF: Array, norms_F: Array, band: tuple[int, int]) -> dict[str, Array]:
    active_N = np.array([sum(abs(value) > 0 for value in row) for row in codes_NF])
    folded_N = np.array([sum(abs(value) * norm for value, norm in zip(row, norms_F, strict=True)) for row in codes_NF])
    halves = np.array_split(np.arange(len(codes_NF)), 2)
    totals = {"l0": active_N, "l1": folded_N, "l0_in_band": (active_N >= band[0]) & (active_N <= band[1])}
    parts = {name: np.array([float(part[half].sum()) for half in halves]) for name, part in totals.items()}
    return {**parts, "n": np.array([float(len(half)) for half in halves])}


def test_l0_counts_signed_codes_and_the_band_is_closed() -> None:
    codes = np.array([[1.0, -2, 0], [0, 0, 0], [3, 0, 0], [1, 1, 1], [0, 0, 5]])
    parts = code_parts(codes, np.ones(3), (1, 2))
    assert point("l0", parts) == pytest.approx(np.mean([2, 0, 1, 3, 1]))
    assert point("l0_in_band", parts) == pytest.approx(3 / 5)
    assert point("l1", parts) == pytest.approx(np.abs(codes).sum() / 5)


def test_folded_l1_does_not_change_when_directions_take_over_scale_from_codes() -> None:
    rng = np.random.default_rng(0)
    codes, norms, scale = rng.normal(size=(20, 6)), rng.uniform(0.5, 2, 6), rng.uniform(0.1, 10, 6)
    folded = point("l1", code_parts(codes, norms, (0, 9)))
    assert point("l1", code_parts(codes / scale, norms * scale, (0, 9))) == pytest.approx(folded, rel=1e-12)
    raw = np.abs(codes).sum() / 20
    assert np.abs(codes / scale).sum() / 20 != pytest.approx(raw, rel=0.01)


def test_entropy_of_the_known_densities() -> None:
    parts = densities(np.array([50, 25, 12.5, 12.5]), 100)
    assert point("density_entropy", parts) == pytest.approx(0.875, abs=1e-12)
    assert point("density_entropy", parts) * np.log(4) == pytest.approx(1.2130075660, abs=1e-9)
    assert point("n_effective", parts) == pytest.approx(3.3635857, abs=1e-6)


def test_entropy_at_its_ends() -> None:
    assert point("density_entropy", densities(np.full(7, 3), 10)) == pytest.approx(1)
    assert point("n_effective", densities(np.full(7, 3), 10)) == pytest.approx(7)
    alone = densities(np.array([0, 9, 0]), 10)
    assert point("density_entropy", alone) == 0
    assert point("n_effective", alone) == 1


def test_dead_and_dense_latents_are_counted() -> None:
    parts = densities(np.array([0, 1, 10, 11, 0, 100, 5, 0]), 100)
    assert point("dead_frac", parts) == 3 / 8
    assert point("dense_frac", parts) == 2 / 8  # a density of exactly .1 is not above .1


@pytest.mark.parametrize("name", ["dead_frac", "dense_frac", "density_entropy", "n_effective"])
def test_firing_counts_do_not_depend_on_cluster_weights(name: str) -> None:
    parts = densities(np.arange(5.0), 100)
    values = get_metric(name).value(parts, np.random.default_rng(0).random((4, 2, 3)))
    assert values.shape == (4, 2)
    assert np.ptp(values) == 0
    assert get_metric(name).interval == "seeds"


def test_what_has_no_density() -> None:
    reasons = {
        "no tokens were counted for densities": densities(np.ones(3), 0),
        "there are no latents": densities(np.ones(0), 10),
        "no latent ever fires": densities(np.zeros(3), 10),
        "one latent alone has no evenness": densities(np.ones(1), 10),
    }
    for reason, parts in reasons.items():
        assert get_metric("density_entropy").point(parts) == (None, reason)
    assert point("dead_frac", reasons["no latent ever fires"]) == 1


def test_dead_share_of_planted_latents_is_as_chance_expects() -> None:
    rng = np.random.default_rng(0)
    rho = np.repeat([1e-4, 1e-3, 0.5], 2000)
    fires = binom.rvs(12_000, rho, random_state=rng)
    assert point("dead_frac", densities(fires, 12_000)) == pytest.approx(false_dead(rho, 12_000), abs=0.01)


def test_false_dead_rates() -> None:
    assert false_dead(1e-4, 12_000) == pytest.approx(0.30, abs=0.005)
    assert false_dead(1e-4, 50_000) == pytest.approx(0.0067, abs=5e-5)
    assert false_dead(1e-5, 50_000) == pytest.approx(0.61, abs=0.005)
    assert false_dead(np.array([1e-4, 1.0]), 12_000) == pytest.approx(0.15, abs=0.005)
