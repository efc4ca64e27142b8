"""Kinds of error: what the labels say, what a probe that is told them tells, and what the metrics make of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from harness.api import ErrorProbe, Features, Setting
from harness.metrics.contract import Array, get_metric
from harness.metrics.error_kinds import said_kinds
from harness.registry import build_method
from harness.specs.library import Library
from harness.tracks.error_kinds import kinds_of
from harness.tracks.folds import Judged, control_parts, fold_parts, joined_parts, judged
from harness.training.logistic import OUTER

LIBRARY = Library()
NAMES = ("right", "carry", "sign", "unparsable")


def probe(name: str, **uses: ErrorProbe) -> ErrorProbe:
    found = LIBRARY.method(name)
    made: ErrorProbe = build_method(found, found.spec.params, Setting(4, 0, 0, 0, uses))
    return made


def answers(apart: float, count: int = 240) -> tuple[Features, Judged]:
    """Return right answers and three kinds of error, each shifted along an axis of its own, in groups of two."""
    draw = np.random.default_rng(1)
    kind_n = np.repeat(draw.permutation(np.arange(count // 2) % 4), 2)
    x_nF = draw.normal(size=(count, 4)) + apart * np.eye(4)[kind_n]
    group_n = np.arange(count) // 2
    kinds = kinds_of([NAMES[kind] for kind in kind_n], "right", group_n)
    assert kinds is not None
    assert (kinds.kind_n == kind_n).all()
    return Features(x_nF, np.zeros(4, dtype=np.int64)), judged((kind_n > 0).astype(np.int64), group_n, kinds)


def parts_of(one: ErrorProbe, features: Features, items: Judged) -> dict[str, Array]:
    asked = items.asked(one.labels)
    found = [
        fold_parts(one, features, asked, fold) | control_parts(one, features, asked, fold) for fold in range(OUTER)
    ]
    order = np.argsort(np.concatenate([fold["index"] for fold in found]))
    names = found[0].keys() - {"index", "train_right", "train_n"}
    assert items.kinds is not None
    return {name: np.concatenate([fold[name] for fold in found])[order] for name in names} | {
        "n": np.bincount(items.group_n).astype(float),
        "item_cluster": items.group_n.astype(float),
        "item_fold": items.fold_n.astype(float),
        "item_kind": items.kinds.kind_n.astype(float),
        "control_y": items.control_n.astype(float),
    }


def value(name: str, parts: dict[str, Array]) -> float:
    found, reason = get_metric(name).point(parts)
    assert found is not None, reason
    return found


def test_kinds_that_are_planted_are_told() -> None:
    parts = parts_of(probe("error_types", probe=probe("raw_lr")), *answers(apart=9.0))
    assert value("kind_bal_acc", parts) > 0.95
    assert value("kind_auroc", parts) > 0.99
    assert value("auroc", parts) > 0.99
    assert value("selectivity", parts) > 0.3


def test_kinds_that_nothing_tells_are_at_their_null() -> None:
    parts = parts_of(probe("error_types", probe=probe("raw_lr")), *answers(apart=0.0, count=480))
    assert value("kind_bal_acc", parts) == pytest.approx(1 / 4, abs=0.07)
    assert value("kind_auroc", parts) == pytest.approx(1 / 2, abs=0.07)
    constant = parts_of(probe("error_types", probe=probe("majority")), *answers(apart=0.0))
    assert value("kind_bal_acc", constant) == 1 / 4
    assert value("kind_auroc", constant) == value("auroc", constant) == value("bal_acc", constant) == 1 / 2


def test_an_answer_is_wrong_with_the_chance_that_it_is_not_right() -> None:
    features, items = answers(apart=2.0)
    one = probe("error_types", probe=probe("raw_lr"))
    parts = parts_of(one, features, items)
    assert parts["item_p"] == pytest.approx(1 - parts["kind_p"][:, 0])
    assert parts["kind_p"].sum(1) == pytest.approx(1.0)
    joined = joined_parts(one, features, features.value_nF[:, :1], items, 0, parts["item_p"][items.fold_n == 0])
    assert sk.roc_auc_score(items.y_n[items.fold_n == 0], joined["joined_p"]) > 0.6


def test_with_kinds_unknown_the_probe_is_the_one_it_is_made_of() -> None:
    features, items = answers(apart=2.0)
    plain = items.asked("wrong")
    one, other = (
        fold_parts(made, features, plain, 0) for made in (probe("error_types", probe=probe("raw_lr")), probe("raw_lr"))
    )
    assert one.keys() == other.keys()
    assert (one["item_p"] == other["item_p"]).all()


def random_parts(seed: int, count: int = 90) -> dict[str, Array]:
    draw = np.random.default_rng(seed)
    kind_n, cluster_n = draw.integers(0, 4, count), np.arange(count) // 2
    p_nK = draw.dirichlet(np.ones(4), count) + 0.3 * np.eye(4)[kind_n]
    return {
        "n": np.bincount(cluster_n).astype(float),
        "item_cluster": cluster_n.astype(float),
        "item_fold": np.zeros(count),
        "item_kind": kind_n.astype(float),
        "kind_p": p_nK / p_nK.sum(1, keepdims=True),
        "kind_prior": np.tile([0.4, 0.3, 0.2, 0.1], (count, 1)),
    }


def sklearns(held: dict[str, Array]) -> dict[str, float]:
    """Return both metrics, by scikit-learn."""
    kind_n = held["item_kind"].astype(int)
    wrong = kind_n > 0
    given = held["kind_p"][wrong, 1:] / held["kind_p"][wrong, 1:].sum(1, keepdims=True)
    return {
        "kind_bal_acc": sk.balanced_accuracy_score(kind_n, (held["kind_p"] / held["kind_prior"]).argmax(1)),
        "kind_auroc": sk.roc_auc_score(kind_n[wrong], given, multi_class="ovr"),
    }


@pytest.mark.parametrize("name", ["kind_bal_acc", "kind_auroc"])
@pytest.mark.parametrize("seed", [0, 1])
def test_metrics_are_scikit_learns_and_a_cluster_of_weight_two_counts_twice(name: str, seed: int) -> None:
    held = random_parts(seed)
    assert value(name, held) == pytest.approx(sklearns(held)[name], abs=1e-12)
    w_C = np.random.default_rng(seed).integers(1, 3, len(held["n"])).astype(float)
    times = w_C[held["item_cluster"].astype(int)].astype(int)
    twice = {key: np.repeat(rows, times, 0) for key, rows in held.items() if key != "n"}
    found = get_metric(name).value(held, np.stack([w_C, np.ones_like(w_C)]))
    assert found == pytest.approx([sklearns(twice)[name], sklearns(held)[name]], abs=1e-12)


def test_of_two_kinds_of_answer_the_rule_is_that_of_balanced_accuracy() -> None:
    """With right answers and one kind of error, said at the largest p / share: at p >= share."""
    draw = np.random.default_rng(0)
    p_n, share = draw.random(50), 0.3
    held = {"kind_p": np.stack([1 - p_n, p_n], 1), "kind_prior": np.tile([1 - share, share], (50, 1))}
    assert (said_kinds(held) == (p_n > share)).all()


def test_a_kind_that_a_fold_has_not_seen_is_not_said() -> None:
    held = {"kind_p": np.array([[0.1, 0.2, 0.7]]), "kind_prior": np.array([[0.5, 0.5, 0.0]])}
    assert said_kinds(held).tolist() == [1]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["right", "sign", "carry"] * 6, ("right", "carry", "sign")),
        (["right", "sign", "carry"] * 6 + ["odd", "dot"], ("right", "carry", "other", "sign")),
        (["right", "sign", "other"] * 6 + ["odd"], ("right", "other", "sign")),
        (["right", "wrong"] * 6, None),
        (["right", "odd", "dot"] * 4, None),
    ],
)
def test_kinds_in_fewer_groups_than_folds_are_one(labels: list[str], names: tuple[str, ...] | None) -> None:
    found = kinds_of(labels, "right", np.arange(len(labels)))
    assert (found and found.names) == names
    if found is not None:
        rare = [label in ("odd", "dot") for label in labels]
        assert {found.names[kind] for kind in found.kind_n[rare]} <= {"other"}
        assert ((found.kind_n == 0) == [label == "right" for label in labels]).all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"item_kind": None}, "one kind of error"),
        ({"kind_p": None}, "tells no kinds"),
        ({"item_kind": np.arange(90) % 2.0}, "fewer than two kinds"),
    ],
)
def test_what_has_no_value_says_why(changes: dict[str, NDArray[np.float64] | None], says: str) -> None:
    held = {k: v for k, v in (random_parts(0) | changes).items() if v is not None}
    for name in ("kind_bal_acc", "kind_auroc"):
        found, reason = get_metric(name).point(held)
        assert found is None
        assert says in (reason or "")


def test_the_control_task_is_at_chance_where_the_truth_is_plain() -> None:
    features, items = answers(apart=9.0, count=400)
    one = probe("control_task", of=probe("raw_lr"))
    parts = parts_of(one, features, items)
    assert "kind_p" not in parts
    assert (parts["item_y"] == items.control_n).all()
    assert value("auroc", parts) == pytest.approx(0.5, abs=0.1)
    assert value("bal_acc", parts) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("labels", ["wrong", "kind"])
def test_permuted_labels_are_those_that_the_probe_is_told(labels: str) -> None:
    of = probe("error_types", probe=probe("raw_lr")) if labels == "kind" else probe("raw_lr")
    assert probe("permuted_label", of=of).labels == labels
