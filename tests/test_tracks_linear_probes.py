"""Probes and their metrics against scikit-learn, planted signals, and the leak they are built to exclude."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from harness.metrics.contract import get_metric
from harness.tracks.domains import flat_map
from harness.tracks.linear_probes import Labelled, class_scores, labelled, permuted, regression_errors


def quiet(done: int, total: int) -> None:
    """Report nothing."""


def drawn(groups: int, classes: int, seed: int = 0, per_group: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and groups; a group is of one class."""
    label_g = np.arange(groups) % classes
    group_n = np.repeat(np.arange(groups), per_group)
    return label_g[group_n], group_n


def accuracy(scores_nK: np.ndarray, items: Labelled) -> float:
    return float(balanced_accuracy_score(items.label_n, scores_nK.argmax(1)))


def test_groups_never_lie_on_two_sides() -> None:
    items = labelled(*drawn(50, 4))
    for group in range(50):
        assert len(set(items.fold_n[items.group_n == group])) == 1
    for fold in range(5):
        assert set(items.label_n[items.fold_n == fold]) == {0, 1, 2, 3}


def test_a_planted_signal_is_found() -> None:
    label_n, group_n = drawn(60, 3)
    rng = np.random.default_rng(0)
    centre_KF = 3 * rng.standard_normal((3, 20))
    items = labelled(label_n, group_n)
    feature_nF = centre_KF[label_n] + rng.standard_normal((len(label_n), 20))
    assert accuracy(class_scores(feature_nF, items, quiet), items) > 0.95


def test_noise_with_repeated_rows_leaks_across_rows_and_not_across_groups() -> None:
    """The same rows, told apart by a split of rows: the null every row split fails."""
    label_n, group_n = drawn(200, 2, per_group=2)
    feature_nF = np.random.default_rng(1).standard_normal((200, 300))[group_n]
    by_group, by_row = labelled(label_n, group_n), labelled(label_n, np.arange(len(label_n)))
    assert accuracy(class_scores(feature_nF, by_row, quiet), by_row) > 0.8
    assert accuracy(class_scores(feature_nF, by_group, quiet), by_group) == pytest.approx(0.5, abs=0.08)


