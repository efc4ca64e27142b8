from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.metrics import mean_squared_error, r2_score
from test_metrics_parts import Array, ones, raw_parts

from harness.metrics.contract import get_metric


def value(name: str, parts: dict[str, Array]) -> float:
    return float(get_metric(name).value(parts, ones(parts)))


def example(
    seed: int = 0, tokens: int = 300, width: int = 6, mean: float = 3.0, noise: float = 0.5
) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(mean, 1, (tokens, width))
    return x, x + noise * rng.normal(size=x.shape), rng.integers(0, 9, tokens)


def test_fvu_is_one_minus_r2_of_scikit_learn() -> None:
    x, xhat, cluster = example()
    expected = 1 - r2_score(x, xhat, multioutput="variance_weighted")
    for shift in (None, x.mean(0), x[0] * 100):
        assert value("fvu", raw_parts(x, xhat, cluster, shift)) == pytest.approx(expected, rel=1e-9)


def test_fvu_centred_is_the_ratio_of_variances() -> None:
    x, xhat, cluster = example()
    expected = (x - xhat).var(0).sum() / x.var(0).sum()
    assert value("fvu_centred", raw_parts(x, xhat + 0.3, cluster)) == pytest.approx(expected, rel=1e-9)


def test_known_values_of_fvu() -> None:
    x, _, cluster = example()
    assert value("fvu", raw_parts(x, np.tile(x.mean(0), (len(x), 1)), cluster)) == pytest.approx(1, abs=1e-12)
    assert value("fvu", raw_parts(x, x, cluster)) == 0
    assert value("fvu", raw_parts(x, x * 0, cluster)) > 1


@pytest.mark.parametrize("mean", [0.0, 5.0, 100.0])
def test_fvu_of_noise_of_half_the_size_is_a_quarter(mean: float) -> None:
    x, xhat, cluster = example(tokens=4000, mean=mean)
    assert value("fvu", raw_parts(x, xhat, cluster, np.full(6, mean))) == pytest.approx(0.25, abs=0.01)


def test_a_constant_offset_is_forgiven_by_the_centred_form_only() -> None:
    x, _, cluster = example()
    offset = np.arange(6.0)
    parts = raw_parts(x, x + offset, cluster, x[0])
    assert value("fvu_centred", parts) == pytest.approx(0, abs=1e-12)
    assert value("fvu", parts) == pytest.approx(offset @ offset / x.var(0).sum(), rel=1e-9)


def test_fvu_of_pca_is_the_tail_of_the_spectrum() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 8)) * np.arange(1, 9) + 7
    pca = PCA(3).fit(x)
    parts = raw_parts(x, pca.inverse_transform(pca.transform(x)), rng.integers(0, 5, 400))
    assert value("fvu", parts) == pytest.approx(1 - pca.explained_variance_ratio_.sum(), abs=1e-6)


def test_the_formula_of_saelens_before_665_calls_the_mean_a_good_reconstruction() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5, 1, (20_000, 64))
    xhat = np.tile(x.mean(0), (len(x), 1))
    error, square = ((x - xhat) ** 2).sum(1).mean(), (x**2).sum(1).mean()
    assert 1 - error / (square - np.mean(x**2) ** 2) == pytest.approx(0.935, abs=0.001)
    few = slice(0, 2000)
    parts = raw_parts(x[few], np.tile(x[few].mean(0), (2000, 1)), rng.integers(0, 50, 2000))
    assert 1 - value("fvu", parts) == pytest.approx(0, abs=1e-9)


def test_one_huge_token_decides_fvu_and_not_fvu_inlier() -> None:
    x, xhat, cluster = example()
    clean = value("fvu", raw_parts(x, xhat, cluster))
    x[0], xhat[0] = 1e4, 1e4
    parts = raw_parts(x, xhat, cluster)
    assert value("fvu", parts) < 1e-4
    assert value("fvu_inlier", parts) == pytest.approx(clean, rel=0.02)
    assert value("fvu_inlier", parts) == pytest.approx(value("fvu", raw_parts(x[1:], xhat[1:], cluster[1:])), rel=1e-9)


