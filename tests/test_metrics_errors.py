"""Metrics of error probes against scikit-learn, under weights too (an answer that counts twice is there twice)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk

from harness.metrics.contract import Array, Parts, get_metric

C = 30


def parts(seed: int = 0, n: int = 120) -> dict[str, Array]:
    draw = np.random.default_rng(seed)
    y = (draw.random(n) < 0.6).astype(float)
    p = np.clip(np.round(0.5 + 0.25 * (y - 0.5) + 0.2 * draw.normal(size=n), 2), 0, 1)
    cluster = draw.integers(0, C, n).astype(float)
    cluster[:C] = np.arange(C)
    return {
        "n": np.bincount(cluster.astype(int), minlength=C).astype(float),
        "item_cluster": cluster,
        "item_y": y,
        "item_p": p,
        "item_prior": np.full(n, 0.55),
        "item_fold": np.zeros(n),
        "control_p": draw.random(n),
        "control_y": (draw.random(n) < 0.5).astype(float),
        "leak_p": draw.random(n),
        "control_prior": np.full(n, 0.45),
        "leak_prior": np.full(n, 0.52),
        "confidence_p": draw.random(n),
        "joined_p": p,
        "train_right": np.array([50.0, 60.0]),
        "train_n": np.array([60.0, 60.0]),
    }


def called(p: Array) -> Array:
    return p >= 0.5


INDEPENDENT: dict[str, Callable[[Parts], float]] = {
    "accuracy": lambda a: sk.accuracy_score(a["item_y"], called(a["item_p"])),
    "bal_acc": lambda a: sk.balanced_accuracy_score(a["item_y"], a["item_p"] >= a["item_prior"]),
    "auroc": lambda a: sk.roc_auc_score(a["item_y"], a["item_p"]),
    "auprc": lambda a: sk.average_precision_score(a["item_y"], a["item_p"]),
    "precision_wrong": lambda a: sk.precision_score(a["item_y"], called(a["item_p"])),
    "recall_wrong": lambda a: sk.recall_score(a["item_y"], called(a["item_p"])),
    "f1_wrong": lambda a: sk.f1_score(a["item_y"], called(a["item_p"])),
    "brier": lambda a: sk.brier_score_loss(a["item_y"], a["item_p"]),
    "selectivity": lambda a: (
        sk.balanced_accuracy_score(a["item_y"], a["item_p"] >= a["item_prior"])
        - sk.balanced_accuracy_score(a["control_y"], a["control_p"] >= a["control_prior"])
    ),
    "leak_check": lambda a: sk.balanced_accuracy_score(a["control_y"], a["leak_p"] >= a["leak_prior"]),
    "added_auroc": lambda a: (
        sk.roc_auc_score(a["item_y"], a["joined_p"]) - sk.roc_auc_score(a["item_y"], a["confidence_p"])
    ),
    "train_test_gap": lambda a: 110 / 120 - sk.accuracy_score(a["item_y"], called(a["item_p"])),
}


def repeated(held: dict[str, Array], w_C: Array) -> dict[str, Array]:
    times = w_C[held["item_cluster"].astype(int)].astype(int)
    return {k: np.repeat(v, times) if v.shape == held["item_y"].shape else v for k, v in held.items()}


@pytest.mark.parametrize("name", INDEPENDENT)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_metric_is_scikit_learns(name: str, seed: int) -> None:
    held = parts(seed)
    assert get_metric(name).point(held)[0] == pytest.approx(INDEPENDENT[name](held), abs=1e-12)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_a_cluster_of_weight_two_counts_twice(name: str) -> None:
    held = parts(2)
    w_RC = np.random.default_rng(5).integers(0, 4, (6, C)).astype(float)
    found = get_metric(name).value(held, w_RC)
    assert found == pytest.approx([INDEPENDENT[name](repeated(held, w_C)) for w_C in w_RC], abs=1e-12)


def test_auroc_of_the_vector_in_the_definition() -> None:
    held = parts(0, C)
    held |= {"item_y": np.array([0, 0, 1, 1.0]), "item_p": np.array([0.1, 0.4, 0.35, 0.8])}
    held |= {"item_fold": np.zeros(4), "item_cluster": np.arange(4.0), "n": np.ones(4)}
    assert get_metric("auroc").point(held)[0] == pytest.approx(0.75)


@pytest.mark.parametrize("name", ["auroc", "auprc"])
def test_scores_of_two_folds_are_not_compared(name: str) -> None:
    """A constant that goes against the labels from fold to fold, as the majority's does, must say nothing."""
    y = np.array([1, 1, 1, 0, 1, 0, 0, 0.0] * 4)
    fold = np.array([0, 0, 0, 0, 1, 1, 1, 1.0] * 4)
    held = parts(0, 32) | {"item_y": y, "item_fold": fold, "item_p": np.where(fold == 0, 0.4, 0.6)}
    # Of a constant the precision is the share of wrong answers in the fold.
    expected = {"auroc": 0.5, "auprc": (0.75 * 12 + 0.25 * 4) / 16}[name]
    assert get_metric(name).point(held)[0] == pytest.approx(expected)


