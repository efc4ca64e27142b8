"""What a probe's scores must not do: rise on noise by choosing, know a group from its twin, or prefer a class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from harness.api import Features, Setting
from harness.metrics.contract import Array, get_metric
from harness.registry import build_method
from harness.specs.library import Library
from harness.tracks.folds import Judged, chance, judged, leak_parts
from harness.training.logistic import OUTER
from harness.training.probe import LogisticProbe

LIBRARY = Library()


def raw_lr() -> LogisticProbe:
    found = LIBRARY.method("raw_lr")
    made: LogisticProbe = build_method(found, found.spec.params, Setting(4, 0, 0, 0))
    return made


def out_of_fold(x_nF: Array, items: Judged) -> Array:
    """Return the probability that each answer is wrong, from the fold that did not see its group."""
    p_n = np.full(len(x_nF), np.nan)
    for fold in range(OUTER):
        test_n = items.fold_n == fold
        p_n[test_n] = chance(raw_lr(), x_nF, items.told_n, items.group_n, ~test_n)[test_n]
    return p_n


def balanced(items: Judged, p_n: Array) -> float:
    return float(sk.balanced_accuracy_score(items.y_n, p_n >= items.y_n.mean()))


def test_duplicated_noise_is_learned_where_rows_are_divided_and_not_where_groups_are() -> None:
    """Means over draws: of one draw of fifty groups, .05 would be less than a standard error."""
    by_group, by_row = [], []
    for seed in range(5):
        draw = np.random.default_rng(seed)
        group_n = np.repeat(np.arange(50), 2)
        items = judged((draw.permutation(50) % 2).astype(np.int64)[group_n], group_n)
        x_nF = draw.normal(size=(50, 60))[group_n]
        by_group.append(balanced(items, out_of_fold(x_nF, items)))
        rows = replace(items, group_n=np.arange(100), fold_n=items.row_fold_n)
        by_row.append(balanced(rows, out_of_fold(x_nF, rows)))
    assert np.mean(by_group) == pytest.approx(0.5, abs=0.05)
    assert np.mean(by_row) > 0.8


def test_the_leak_is_measured_on_labels_that_only_a_twin_can_tell() -> None:
    """Answers without twins leak nothing: the same features, each group once."""
    found = {}
    for twins in (1, 2):
        draw = np.random.default_rng(2)
        group_n = np.repeat(np.arange(120 // twins), twins)
        items = judged((draw.permutation(len(group_n) // twins) % 2).astype(np.int64)[group_n], group_n)
        features = Features(draw.normal(size=(120 // twins, 100))[group_n], np.full(100, -1))
        parts = [leak_parts(raw_lr(), features, items, fold) for fold in range(OUTER)]
        index = np.concatenate([part["leak_index"] for part in parts]).astype(int)
        said = np.concatenate([part["leak_p"] >= part["leak_prior"] for part in parts])
        found[twins] = sk.balanced_accuracy_score(items.control_n[index], said)
    assert found[2] > 0.8
    assert found[1] == pytest.approx(0.5, abs=0.12)


def test_what_is_chosen_inside_the_folds_adds_nothing_on_noise() -> None:
    """Nested: the strength is chosen on inner folds. Chosen on the outer ones it would look better than chance."""
    nested, chosen = [], []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        items = judged((draw.permutation(600) % 2).astype(np.int64), np.arange(600) // 5)
        x_nF = draw.normal(size=(600, 20))
        nested.append(in_folds(items, out_of_fold(x_nF[:, :6], items)))
        # the best of twenty features by the very folds it is judged on
        chosen.append(max(in_folds(items, x_nF[:, column]) for column in range(20)))
    # The standard error of this mean is .0075.
    assert np.mean(nested) - 0.5 < 0.02
    assert np.mean(nested) > 0.48
    assert np.mean(chosen) - 0.5 > 0.02


def in_folds(items: Judged, score_n: Array) -> float:
    own = [items.fold_n == fold for fold in range(OUTER)]
    return float(np.mean([sk.roc_auc_score(items.y_n[rows], score_n[rows]) for rows in own]))


def flipped(held: dict[str, Array]) -> dict[str, Array]:
    return held | {name: 1 - held[name] for name in ("item_y", "item_p", "item_prior")}


def test_with_right_and_wrong_exchanged_symmetric_metrics_stay_and_one_sided_ones_swap() -> None:
    draw = np.random.default_rng(0)
    y: NDArray[np.float64] = (draw.random(80) < 0.6).astype(float)
    held = {
        "n": np.ones(80),
        "item_cluster": np.arange(80.0),
        "item_y": y,
        "item_p": np.clip(0.5 + 0.3 * (y - 0.5) + 0.2 * draw.normal(size=80), 0, 1),
        "item_prior": np.full(80, 0.57),
        "item_fold": np.arange(80.0) % 5,
    }

    def value(name: str, parts: dict[str, Array]) -> float | None:
        return get_metric(name).point(parts)[0]

    for name in ("auroc", "bal_acc", "accuracy", "brier"):
        assert value(name, flipped(held)) == pytest.approx(value(name, held), abs=1e-12)
    right = {"y_true": held["item_y"], "y_pred": held["item_p"] >= 0.5, "pos_label": 0}
    assert value("precision_wrong", flipped(held)) == pytest.approx(sk.precision_score(**right))
    assert value("recall_wrong", flipped(held)) == pytest.approx(sk.recall_score(**right))
    assert value("precision_wrong", flipped(held)) != pytest.approx(value("precision_wrong", held), abs=0.01)