def test_constant_activations_have_no_fvu() -> None:
    x = np.full((20, 4), 3.3)
    for shift in (None, np.full(4, 0.1), np.full(4, 3.3)):
        parts = raw_parts(x, x + 1, np.arange(20) % 5, shift)
        assert get_metric("fvu").point(parts) == (None, "the activations do not vary")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), shift=st.floats(-50, 50), scale=st.floats(0.01, 100))
def test_fvu_ignores_a_common_shift_and_scale(seed: int, shift: float, scale: float) -> None:
    x, xhat, cluster = example(seed, tokens=40)
    before, after = raw_parts(x, xhat, cluster), raw_parts(scale * x + shift, scale * xhat + shift, cluster)
    for name in ("fvu", "fvu_centred", "fvu_inlier"):
        if name != "fvu_inlier" or (before["n_in"] == after["n_in"]).all():
            assert value(name, after) == pytest.approx(value(name, before), rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_centred_never_exceeds_fvu(seed: int) -> None:
    x, xhat, cluster = example(seed, tokens=30)
    parts = raw_parts(x, xhat, cluster)
    assert value("fvu_centred", parts) <= value("fvu", parts) + 1e-12


def test_squared_errors() -> None:
    parts = raw_parts(np.zeros((5, 4)), np.ones((5, 4)), np.array([0, 0, 1, 1, 1]))
    assert value("se_token", parts) == 4
    assert value("mse_elem", parts) == 1
    assert get_metric("mse_elem_norm").point(parts) == (None, "all activations are 0")


def test_mse_elem_is_that_of_scikit_learn_also_after_scaling() -> None:
    x, xhat, cluster = example()
    parts = raw_parts(x, xhat, cluster)
    unit = np.sqrt((x**2).mean())
    assert value("mse_elem", parts) == pytest.approx(mean_squared_error(x, xhat), rel=1e-12)
    assert value("mse_elem_norm", parts) == pytest.approx(mean_squared_error(x / unit, xhat / unit), rel=1e-12)
    scaled = raw_parts(7 * x, 7 * xhat, cluster)
    assert value("mse_elem_norm", scaled) == pytest.approx(value("mse_elem_norm", parts), rel=1e-12)
    assert value("se_token", scaled) == pytest.approx(49 * value("se_token", parts), rel=1e-12)


def test_pooling_is_not_a_mean_of_cluster_ratios() -> None:
    x = np.array([[0.0], [2.0], [0.0], [20.0]])
    xhat = np.array([[1.0], [1.0], [0.0], [20.0]])
    parts = raw_parts(x, xhat, np.array([0, 0, 1, 1]))
    mean_of_ratios = np.mean([2 / 2, 0 / 200])
    assert value("fvu", parts) == pytest.approx(2 / ((x - x.mean()) ** 2).sum())
    assert value("fvu", parts) != pytest.approx(mean_of_ratios)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_a_scaled_reconstruction(scale: float) -> None:
    x, _, cluster = example()
    parts = raw_parts(x, scale * x, cluster)
    assert value("rrb", parts) == pytest.approx(scale, rel=1e-12)
    assert value("cosine", parts) == pytest.approx(1, rel=1e-12)


def test_dividing_by_rrb_makes_the_scale_least_squares() -> None:
    x, xhat, cluster = example()
    scaled = xhat / value("rrb", raw_parts(x, xhat, cluster))
    best = (x * scaled).sum() / (scaled**2).sum()
    assert best == pytest.approx(1, rel=1e-12)


def test_rrb_needs_reconstructions_along_the_activations() -> None:
    x, _, cluster = example()
    for xhat in (-x, 0 * x):
        value_, reason = get_metric("rrb").point(raw_parts(x, xhat, cluster))
        assert value_ is None
        assert "not above 0" in str(reason)


def test_a_zero_reconstruction_has_cosine_0() -> None:
    x, _, cluster = example()
    assert value("cosine", raw_parts(x, 0 * x, cluster)) == 0
    half = np.where(np.arange(300)[:, None] % 2 == 0, x, 0.0)
    assert value("cosine", raw_parts(x, half, cluster)) == pytest.approx(0.5)