def test_ece_by_a_naive_loop() -> None:
    held, total = parts(3), 0.0
    for low in np.arange(10):
        inside = (np.minimum((held["item_p"] * 10).astype(int), 9)) == low
        if inside.any():
            total += inside.sum() * abs(held["item_p"][inside].mean() - held["item_y"][inside].mean())
    assert get_metric("ece").point(held)[0] == pytest.approx(total / len(held["item_y"]))


@pytest.mark.parametrize("name", ["auroc", "auprc", "bal_acc", "recall_wrong"])
def test_one_class_has_no_value_but_a_reason(name: str) -> None:
    held = parts(0) | {"item_y": np.zeros(120)}
    value, reason = get_metric(name).point(held)
    assert value is None
    assert reason


def test_within_an_author_pairs_have_one_author_and_one_fold() -> None:
    held = parts(4) | {"item_fold": (np.arange(120) % 3).astype(float), "item_author": (np.arange(120) % 4 // 2) * 1.0}
    won = pairs = 0.0
    for i in np.flatnonzero(held["item_y"] == 1):
        for j in np.flatnonzero(held["item_y"] == 0):
            if (held["item_fold"][i], held["item_author"][i]) == (held["item_fold"][j], held["item_author"][j]):
                won += (np.sign(held["item_p"][i] - held["item_p"][j]) + 1) / 2
                pairs += 1
    assert 100 < pairs < 2000
    assert get_metric("auroc_within_author").point(held)[0] == pytest.approx(won / pairs)


def test_a_score_that_knows_the_author_alone_is_chance_within_authors() -> None:
    author = np.repeat([0.0, 1.0], 60)
    y = np.repeat([1.0, 0.0, 1.0, 0.0], [12, 48, 54, 6])
    held = parts(0) | {"item_author": author, "item_p": author, "item_y": y}
    assert get_metric("auroc").point(held)[0] == pytest.approx((1 + 54 / 66 - 6 / 54) / 2)
    assert get_metric("auroc_within_author").point(held)[0] == 0.5


@pytest.mark.parametrize(
    ("author", "y", "says"),
    [(np.zeros(120), np.arange(120) % 2, "one author"), (np.arange(120) % 2, np.arange(120) % 2, "no author has both")],
)
def test_without_pairs_of_one_author_there_is_a_reason(author: Array, y: Array, says: str) -> None:
    held = parts(0) | {"item_author": author * 1.0, "item_y": y * 1.0}
    value, reason = get_metric("auroc_within_author").point(held)
    assert value is None
    assert says in str(reason)


@pytest.mark.parametrize("name", ["cohens_d_max", "n_above_null"])
def test_a_probe_of_permuted_labels_has_the_same_effect_sizes_and_is_no_null_of_them(name: str) -> None:
    assert get_metric(name).derived is False
