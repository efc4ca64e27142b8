"""Recovery of known directions: closed forms, brute force, invariants, and the null of random directions."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import f1_score
from torch import Tensor
from torch.nn.functional import normalize

from harness.metrics.contract import get_metric
from harness.tracks.recovery import Match, abs_cosine
from harness.tracks.sums import Clusters

NAMES = ("mcc", "mcc_over_g", "mmcs", "recall_90", "uniqueness")


def draw(count: int, width: int, seed: int) -> Tensor:
    return normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def scores(true_GD: Tensor, row_FD: Tensor) -> dict[str, float]:
    parts = {**Match.of(abs_cosine(true_GD, row_FD)).parts(), "n": np.ones(2)}
    return {name: value for name in NAMES if (value := get_metric(name).point(parts)[0]) is not None}


@pytest.mark.parametrize(("count", "latents"), [(4, 4), (3, 5), (5, 3)])
def test_the_matching_is_the_best_of_all(count: int, latents: int) -> None:
    for seed in range(10):
        cosine = abs_cosine(draw(count, 6, seed), draw(latents, 6, seed + 100))
        wide = cosine if count <= latents else cosine.T
        best = max(
            sum(wide[i, f] for i, f in enumerate(chosen)) for chosen in permutations(range(wide.shape[1]), len(wide))
        )
        got = Match.of(cosine)
        assert got.parts()["cos_matched"].sum() == pytest.approx(best, abs=1e-12)
        assert cosine[linear_sum_assignment(-cosine)].sum() == pytest.approx(best, abs=1e-12)
        assert len(set(got.latent_P)) == len(set(got.true_P)) == min(count, latents)


def test_permuted_flipped_and_scaled_truth_scores_1_on_all() -> None:
    true_GD = draw(20, 8, 0)
    sign_G1 = torch.tensor([1.0, -1.0]).repeat(10)[:, None]
    rows = (true_GD * sign_G1 * torch.linspace(0.1, 9, 20)[:, None])[torch.randperm(20)]
    assert scores(true_GD, rows) == {name: pytest.approx(1, abs=1e-6) for name in NAMES}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), latents=st.integers(1, 12))
def test_order_sign_and_scale_of_latents_change_nothing(seed: int, latents: int) -> None:
    true_GD, row_FD = draw(7, 5, seed), draw(latents, 5, seed + 1)
    generator = torch.Generator().manual_seed(seed)
    factor_F1 = torch.randn(latents, 1, generator=generator).sign() * (
        0.1 + torch.rand(latents, 1, generator=generator)
    )
    changed = (row_FD * factor_F1)[torch.randperm(latents, generator=generator)]
    before, after = scores(true_GD, row_FD), scores(true_GD, changed)
    assert after == {name: pytest.approx(value, abs=1e-6) for name, value in before.items()}
    assert before["mcc_over_g"] == pytest.approx(before["mcc"] * min(7, latents) / 7)
    assert before["mcc_over_g"] <= before["mmcs"] + 1e-12


def test_hand_made_dictionary() -> None:
    # Two latents on the first direction, one between the second and third, one without direction; the fourth is missed.
    rows = torch.tensor([[2.0, 0, 0, 0], [-1.0, 0, 0, 0], [0, 1.0, 1.0, 0], [0, 0, 0, 0]])
    found = scores(torch.eye(4), rows)
    half = 2**-0.5
    assert found["mcc"] == found["mcc_over_g"] == pytest.approx((1 + half) / 4)
    assert found["mmcs"] == pytest.approx((1 + 2 * half) / 4)
    assert found["recall_90"] == 0.25
    assert found["uniqueness"] == 0.25  # the third latent alone; the first direction is claimed twice
    assert scores(torch.eye(4), rows[:1]) == {
        "mcc": 1, "mcc_over_g": 0.25, "mmcs": 0.25, "recall_90": 0.25, "uniqueness": 1
    }  # fmt: skip


def test_nothing_but_empty_directions_scores_0() -> None:
    assert set(scores(torch.eye(4), torch.zeros(3, 4)).values()) == {0.0}


def test_recall_counts_a_cosine_of_exactly_090() -> None:
    for cosine, recall in ((0.9, 1.0), (0.899, 0.0)):
        rows = torch.tensor([[cosine, (1 - cosine**2) ** 0.5]])
        assert scores(torch.eye(2)[:1], rows)["recall_90"] == recall


@pytest.mark.parametrize(("width", "latents", "null"), [(64, 512, 0.393), (576, 2304, 0.152), (576, 4608, 0.159)])
def test_random_directions_sit_at_the_null(width: int, latents: int, null: float) -> None:
    assert scores(draw(600, width, 0)[:400], draw(latents, width, 1))["mmcs"] == pytest.approx(null, abs=0.005)


def firing(z_NF: Tensor, code_NG: Tensor, match: Match, cluster_N: Tensor) -> dict[str, Any]:
    clusters = Clusters(cluster_N)
    parts = {name: clusters.sum(value) for name, value in match.supports(z_NF, code_NG).items()}
    return {**parts, "n": clusters.sum(torch.ones(len(z_NF)))}


def test_firing_f1_is_the_mean_f1_of_matched_supports() -> None:
    generator = torch.Generator().manual_seed(0)
    code_NG = (torch.rand(300, 6, generator=generator) < 0.2).float()
    wrong_NG = torch.rand(300, 6, generator=generator) < 0.1
    order = torch.randperm(6, generator=generator)
    z_NF = -2.0 * (code_NG.bool() ^ wrong_NG).float()[:, order]
    match = Match.of(abs_cosine(torch.eye(6), -torch.eye(6)[order]))
    parts = firing(z_NF, code_NG, match, torch.arange(300) // 30)
    expected = f1_score(code_NG.int(), (code_NG.bool() ^ wrong_NG).int(), average="macro")
    value = get_metric("firing_f1").value
    assert value(parts, np.ones(10)) == pytest.approx(expected)
    kept = np.repeat([1.0, 0.0], 5)
    half = f1_score(code_NG[:150].int(), (code_NG.bool() ^ wrong_NG)[:150].int(), average="macro")
    weights = np.stack([np.ones(10), kept])
    assert value(parts, weights) == pytest.approx([expected, half])


def test_a_direction_without_latent_counts_as_0_and_one_never_seen_not_at_all() -> None:
    code_NG = torch.tensor([[1.0, 0, 1.0], [1.0, 0, 0]])
    match = Match.of(abs_cosine(torch.eye(3), torch.eye(3)[:2]))
    parts = firing(code_NG[:, :2], code_NG, match, torch.zeros(2, dtype=torch.int64))
    assert get_metric("firing_f1").point(parts)[0] == 0.5
    silent = {name: np.zeros_like(value) for name, value in parts.items()} | {"n": parts["n"]}
    assert get_metric("firing_f1").point(silent) == (None, "no direction fires in the test split")
