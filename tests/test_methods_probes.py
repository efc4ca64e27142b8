"""Every error probe keeps the contract; few latents find a planted one, and nothing is learned outside the fold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

from harness.api import Answers, ArrayActivations, Dictionary, ErrorProbe, Features, Method, Setting, Train
from harness.methods import hgb
from harness.registry import build_method, check_params, method_class
from harness.specs.library import Library
from harness.testing import check_error_probe
from harness.tracks.folds import fold_parts, judged
from harness.training.calibration import Calibrated
from harness.training.coded import codes_of
from harness.training.components import components
from harness.training.logistic import OUTER, GroupedLogistic, folds
from harness.training.probe import at_shares

LIBRARY = Library()
PROBES = [
    name
    for name in LIBRARY.names("methods")
    if LIBRARY.method(name).spec.kind == "error_probe" and LIBRARY.method(name).spec.code
]
D, L, P = 8, 2, 3
Ints = NDArray[np.int64]


def answers(count: int = 60, seed: int = 0) -> Answers:
    draw = np.random.default_rng(seed)
    return Answers(
        prompt=tuple(f"What is {i} + {i % 5}?" for i in range(count)),
        answer=tuple(f"It is {draw.integers(0, 90)}." for _ in range(count)),
        author=tuple("ann" if i % 2 else "bob" for i in range(count)),
        activation_nLPD=draw.normal(size=(count, L, P, D)).astype(np.float32),
        confidence_nK=draw.normal(size=(count, 4)),
        blocks=(3, 5),
        positions=("a", "b", "c"),
    )


def dictionary(name: str) -> Dictionary:
    found = LIBRARY.method(name)
    made: Dictionary = build_method(found, found.spec.params, Setting(D, 16, 3, 0))
    rows = torch.randn(256, D, generator=torch.Generator().manual_seed(1))
    made.fit(Train(ArrayActivations(rows), ArrayActivations(rows[:64]), 1, torch.device("cpu")))
    return made.eval().requires_grad_(False)


def used(name: str) -> tuple[dict[str, Method], dict[str, tuple[Method, ...]]]:
    """Return what a probe uses: probes as they are, and a random dictionary for each block."""
    uses: dict[str, Method] = {}
    below: dict[str, tuple[Method, ...]] = {}
    for role, other in LIBRARY.method(name).spec.uses.items():
        if other == "any" or LIBRARY.method(other).spec.kind == "error_probe":
            uses[role] = probe("raw_lr" if other == "any" else other)
        else:
            below[role] = (dictionary("random_dictionary"),) * L
    return uses, below


def smaller(name: str) -> dict[str, Any]:
    """Return a probe's parameters, with fewer trees."""
    params = LIBRARY.method(name).spec.params
    return {**params, "iterations": 20, "rate": 0.3} if name == "hgb" else params


def probe(name: str) -> ErrorProbe:
    made: ErrorProbe = build_method(LIBRARY.method(name), smaller(name), Setting(D, 16, 3, 0, *used(name)))
    return made


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_keeps_the_contract(name: str) -> None:
    found = LIBRARY.method(name)
    make, (uses, below) = method_class(found), used(name)
    params = check_params(found, make, smaller(name))
    check_error_probe(make, params, uses=uses, at_blocks=below, seeded=found.spec.seeded)