def test_permuted_labels_are_told_by_chance() -> None:
    label_n, group_n = drawn(300, 3)
    rng = np.random.default_rng(0)
    feature_nF = 4 * rng.standard_normal((3, 30))[label_n] + rng.standard_normal((len(label_n), 30))
    items = labelled(label_n, group_n)
    null = permuted(items)
    assert accuracy(class_scores(feature_nF, items, quiet), items) == 1.0
    assert accuracy(class_scores(feature_nF, null, quiet), null) == pytest.approx(1 / 3, abs=0.08)
    assert np.array_equal(np.bincount(items.label_n), np.bincount(null.label_n)), "as many of each class"
    assert all(len(set(null.label_n[null.group_n == group])) == 1 for group in range(300)), "groups stay whole"
    mixed = labelled(np.arange(90) % 3, np.arange(90) // 2)
    assert np.bincount(permuted(mixed).label_n).tolist() == [30, 30, 30]


def test_turning_features_to_their_axes_changes_nothing() -> None:
    """More features than rows are turned by a singular value decomposition, which an L2 penalty does not see."""
    label_n, group_n = drawn(20, 2)
    rng = np.random.default_rng(0)
    few_nF = rng.standard_normal((60, 30)) + label_n[:, None]
    wide_nF = np.concatenate([few_nF, few_nF, few_nF], axis=1)
    items = labelled(label_n, group_n)
    alone = Labelled(label_n, group_n, items.fold_n)
    found = class_scores(wide_nF, items, quiet)
    # three copies of a feature are one feature of three times the prior variance
    assert (found.argmax(1) == class_scores(few_nF, alone, quiet).argmax(1)).mean() > 0.9


def test_constant_features_give_the_prior() -> None:
    items = labelled(*drawn(30, 3))
    scores_nK = class_scores(np.ones((90, 4)), items, quiet)
    assert np.ptp(scores_nK, axis=1).max() < 1e-3
    error_n, total_n = regression_errors(np.zeros((90, 0)), np.random.default_rng(0).standard_normal((90, 2)), items)
    np.testing.assert_allclose(error_n, total_n)


def test_a_linear_map_is_found_and_noise_is_not() -> None:
    items = labelled(*drawn(100, 2))
    rng = np.random.default_rng(0)
    feature_nF, map_FD = rng.standard_normal((300, 12)), rng.standard_normal((12, 5))
    error_n, total_n = regression_errors(feature_nF, feature_nF @ map_FD + 3, items)
    assert error_n.sum() < 1e-4 * total_n.sum()
    error_n, total_n = regression_errors(feature_nF, rng.standard_normal((300, 5)), items)
    assert error_n.sum() > 0.95 * total_n.sum()


def test_maps_are_principal_axes() -> None:
    code_nF = np.random.default_rng(0).standard_normal((50, 6)) * [9, 1, 1, 1, 1, 0]
    flat_n2 = flat_map(code_nF)
    scaled = (code_nF - code_nF.mean(0))[:, :5] / code_nF.std(0)[:5]
    np.testing.assert_allclose((flat_n2**2).sum(0), np.linalg.svd(scaled, compute_uv=False)[:2] ** 2)
    assert flat_map(np.ones((4, 3))).shape == (4, 2)


def parts(seed: int, ties: bool = False) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the parts of 60 documents in 20 clusters, and weights of the clusters."""
    rng = np.random.default_rng(seed)
    scores_nK = rng.standard_normal((60, 3))
    if ties:
        scores_nK = scores_nK.round(0)
    found = {
        "n": np.ones(20),
        "doc_cluster": np.repeat(np.arange(20), 3).astype(float),
        "doc_label": rng.integers(0, 3, 60).astype(float),
        "doc_fold": np.repeat(np.arange(20) % 2, 3).astype(float),
        "code_scores": scores_nK,
        "unique_scores": rng.standard_normal((60, 3)),
    }
    return found, rng.integers(0, 4, 20).astype(float)


@given(seed=st.integers(0, 500), ties=st.booleans())
@settings(max_examples=25, deadline=None)
def test_auroc_equals_scikit_learns_in_each_fold(seed: int, ties: bool) -> None:
    found, w = parts(seed, ties)
    w_n = w[found["doc_cluster"].astype(int)]
    values = []
    for k in range(3):
        wins = pairs = 0.0
        for fold in (0, 1):
            inside = (found["doc_fold"] == fold) & (w_n > 0)
            positive = found["doc_label"][inside] == k
            size = w_n[inside][positive].sum() * w_n[inside][~positive].sum()
            if size:
                score = found["code_scores"][inside, k]
                wins += size * float(roc_auc_score(positive, score, sample_weight=w_n[inside]))
                pairs += size
        values.append(wins / pairs if pairs else np.nan)
    value = get_metric("domain_auroc").value(found, np.stack([w, w]))
    np.testing.assert_allclose(value, np.full(2, np.mean(values)))


@given(seed=st.integers(0, 500))
@settings(max_examples=25, deadline=None)
def test_balanced_accuracy_equals_scikit_learns(seed: int) -> None:
    found, w = parts(seed)
    w_n = w[found["doc_cluster"].astype(int)]
    if len(set(found["doc_label"][w_n > 0])) < 3:
        return
    guess_n = found["code_scores"].argmax(1)
    expected = balanced_accuracy_score(found["doc_label"], guess_n, sample_weight=w_n)
    assert float(get_metric("domain_bal_acc").value(found, w)) == pytest.approx(expected)


def test_auroc_of_the_written_vector() -> None:
    found = {
        "n": np.ones(4),
        "doc_cluster": np.arange(4.0),
        "doc_label": np.array([0.0, 0, 1, 1]),
        "doc_fold": np.zeros(4),
        "code_scores": np.array([[-0.1, 0.1], [-0.4, 0.4], [-0.35, 0.35], [-0.8, 0.8]]),
    }
    assert get_metric("domain_auroc").point(found) == (pytest.approx(0.75), None)


def test_gain_and_leak() -> None:
    found, w = parts(3)
    assert get_metric("domain_gain").point(found) == (None, "parts not measured: shared_scores")
    found["shared_scores"] = found["code_scores"]
    ours, theirs = (get_metric(n).value(found, w) for n in ("domain_bal_acc", "domain_bal_acc_unique"))
    assert get_metric("domain_gain").value(found, w) == pytest.approx(ours - theirs)
    leak = {"n": np.ones(2), "leak_se": np.array([1.0, 3.0]), "leak_total": np.array([4.0, 4.0])}
    assert get_metric("leak_r2").point(leak) == (0.5, None)


PRICED = {
    "n": np.array([10.0, 30.0]),
    "l0": np.array([40.0, 120.0]),
    "shared_sent": np.array([16.0, 32.0]),
    "fires": np.ones(256),
}


class TestBits:
    def test_closed_form(self) -> None:
        # 4 latents of 8 + 8 bits, and 48 shared numbers of 8 bits over 40 tokens
        assert get_metric("bits_per_token").point(PRICED) == (pytest.approx(64 + 9.6), None)
        weighted = get_metric("bits_per_token").value(PRICED, np.array([1.0, 0.0]))
        assert float(weighted) == pytest.approx(64 + 12.8)

    def test_a_full_code_needs_no_indices(self) -> None:
        full = {**PRICED, "l0": 256 * PRICED["n"], "shared_sent": np.zeros(2)}
        assert get_metric("bits_per_token").point(full) == (pytest.approx(8 * 256), None)

    def test_nothing_costs_nothing(self) -> None:
        nothing = {**PRICED, "l0": np.zeros(2), "shared_sent": np.zeros(2), "fires": np.zeros(0)}
        assert get_metric("bits_per_token").point(nothing) == (0.0, None)
