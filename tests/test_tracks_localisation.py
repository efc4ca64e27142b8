"""Localisation: a planted place is found, noise has none, and leaving features out is cutting them out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from harness.api import Answers, ErrorProbe, Features
from harness.metrics.contract import get_metric
from harness.tracks.folds import Judged, judged
from harness.tracks.localisation import STEPS, chosen_place, exchanged_items, local_parts, localised
from harness.training.logistic import OUTER, GroupedLogistic
from harness.training.probe import LogisticProbe

PLACES = 4
WIDTH = 6


class Plain(LogisticProbe):
    """Reads what the test gives it."""

    def features(self, answers: Answers) -> Features:
        raise NotImplementedError


class Distance(ErrorProbe):
    """Scores along the difference of the class means: a fit that costs nothing, for tests of many fits."""

    def features(self, answers: Answers) -> Features:
        raise NotImplementedError

    def fit(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> None:
        """Take the difference of the means."""
        self.slope_F = x_nF[y_n == 1].mean(0) - x_nF[y_n == 0].mean(0)

    def predict(self, x_nF: NDArray[Any], classes: int) -> NDArray[np.float64]:
        """Return a logistic of the score."""
        p_n = 1 / (1 + np.exp(-np.clip(x_nF @ self.slope_F, -30, 30)))
        return np.stack([1 - p_n, p_n], 1)

    def parameter_count(self) -> int:
        return 0

    def summary(self) -> dict[str, float]:
        return {}


def made(signal: float, place: int = 2, answers: int = 160, seed: int = 0) -> tuple[Features, Judged]:
    """Return answers in pairs, with a signal in the first feature of one place."""
    draw = np.random.default_rng(seed)
    group_n = np.repeat(np.arange(answers // 2), 2)
    y_n = (draw.permutation(answers // 2) % 2)[group_n].astype(np.int64)
    x_nF = draw.normal(size=(answers, PLACES * WIDTH))
    x_nF[:, place * WIDTH] += signal * y_n
    return Features(x_nF, np.repeat(np.arange(PLACES), WIDTH)), judged(y_n, group_n)


def parts_of(probe: ErrorProbe, features: Features, items: Judged) -> dict[str, NDArray[np.float64]]:
    steps = [localised(probe, features, items, step, PLACES) for step in range(STEPS)]
    return local_parts(steps, items) | {
        "n": np.bincount(items.group_n).astype(np.float64),
        "item_cluster": items.group_n.astype(np.float64),
        "item_y": items.y_n.astype(np.float64),
        "item_fold": items.fold_n.astype(np.float64),
    }


def value(name: str, parts: dict[str, NDArray[np.float64]]) -> float:
    found, reason = get_metric(name).point(parts)
    assert found is not None, reason
    return found


def in_folds(y_n: NDArray[Any], score_n: NDArray[Any], fold_n: NDArray[Any]) -> float:
    """Return the AUROC over pairs of one fold, by scikit-learn."""
    own = [fold_n == fold for fold in np.unique(fold_n)]
    pairs = [(y_n[rows] == 1).sum() * (y_n[rows] == 0).sum() for rows in own]
    return float(np.average([roc_auc_score(y_n[rows], score_n[rows]) for rows in own], weights=pairs))


@pytest.fixture(scope="module")
def planted() -> dict[str, NDArray[np.float64]]:
    return parts_of(Distance(), *made(signal=2.0))


def test_a_planted_place_is_chosen_in_every_fold_and_tells_what_the_whole_tells(
    planted: dict[str, NDArray[np.float64]],
) -> None:
    assert planted["place"].tolist() == [2.0] * OUTER
    features, items = made(signal=2.0)
    itself = in_folds(items.y_n, features.value_nF[:, 2 * WIDTH], items.fold_n)
    assert value("local_auroc", planted) == pytest.approx(itself, abs=0.04)
    # Whatever is not planted tells nothing, so all of it is lost with the place.
    assert value("local_drop", planted) == pytest.approx(itself - 0.5, abs=0.1)
    assert value("local_excess", planted) > 0.25


def test_values_are_those_of_a_loop_over_answers(planted: dict[str, NDArray[np.float64]]) -> None:
    y_n, fold_n = planted["item_y"], planted["item_fold"]
    chosen = [int(planted["place"][int(fold)]) for fold in fold_n]
    alone_n = np.array([row[place] for row, place in zip(planted["alone_p"], chosen, strict=True)])
    removed_n = np.array([row[place] for row, place in zip(planted["removed_p"], chosen, strict=True)])
    assert value("local_auroc", planted) == pytest.approx(in_folds(y_n, alone_n, fold_n), abs=1e-12)
    drop = in_folds(y_n, planted["whole_p"], fold_n) - in_folds(y_n, removed_n, fold_n)
    assert value("local_drop", planted) == pytest.approx(drop, abs=1e-12)
    best = max(in_folds(y_n, column, fold_n) for column in planted["alone_p"].T)
    null_n = planted["item_y_null"]
    null = max(in_folds(null_n, column, fold_n) for column in planted["alone_null_p"].T)
    assert value("local_excess", planted) == pytest.approx(best - null, abs=1e-12)


def test_leaving_features_out_is_cutting_them_out() -> None:
    features, items = made(signal=1.0, answers=120)
    found = localised(Plain(), features, items, 0, PLACES)
    train_n = items.fold_n != 0
    for place in range(PLACES):
        cut_nF = features.value_nF[:, features.block_F == place]
        probe = Plain()
        probe.fit(cut_nF[train_n], items.y_n[train_n], items.group_n[train_n])
        assert found["alone_p"][:, place] == pytest.approx(probe.predict(cut_nF[~train_n], 2)[:, 1], abs=1e-9)


def test_without_a_place_the_penalty_is_that_of_the_whole() -> None:
    features, items = made(signal=1.0, answers=120)
    probe = Plain()
    probe.fit(features.value_nF, items.y_n, items.group_n)
    strength = probe._logistic.strength
    cut_nF = features.value_nF[:, WIDTH:]
    probe.refit(cut_nF, items.y_n, items.group_n)
    scaled_nF = (cut_nF - cut_nF.mean(0)) / cut_nF.std(0)
    plain = LogisticRegression(C=strength, class_weight="balanced", max_iter=300, tol=1e-3).fit(scaled_nF, items.y_n)
    share = items.y_n.mean()
    odds_n = plain.decision_function(scaled_nF) + np.log(share / (1 - share))
    assert probe.predict(cut_nF, 2)[:, 1] == pytest.approx(1 / (1 + np.exp(-odds_n)), abs=1e-6)
    probe.fit(cut_nF, items.y_n, items.group_n)
    fresh = GroupedLogistic(LogisticProbe.LEAST_ROWS)
    fresh.fit(cut_nF, items.y_n, items.group_n)
    assert probe._logistic.strength == fresh.strength


def test_on_noise_the_chosen_place_is_chance_and_the_best_of_the_table_is_not() -> None:
    chosen, best, excess = [], [], []
    for seed in range(10):
        features, items = made(signal=0.0, answers=100, seed=seed)
        parts = parts_of(Distance(), features, items)
        chosen.append(value("local_auroc", parts))
        aurocs = [in_folds(parts["item_y"], column, parts["item_fold"]) for column in parts["alone_p"].T]
        best.append(max(aurocs))
        excess.append(value("local_excess", parts))
    # One AUROC of 100 answers misses by .06, so a mean of 10 by .02, and the largest of four is .06 too large.
    assert np.mean(chosen) == pytest.approx(0.5, abs=0.05)
    assert np.mean(best) > 0.53
    assert np.mean(excess) == pytest.approx(0.0, abs=0.06)


def test_the_choice_does_not_look_at_the_answers_that_are_judged() -> None:
    features, items = made(signal=0.5)
    train_n = items.fold_n != 0
    before = chosen_place(features, items, train_n, PLACES)
    other_nF, other_n = features.value_nF.copy(), items.y_n.copy()
    other_nF[~train_n, 3 * WIDTH] += 100 * items.y_n[~train_n]
    other_n[~train_n] = 1 - other_n[~train_n]
    changed = Features(other_nF, features.block_F)
    assert chosen_place(changed, replace(items, y_n=other_n), train_n, PLACES) == before


def test_groups_exchange_labels_whole_and_folds_stay() -> None:
    _, items = made(signal=0.0)
    null = exchanged_items(items)
    assert null.y_n.sum() == items.y_n.sum()
    assert (null.y_n[::2] == null.y_n[1::2]).all()
    assert (null.y_n != items.y_n).any()
    assert (null.fold_n == items.fold_n).all()


def test_a_probe_that_reads_at_no_place_has_no_value_and_a_reason() -> None:
    features, items = made(signal=0.0)
    nowhere = Features(features.value_nF, np.full_like(features.block_F, -1))
    parts = parts_of(Distance(), nowhere, items)
    for name in ("local_auroc", "local_drop", "local_excess"):
        found, reason = get_metric(name).point(parts)
        assert found is None
        assert "not measured" in (reason or "")


def test_a_null_is_not_asked_where_it_reads() -> None:
    class Null(Distance):
        """Is a null."""

        null = True

    assert localised(Null(), *made(0.0), 0, PLACES) == {}


def test_one_class_in_the_train_answers_of_a_fold_leaves_a_choice() -> None:
    features, items = made(signal=1.0)
    train_n = items.fold_n != 0
    alone = replace(items, y_n=np.where(np.arange(160) < 2, 1, 0))
    assert 0 <= chosen_place(features, alone, train_n, PLACES) < PLACES
