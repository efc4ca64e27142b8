"""Parts are additive over clusters, and every metric respects that; other files make their parts here."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.metrics.contract import Metric, Parts, all_metrics

Array = NDArray[np.float64]
GRAMS = {"x_gram", "e_gram", "x_gram_in"}
WHOLE = {"width", "fires", "n_density"}
RECONSTRUCTION = ("fvu", "fvu_centred", "fvu_inlier", "se_token", "mse_elem", "mse_elem_norm", "cosine", "rrb")
SPARSITY = ("l0", "l0_in_band", "l1", "dead_frac", "dense_frac", "density_entropy", "n_effective")
SPLICE = ("delta_ce", "ce_recovered", "ce_recovered_mean", "kl_splice", "kl_score", "agree1")
OURS = (*RECONSTRUCTION, *SPARSITY, *SPLICE)
CLUSTERED = [name for name in OURS if all_metrics()[name].interval == "clusters"]


def raw_parts(x_ND: Array, xhat_ND: Array, cluster_N: Array, shift_D: Array | None = None) -> dict[str, Array]:
    """Return the reconstruction parts of plain arrays, added up token by token."""
    count = int(cluster_N.max()) + 1
    shift_D = np.zeros(x_ND.shape[1]) if shift_D is None else shift_D
    norms = np.linalg.norm(x_ND, axis=1)
    inlier = norms <= 10 * np.median(norms)
    names = ["n", "se", "x2", "sxx", "n_in", "se_in", "sxx_in", "cos", "xhat2", "xxhat"]
    parts = {name: np.zeros(count) for name in names}
    sums = {name: np.zeros((count, x_ND.shape[1])) for name in ("x", "e", "x_in")}
    for i, (x, xhat, c) in enumerate(zip(x_ND, xhat_ND, cluster_N, strict=True)):
        e, y = x - xhat, x - shift_D
        lengths = max(np.linalg.norm(x), 1e-8) * max(np.linalg.norm(xhat), 1e-8)
        values = (1, e @ e, x @ x, y @ y, 1, e @ e, y @ y, x @ xhat / lengths, xhat @ xhat, x @ xhat)
        for name, value in zip(names, values, strict=True):
            parts[name][c] += value if inlier[i] or not name.endswith("_in") else 0
        sums["x"][c] += y
        sums["e"][c] += e
        sums["x_in"][c] += y if inlier[i] else 0
    grams = {"x_gram": sums["x"], "e_gram": sums["e"], "x_gram_in": sums["x_in"]}
    return {**parts, **{k: v @ v.T for k, v in grams.items()}, "width": np.array(float(x_ND.shape[1]))}


def random_parts(seed: int = 0, clusters: int = 7, tokens: int = 90, width: int = 5) -> dict[str, Array]:
    """Return a complete, plausible set of parts, splice and density parts included."""
    rng = np.random.default_rng(seed)
    cluster_N = np.r_[np.arange(clusters), rng.integers(0, clusters, tokens - clusters)]
    x_ND = rng.normal(2, 1, (tokens, width))
    parts = raw_parts(x_ND, x_ND + rng.normal(0.1, 0.4, x_ND.shape), cluster_N, rng.normal(2, 1, width))
    n = parts["n"]
    per_token = {"l0": 30, "l1": 12, "l0_in_band": 0.7, "agree1": 0.8, "kl": 0.2, "kl_zero": 8}
    per_target = {"ce_clean": 3.0, "ce_splice": 3.3, "ce_zero": 11.0, "ce_mean": 6.0}
    for name, mean in {**per_token, **per_target}.items():
        parts[name] = n * mean * rng.uniform(0.8, 1.2, clusters)
    parts |= {"n_ce": n - 0.5, "n_kl": n.copy(), "fires": rng.integers(0, 60, 20).astype(float)}
    parts["fires"][:3] = 0
    return {**parts, "n_density": np.array(200.0)}


def by_index(parts: Parts, index: Array) -> dict[str, Array]:
    """Return the parts whose clusters are ``index``, repeats allowed."""
    pick = {name: part[np.ix_(index, index)] for name, part in parts.items() if name in GRAMS}
    rest = {name: part if name in WHOLE else part[index] for name, part in parts.items() if name not in GRAMS}
    return {**pick, **rest}


def merged(parts: Parts, group_C: Array) -> dict[str, Array]:
    """Return the parts after adding up the clusters of each group."""
    member_GC = (group_C == np.unique(group_C)[:, None]).astype(float)
    grams = {name: member_GC @ part @ member_GC.T for name, part in parts.items() if name in GRAMS}
    rest = {name: part if name in WHOLE else member_GC @ part for name, part in parts.items() if name not in GRAMS}
    return {**grams, **rest}


def ones(parts: Parts) -> Array:
    return np.ones(parts["n"].shape[0])


@pytest.fixture(params=OURS)
def metric(request: pytest.FixtureRequest) -> Metric:
    return all_metrics()[request.param]


def test_all_declared_metrics_are_registered() -> None:
    found: Mapping[str, Metric] = all_metrics()
    assert set(OURS) <= set(found)
    for name in OURS:
        declared = found[name]
        assert "reconstruction" in declared.tracks
        assert declared.summary.endswith(".")
        assert declared.source
        assert declared.null
        assert declared.unit


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), groups=st.integers(1, 6))
def test_merging_clusters_leaves_every_value_unchanged(seed: int, groups: int) -> None:
    parts = random_parts(seed)
    merge = merged(parts, np.r_[np.arange(groups), np.random.default_rng(seed).integers(0, groups, 7 - groups)])
    for declared in (all_metrics()[name] for name in OURS):
        np.testing.assert_allclose(declared.value(merge, ones(merge)), declared.value(parts, ones(parts)), rtol=1e-10)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_of_clusters_does_not_matter(seed: int) -> None:
    parts = random_parts(seed)
    shuffled = by_index(parts, np.random.default_rng(seed).permutation(7))
    for declared in (all_metrics()[name] for name in OURS):
        np.testing.assert_allclose(
            declared.value(shuffled, ones(parts)), declared.value(parts, ones(parts)), rtol=1e-10
        )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), w=st.lists(st.integers(0, 3), min_size=7, max_size=7).filter(lambda w: sum(w) > 1))
def test_integer_weights_repeat_clusters(seed: int, w: list[int]) -> None:
    parts = random_parts(seed)
    repeated = by_index(parts, np.repeat(np.arange(7), w))
    for declared in (all_metrics()[name] for name in OURS):
        np.testing.assert_allclose(
            declared.value(parts, np.array(w, float)), declared.value(repeated, ones(repeated)), rtol=1e-9
        )


def test_weights_may_have_any_leading_shape(metric: Metric) -> None:
    parts = random_parts()
    w = np.random.default_rng(0).integers(1, 4, (2, 3, 7)).astype(float)
    values = metric.value(parts, w)
    assert values.shape == (2, 3)
    np.testing.assert_allclose(values[1, 2], metric.value(parts, w[1, 2]), rtol=1e-12)


def test_a_missing_part_is_named(metric: Metric) -> None:
    parts = {name: part for name, part in random_parts().items() if name not in metric.needs}
    value, reason = metric.point(parts)
    assert value is None
    assert reason is not None
    assert all(name in reason for name in metric.needs)


@pytest.mark.parametrize("name", CLUSTERED)
def test_no_tokens_is_a_reason_at_the_point_and_nan_in_resamples(name: str) -> None:
    declared = all_metrics()[name]
    parts = by_index(random_parts(), np.arange(3))
    empty = {key: part if key in WHOLE else part * 0 for key, part in parts.items()}
    value, reason = declared.point(empty)
    assert value is None
    assert reason not in (None, "not finite on these data")
    resamples = declared.value(parts, np.array([[1.0, 1, 1], [0, 0, 0]]))
    assert np.isfinite(resamples[0])
    assert np.isnan(resamples[1])
