"""The sequence probe: it reads positions in order, the same seed gives the same network, and no group is split."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from harness.api import Answers, ErrorProbe, Features, Setting
from harness.registry import build_method
from harness.specs.library import Library
from harness.training import sequences
from harness.training.logistic import folds

LIBRARY = Library()
POOLINGS = ("sequence", "sequence_attention")
BLOCKS, POSITIONS, WIDTH = 2, 3, 4


def probe(name: str, seed: int = 0, **net: Any) -> ErrorProbe:
    found = LIBRARY.method(name)
    params = found.spec.params | {"net": found.spec.params["net"] | net}
    made: ErrorProbe = build_method(found, params, Setting(WIDTH, 0, 0, seed))
    return made


def answers(count: int = 300) -> tuple[Answers, NDArray[np.int64], NDArray[np.int64]]:
    """Return answers whose label is the product of two signs at different positions and blocks: no sum tells it."""
    draw = np.random.default_rng(0)
    x_nLPD = 0.3 * draw.normal(size=(count, BLOCKS, POSITIONS, WIDTH)).astype(np.float32)
    sign_n2 = draw.choice([-1.0, 1.0], (count, 2))
    x_nLPD[:, 0, 0, 0] += sign_n2[:, 0]
    x_nLPD[:, 1, 2, 0] += sign_n2[:, 1]
    empty = ("",) * count
    made = Answers(empty, empty, (None,) * count, x_nLPD, np.zeros((count, 4)), (0, 1), ("a", "b", "c"))
    return made, (sign_n2.prod(1) < 0).astype(np.int64), np.arange(count) // 2


def auroc(one: ErrorProbe, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> float:
    train = np.arange(len(y_n)) < 0.8 * len(y_n)
    one.fit(x_nF[train], y_n[train], group_n[train])
    return float(roc_auc_score(y_n[~train], one.predict(x_nF[~train], 2)[:, 1]))


def test_what_two_positions_tell_together_is_found_where_a_sum_of_features_cannot() -> None:
    made, y_n, group_n = answers(500)
    found = LIBRARY.method("sequence")
    # A product takes longer to learn than a sum.
    slow = found.spec.params | {"schedule": found.spec.params["schedule"] | {"lr": 0.02, "patience": 30, "epochs": 40}}
    network: ErrorProbe = build_method(found, slow, Setting(WIDTH, 0, 0, 0))
    x_nF = network.features(made).value_nF
    assert auroc(network, x_nF, y_n, group_n) > 0.95
    line = LogisticRegression().fit(x_nF[:400], y_n[:400])
    assert abs(roc_auc_score(y_n[400:], line.predict_proba(x_nF[400:])[:, 1]) - 0.5) < 0.15


@pytest.mark.parametrize("name", POOLINGS)
def test_a_planted_direction_is_found_and_noise_is_not(name: str) -> None:
    made, _, group_n = answers()
    one = probe(name)
    x_nF = one.features(made).value_nF
    seen = (made.activation_nLPD[:, 1, 2, 0] > 0).astype(np.int64)
    assert auroc(one, x_nF, seen, group_n) > 0.95
    random = np.random.default_rng(5).permutation(150)[group_n] % 2
    assert auroc(one, x_nF, random, group_n) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("name", POOLINGS)
def test_the_same_seed_gives_the_same_network_and_nobody_elses_numbers_change(name: str) -> None:
    made, y_n, group_n = answers(60)
    found = []
    torch.manual_seed(11)
    state = torch.get_rng_state()
    for seed in (0, 0, 1):
        one = probe(name, seed)
        x_nF = one.features(made).value_nF
        one.fit(x_nF, y_n, group_n)
        found.append(one.predict(x_nF, 2))
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()
    assert torch.equal(state, torch.get_rng_state())


def test_steps_are_positions_and_hold_all_blocks() -> None:
    made, y_n, group_n = answers(60)
    one: Any = probe("sequence", dropout=0.0)
    x_nF = one.features(made).value_nF
    one.fit(x_nF, y_n, group_n)
    scale = one._fitted[0]
    back = one._steps(scale, x_nF).reshape(60, POSITIONS, BLOCKS, WIDTH).transpose(1, 2).flatten(1).numpy()
    assert scale.inverse_transform(back) == pytest.approx(made.activation_nLPD.reshape(60, -1), abs=1e-5)


def test_a_part_of_the_features_is_read_activation_by_activation(recwarn: pytest.WarningsRecorder) -> None:
    made, y_n, group_n = answers(60)
    one = probe("sequence")
    features = one.features(made)
    for kept in (features.block_F != 2, features.block_F == 2):
        x_nF = features.value_nF[:, kept]
        one.fit(x_nF, y_n, group_n)
        assert one.predict(x_nF, 2).sum(1) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="whole activations of 4 numbers, got 6"):
        one.fit(features.value_nF[:, :6], y_n, group_n)
    assert not recwarn.list


def test_three_classes_of_which_one_was_not_seen() -> None:
    made, y_n, group_n = answers(60)
    one = probe("sequence")
    x_nF = one.features(made).value_nF
    one.fit(x_nF, 2 * y_n, group_n)
    p_n4 = one.predict(x_nF, 4)
    assert p_n4.sum(1) == pytest.approx(1.0)
    assert (p_n4[:, [1, 3]] == 0).all()


def test_the_groups_to_stop_at_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held out is a fold of groups, and no row of it moves a weight."""
    made, y_n, group_n = answers(60)
    held_n = folds(y_n, group_n, sequences.PARTS) == 0
    assert set(group_n[held_n]).isdisjoint(group_n[~held_n])
    x_nTW = torch.from_numpy(made.activation_nLPD.transpose(0, 2, 1, 3).reshape(60, POSITIONS, -1).copy())
    shape, schedule = sequences.Shape("gru", 8, 8, 0.0), sequences.Schedule(0.01, 0.0, 16, 3, 9)
    # every epoch counts as better, so that the last is kept whatever the held-out rows say
    falling = itertools.count()
    monkeypatch.setattr(sequences, "_loss", lambda *_: -float(next(falling)))
    one = sequences.fit_sequences(x_nTW, y_n, group_n, shape, schedule, 0)
    other_nTW = x_nTW.clone()
    other_nTW[torch.from_numpy(held_n)] += 100.0
    other = sequences.fit_sequences(other_nTW, y_n, group_n, shape, schedule, 0)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_features_say_which_block_they_are_of() -> None:
    made, _, _ = answers(60)
    features: Features = probe("sequence").features(made)
    assert np.bincount(features.block_F).tolist() == [WIDTH] * (BLOCKS * POSITIONS)