def planted(count: int = 120, gap: float = 4.0) -> tuple[Answers, Ints, Ints]:
    """Return answers of which one dimension, at the second block and the third position, says whether they are wrong.

    Another is larger by far in both classes alike: what counts is the difference.
    """
    given, draw = answers(count), np.random.default_rng(5)
    group_n = np.arange(count) // 2
    y_n = draw.permutation(count // 2)[group_n] % 2
    x_nLPD = given.activation_nLPD.copy()
    x_nLPD[:, 1, 2, 6] += gap * y_n
    x_nLPD[:, 0, 1, 2] += 50.0
    return replace(given, activation_nLPD=x_nLPD), y_n, group_n


def test_one_latent_of_all_blocks_and_positions_is_found_in_every_fold() -> None:
    given, y_n, group_n = planted()
    found = LIBRARY.method("sae_top1_lr")
    one: Any = build_method(found, found.spec.params, Setting(D, 16, 3, 0, {}, {"dictionary": (identity(),) * L}))
    features, items = one.features(given), judged(y_n, group_n)
    planted_at = (1 * P + 2) * D + 6
    assert features.block_F[planted_at] == 1 * P + 2
    for fold in range(OUTER):
        own = items.fold_n != fold
        reduced = one.reduction(features.value_nF[own], y_n[own])(features.value_nF)
        assert np.array_equal(reduced, features.value_nF[:, [planted_at]])
    parts = [fold_parts(one, features, items, fold) for fold in range(OUTER)]
    scores = [roc_auc_score(y_n[part["index"].astype(int)], part["item_p"]) for part in parts]
    assert np.mean(scores) > 0.98


def identity() -> Dictionary:
    found = LIBRARY.method("identity")
    made: Dictionary = build_method(found, {}, Setting(D, D, D, 0))
    return made


def test_few_latents_are_chosen_among_those_that_fire_often_enough() -> None:
    one: Any = probe("sae_top1_lr")
    x_nF = np.zeros((40, 2))
    y_n = np.arange(40) % 2
    x_nF[1, 0] = 1e6  # one wrong answer alone
    x_nF[:, 1] = 0.1 * y_n
    assert np.array_equal(one.reduction(x_nF, y_n)(x_nF)[:, 0], x_nF[:, 1])


@pytest.mark.parametrize("k", [1, 2, 5, 16])
def test_k_latents_are_read(k: int) -> None:
    names = {1: "sae_top1_lr", 2: "sae_top2_lr", 5: "sae_top5_lr", 16: "sae_topk_lr"}
    given, y_n, _ = planted()
    one: Any = probe(names[k])
    x_nF = one.features(given).value_nF
    assert one.reduction(x_nF, y_n)(x_nF).shape == (120, k)


def test_codes_are_each_block_s_own_dictionary_at_each_position() -> None:
    given, two = answers(), (identity(), dictionary("pca"))
    found = codes_of(given, two)
    at = found.value_nF[:, found.block_F == 1 * P + 2]
    rows = torch.from_numpy(given.activation_nLPD[:, 1, 2])
    assert np.allclose(at, two[1].encode(rows, torch.arange(60)).numpy(), atol=1e-6)
    assert np.array_equal(found.value_nF[:, found.block_F == 0], given.activation_nLPD[:, 0, 0])


@pytest.mark.parametrize(
    ("uses", "says"), [(1, "one dictionary is needed for each of 2 blocks"), (2, "whole document")]
)
def test_dictionaries_that_do_not_fit_are_refused(uses: int, says: str) -> None:
    one = identity()
    one.shared = 1 if uses == 2 else 0
    with pytest.raises(ValueError, match=says):
        codes_of(answers(), (one,) * uses)


@pytest.mark.parametrize("name", ["pca_lr", "hgb", "ensemble", "sae_top1_lr", "sae_lr"])
def test_what_test_answers_hold_changes_no_fit(name: str) -> None:
    """Whatever stands in a fold's own answers, its fit is the same: nothing is standardised or chosen on them."""
    given, y_n, group_n = planted(90)
    one, items = probe(name), judged(y_n, group_n)
    x_nF = one.features(given).value_nF.astype(np.float64)
    other_nF, test_n = x_nF.copy(), items.fold_n == 0
    other_nF[test_n] = np.random.default_rng(9).permutation(other_nF[test_n]) * 100.0 + 7.0
    block_F = np.zeros(x_nF.shape[1], dtype=np.int64)
    first, second = (fold_parts(one, Features(x, block_F), items, 0) for x in (x_nF, other_nF))
    assert np.array_equal(first["train_right"], second["train_right"])
    one.fit(x_nF[~test_n], y_n[~test_n], group_n[~test_n])
    expected = one.predict(x_nF[:5], 2)
    one.fit(other_nF[~test_n], y_n[~test_n], group_n[~test_n])
    assert np.array_equal(one.predict(x_nF[:5], 2), expected)
    assert not np.array_equal(first["item_p"], second["item_p"])


def test_components_are_those_of_the_standardised_train_rows() -> None:
    draw = np.random.default_rng(2)
    for rows, features in ((50, 12), (20, 70)):
        x_nF = draw.normal(size=(rows, features)) @ draw.normal(size=(features, features))
        held_nF = draw.normal(size=(5, features))
        mean_F, spread_F = x_nF.mean(0), x_nF.std(0)
        axes = np.linalg.svd((x_nF - mean_F) / spread_F, full_matrices=False)[2][:4]
        found = components(x_nF, 4)(held_nF)
        assert np.allclose(np.abs(found), np.abs((held_nF - mean_F) / spread_F @ axes.T), atol=1e-6)
    assert components(draw.normal(size=(6, 3)), 64)(np.zeros((2, 3))).shape == (2, 3)


def test_trees_find_what_no_line_can() -> None:
    draw = np.random.default_rng(0)
    x_nF = draw.normal(size=(400, 2))
    y_n = (x_nF[:, 0] * x_nF[:, 1] > 0).astype(np.int64)
    scores = {}
    for name in ("hgb", "raw_lr"):
        one = probe(name)
        one.fit(x_nF[:300], y_n[:300], np.arange(300))
        scores[name] = roc_auc_score(y_n[300:], one.predict(x_nF[300:], 2)[:, 1])
    assert scores["hgb"] > 0.9
    assert scores["raw_lr"] < 0.65


def test_trees_stop_on_groups_they_did_not_grow_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a group hold its number, so that what reaches the trees shows which side a group is on."""
    seen: dict[str, NDArray[np.float64]] = {}
    plain = hgb.HistGradientBoostingClassifier.fit

    def noted(self: Any, x: Any, y: Any, *, X_val: Any, y_val: Any) -> Any:
        seen.update(own=x, held=X_val)
        return plain(self, x, y, X_val=X_val, y_val=y_val)

    monkeypatch.setattr(hgb.HistGradientBoostingClassifier, "fit", noted)
    group_n = np.random.default_rng(3).permutation(np.repeat(np.arange(50), 4))
    made = probe("hgb")
    made.fit(group_n[:, None].astype(np.float64), group_n % 2, group_n)
    own, held = (set(np.round(seen[side][:, 0], 9)) for side in ("own", "held"))
    assert len(own) + len(held) == 50
    assert not own & held
    assert 5 <= len(held) <= 15
    assert made._model.n_iter_ < 20  # type: ignore[attr-defined]


class Overconfident(ErrorProbe):
    """Says the true log-odds of one feature times four."""

    def features(self, answers: Answers) -> Features:
        raise NotImplementedError

    def fit(self, x_nF: NDArray[Any], y_n: Ints, group_n: Ints) -> None:
        """Learn nothing."""

    def predict(self, x_nF: NDArray[Any], classes: int) -> NDArray[np.float64]:
        logp = np.stack([np.zeros(len(x_nF)), 4.0 * x_nF[:, 0]], 1)
        return at_shares(logp, np.ones(classes))

    def parameter_count(self) -> int:
        return 0

    def summary(self) -> dict[str, float]:
        return {}


def test_calibration_brings_an_overconfident_probe_to_the_true_probabilities() -> None:
    draw = np.random.default_rng(0)
    x_nF = draw.normal(size=(4000, 1))
    true_n = 1 / (1 + np.exp(-x_nF[:, 0]))
    y_n = (draw.random(4000) < true_n).astype(np.int64)
    made = Calibrated(Overconfident())
    made.fit(x_nF[:2000], y_n[:2000], np.arange(2000))
    p_n = made.predict(x_nF[2000:], 2)[:, 1]
    assert np.abs(p_n - true_n[2000:]).mean() < 0.02
    assert np.abs(Overconfident().predict(x_nF[2000:], 2)[:, 1] - true_n[2000:]).mean() > 0.1


def test_calibration_sees_no_answer_of_a_group_the_probe_was_fitted_on() -> None:
    """A probe that remembers its groups says 0 or 1 of them and nothing of others: calibrated, it says nothing."""
    group_n = np.repeat(np.arange(60), 5)
    y_n = np.random.default_rng(0).permutation(60)[group_n] % 2
    one_hot = np.eye(60)[group_n]
    made = Calibrated(probe("raw_lr"))
    made.fit(one_hot, y_n, group_n)
    assert np.abs(made.predict(one_hot, 2)[:, 1] - 0.5).max() < 0.2
    plain = GroupedLogistic()
    plain.fit(one_hot, y_n, group_n)
    assert roc_auc_score(y_n, plain.log_probs(one_hot, 2)[:, 1]) == 1.0


def test_the_ensemble_is_the_mean_of_its_calibrated_members() -> None:
    given, y_n, group_n = planted(80, gap=1.0)
    x_nF, train = given.raw().value_nF, folds(y_n, group_n, OUTER) != 0
    fitted = [Calibrated(probe(name)) for name in ("raw_lr", "hgb")]
    for one in fitted:
        one.fit(x_nF[train], y_n[train], group_n[train])
    made = probe("ensemble")
    made.fit(x_nF[train], y_n[train], group_n[train])
    p_nK = made.predict(x_nF[~train], 2)
    assert p_nK == pytest.approx(np.mean([one.predict(x_nF[~train], 2) for one in fitted], axis=0))
    assert log_loss(y_n[~train], p_nK[:, 1]) < 0.8


def test_an_ensemble_of_probes_that_read_other_features_is_refused() -> None:
    found = LIBRARY.method("ensemble")
    made: ErrorProbe = build_method(found, {}, Setting(D, 0, 0, 0, {"a": probe("raw_lr"), "b": probe("confidence")}))
    with pytest.raises(ValueError, match="the same features"):
        made.features(answers())


def test_three_classes_have_probabilities_of_their_own() -> None:
    draw = np.random.default_rng(0)
    y_n = np.arange(150) % 3
    x_nF = draw.normal(size=(150, 6))
    x_nF[np.arange(150), y_n] += 4.0
    for name in ("pca_lr", "hgb"):
        made = probe(name)
        made.fit(x_nF, y_n, np.arange(150))
        p_nK = made.predict(x_nF, 3)
        assert p_nK.sum(1) == pytest.approx(1.0)
        assert (p_nK.argmax(1) == y_n).mean() > 0.8
