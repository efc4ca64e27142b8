from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from test_metrics_parts import Array

from harness.metrics.contract import get_metric


def spliced(clean: Array, splice: Array, zero: Array, mean: Array, target: Array) -> dict[str, Array]:
    """Return splice parts of logits ``[N, V]``, two tokens a cluster."""

    def cross_entropy(logits: Array) -> Array:
        return -log_softmax(logits, axis=1)[np.arange(len(target)), target]

    def divergence(logits: Array) -> Array:
        return (softmax(clean, 1) * (log_softmax(clean, 1) - log_softmax(logits, 1))).sum(1)

    tokens = {
        "ce_clean": cross_entropy(clean),
        "ce_splice": cross_entropy(splice),
        "ce_zero": cross_entropy(zero),
        "ce_mean": cross_entropy(mean),
        "kl": divergence(splice),
        "kl_zero": divergence(zero),
        "agree1": (clean.argmax(1) == splice.argmax(1)).astype(float),
        **{name: np.ones(len(target)) for name in ("n", "n_ce", "n_kl")},
    }
    return {name: part.reshape(-1, 2).sum(1) for name, part in tokens.items()}


@pytest.fixture
def logits() -> dict[str, Array]:
    rng = np.random.default_rng(0)
    clean = 3 * rng.normal(size=(40, 11))
    return {
        "clean": clean,
        "splice": clean + rng.normal(size=clean.shape),
        "zero": np.tile(5 * rng.normal(size=11), (40, 1)),
        "mean": np.tile(2 * rng.normal(size=11), (40, 1)),
        "target": clean.argmax(1),
    }


def point(name: str, parts: dict[str, Array]) -> float:
    value, reason = get_metric(name).point(parts)
    assert value is not None, reason
    return value


def test_against_a_loop_over_tokens(logits: dict[str, Array]) -> None:
    ce = {name: [] for name in ("clean", "splice", "zero", "mean")}  # type: ignore[var-annotated]
    kl, kl_zero, hits = [], [], []
    for i in range(40):
        p = {name: np.exp(logits[name][i]) / np.exp(logits[name][i]).sum() for name in ce}
        for name, q in p.items():
            ce[name].append(-np.log(q[logits["target"][i]]))
        kl.append(sum(a * np.log(a / b) for a, b in zip(p["clean"], p["splice"], strict=True)))
        kl_zero.append(sum(a * np.log(a / b) for a, b in zip(p["clean"], p["zero"], strict=True)))
        hits.append(np.argmax(p["clean"]) == np.argmax(p["splice"]))
    clean, splice, zero, mean = (np.mean(ce[name]) for name in ("clean", "splice", "zero", "mean"))
    expected = {
        "delta_ce": splice - clean,
        "ce_recovered": (zero - splice) / (zero - clean),
        "ce_recovered_mean": (mean - splice) / (mean - clean),
        "kl_splice": np.mean(kl),
        "kl_score": (np.mean(kl_zero) - np.mean(kl)) / np.mean(kl_zero),
        "agree1": np.mean(hits),
    }
    parts = spliced(**logits)
    for name, number in expected.items():
        assert point(name, parts) == pytest.approx(number, rel=1e-10), name


def test_identity_and_the_ablations_themselves(logits: dict[str, Array]) -> None:
    identity = spliced(**{**logits, "splice": logits["clean"]})
    ends = {"delta_ce": 0, "ce_recovered": 1, "ce_recovered_mean": 1, "kl_splice": 0, "kl_score": 1, "agree1": 1}
    for name, number in ends.items():
        assert point(name, identity) == pytest.approx(number, abs=1e-12), name
    zero = spliced(**{**logits, "splice": logits["zero"]})
    assert point("ce_recovered", zero) == pytest.approx(0, abs=1e-12)
    assert point("kl_score", zero) == pytest.approx(0, abs=1e-12)
    modal = np.mean(logits["clean"].argmax(1) == logits["zero"][0].argmax())
    assert point("agree1", zero) == pytest.approx(modal)
    mean = spliced(**{**logits, "splice": logits["mean"]})
    assert point("ce_recovered_mean", mean) == pytest.approx(0, abs=1e-12)


def test_worse_than_ablation_is_negative_and_better_than_clean_above_one() -> None:
    parts = {"n": np.ones(2), "n_ce": np.ones(2), "ce_clean": np.array([3.0, 3]), "ce_zero": np.array([5.0, 5])}
    assert point("ce_recovered", {**parts, "ce_splice": np.array([6.0, 6])}) == -0.5
    assert point("ce_recovered", {**parts, "ce_splice": np.array([2.0, 2])}) == 1.5


@pytest.mark.parametrize(("name", "part"), [("ce_recovered", "ce_zero"), ("ce_recovered_mean", "ce_mean")])
def test_an_ablation_that_costs_nothing_has_no_recovered_share(name: str, part: str) -> None:
    n = np.array([100.0, 300])
    parts = {"n": n, "n_ce": n, "ce_clean": 4 * n, "ce_splice": 4.1 * n}
    value, reason = get_metric(name).point({**parts, part: 4.0009 * n})
    assert value is None
    assert "no more than 0.001 nats/token" in str(reason)
    assert point(name, {**parts, part: 4.0011 * n}) == pytest.approx((4.0011 - 4.1) / 0.0011)


def test_the_floor_is_per_token_in_every_resample() -> None:
    n = np.array([100.0, 300])
    parts = {"n": n, "n_ce": n, "ce_clean": 4 * n, "ce_splice": 5 * n, "ce_zero": n * [4, 9]}
    shares = get_metric("ce_recovered").value(parts, np.array([[2.0, 0], [0, 2], [1, 1]]))
    np.testing.assert_allclose(shares, [np.nan, 0.8, (300 * 4 - 100) / 1500])


def test_a_ratio_of_means_is_not_a_mean_of_ratios() -> None:
    n = np.array([10.0, 10])
    parts = {"n": n, "n_ce": n, "ce_clean": 3 * n, "ce_splice": n * [3, 5], "ce_zero": n * [13, 5]}
    assert point("ce_recovered", parts) == pytest.approx((18 - 8) / (18 - 6))
    assert np.mean([1.0, 0.0]) != pytest.approx(10 / 12)


def test_a_model_that_zero_ablation_does_not_move_has_no_kl_score() -> None:
    n = np.ones(2)
    value, reason = get_metric("kl_score").point({"n": n, "n_kl": n, "kl": n, "kl_zero": n * 1e-4})
    assert value is None
    assert "zero ablation diverges" in str(reason)
