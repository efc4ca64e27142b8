"""Lexical labels: what is planted is found, what is random is not, and every number has its control."""

from __future__ import annotations

import numpy as np
import pytest
from feature_worlds import World, digits_and_noise
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score, roc_auc_score

from harness.features.items import Items
from harness.features.labels import Counted, Labeller, coverage, rotate
from harness.features.lexical import (
    PRIOR,
    Explainer,
    Side,
    auroc,
    best_threshold,
    deciles,
    effective,
    quality,
    refusal,
    score_lower,
)
from harness.specs.features import Label
from harness.stats.proportions import wilson


@pytest.fixture(scope="module")
def world() -> World:
    return digits_and_noise()


@pytest.fixture(scope="module")
def labels(world: World) -> dict[int, Label]:
    labeller = Labeller(world.text, world.words, world.sizes)
    found, refused = labeller.label(world.gatherer(), range(world.z_MF.shape[1]), lambda done, total: None)
    assert refused == {}
    return found


def test_a_latent_on_digits_is_explained_by_digits(labels: dict[int, Label]) -> None:
    label = labels[0]
    assert (label.items[0].kind, label.items[0].text) == ("class", "digit")
    assert label.detection.balanced >= 0.98
    assert label.fuzzing.balanced >= 0.98
    assert label.detection.lower > 0.7
    assert label.detection.auroc >= 0.98


def test_random_latents_are_at_chance(labels: dict[int, Label]) -> None:
    noise = [label for latent, label in labels.items() if latent > 0]
    detection = np.array([label.detection.balanced for label in noise])
    fuzzing = np.array([label.fuzzing.balanced for label in noise])
    # 100 windows: a standard error of .05 each, .008 for the mean of 40.
    assert abs(detection.mean() - 0.5) < 0.025
    assert abs(fuzzing.mean() - 0.5) < 0.07
    assert np.median(np.abs(detection - 0.5)) < 0.07
    assert sum(label.detection.lower > 0.7 for label in noise) == 0


def test_another_latents_label_and_a_bag_of_words_are_the_controls(labels: dict[int, Label]) -> None:
    permuted = [label.permuted for label in labels.values() if label.permuted is not None]
    assert len(permuted) == len(labels)
    assert abs(np.mean(permuted) - 0.5) < 0.025
    assert labels[0].ceiling > 0.75
    assert abs(np.mean([label.ceiling for latent, label in labels.items() if latent > 0]) - 0.5) < 0.03


def test_labels_are_made_and_tested_on_different_groups(world: World) -> None:
    gatherer, text = world.gatherer(), world.text
    for latent in range(5):
        sides = [gatherer.windows.of(latent, side) for side in (0, 1)]
        groups = [set(text.group_P[text.piece_W[np.concatenate([s.fires, s.silent])]].tolist()) for s in sides]
        assert groups[0]
        assert groups[1]
        assert not groups[0] & groups[1]
        assert [(s.fires.size, s.silent.size) for s in sides] == [(40, 40), (50, 50)]


def test_windows_fire_or_are_silent_as_the_codes_say(world: World) -> None:
    gatherer, text = world.gatherer(), world.text
    for side in (gatherer.windows.of(latent, half) for latent in range(4) for half in (0, 1)):
        latent = next(i for i in range(4) if np.isin(side.peak, np.flatnonzero(world.z_MF[:, i] > 0)).all())
        z_M = world.z_MF[:, latent].numpy()
        for window, peak, bits, active in zip(side.fires, side.peak, side.bits, side.active, strict=True):
            start, end = text.start_W[window], text.start_W[window] + text.length_W[window]
            assert z_M[peak] == z_M[start:end].max()
            high = [i for i in range(end - start) if z_M[start + i] > 0.3 * z_M[peak]]
            assert bits == sum(1 << i for i in high)
            assert active == (z_M[start:end] > 0).sum()
        for window in side.silent:
            assert not z_M[text.start_W[window] : text.start_W[window] + text.length_W[window]].any()


def test_items_are_ranked_by_the_informative_dirichlet_prior(world: World) -> None:
    counted = world.text.side_P[world.text.piece_M] == 0
    items = Items(world.text, world.words, counted)
    explainer = Explainer(world.text, items, 10, 0)
    peak = np.flatnonzero(world.z_MF[:, 0].numpy() > 0)[:40]
    found, z = explainer._items(peak)
    digit = next(i for i in found if items.describe(int(i)) == ("class", "digit"))
    share = np.mean([world.words[t].isdigit() for t in world.text.type_M[counted]])
    here, n, count = 40 + PRIOR * share, 40 + PRIOR, counted.sum()
    odds = np.log(here / (n - here)) - np.log(share / (1 - share))
    spread = 1 / here + 1 / (n - here) + 1 / (share * count) + 1 / ((1 - share) * count)
    assert z[list(found).index(digit)] == pytest.approx(odds / np.sqrt(spread), rel=1e-6)
    assert list(z) == sorted(z, reverse=True)


def test_the_background_counts_every_item_once_a_position(world: World) -> None:
    items = Items(world.text, world.words, np.ones(world.text.type_M.size, dtype=bool))
    expected: dict[tuple[str, str], int] = {}
    text, words = world.text, world.words
    for p in range(text.doc_P.size):
        types = text.type_M[text.first_P[p] : text.first_P[p + 1]].tolist()
        for i, t in enumerate(types):
            here = [("token", words[t])]
            here += [("before", words[types[i - 1]]), ("bigram", f"{words[types[i - 1]]}|{words[t]}")] if i else []
            here += [("after", words[types[i + 1]])] if i + 1 < len(types) else []
            here += [("class", "digit")] if words[t].isdigit() else []
            for item in here:
                expected[item] = expected.get(item, 0) + 1
    found = {items.describe(i): round(items.background[i] * items.positions) for i in range(items.count)}
    assert {item: count for item, count in found.items() if count} == expected


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=4, max_size=40))
def test_auroc_and_f1_are_those_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    score = np.array([float(s) for s, _ in rows])
    truth = np.array([t for _, t in rows])
    if truth.all() or not truth.any():
        return
    found = quality(score, truth, 2.5, np.arange(truth.size))
    assert found.auroc == pytest.approx(roc_auc_score(truth, score))
    assert found.f1 == pytest.approx(f1_score(truth, score > 2.5, zero_division=0.0))
    assert auroc(score, truth) + auroc(-score, truth) == pytest.approx(1)


def test_the_vector_of_the_design() -> None:
    assert auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])) == 0.75


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=4, max_size=30))
def test_no_other_threshold_is_better_on_train(rows: list[tuple[int, bool]]) -> None:
    score, truth = np.array([float(s) for s, _ in rows]), np.array([t for _, t in rows])
    if truth.all() or not truth.any():
        return

    def right(threshold: float) -> float:
        said = score > threshold
        return float((said[truth].mean() + (~said)[~truth].mean()) / 2)

    chosen = best_threshold(score, truth)
    assert all(right(chosen) >= right(t) for t in np.arange(-0.5, 6, 0.5))


def test_the_bound_is_wilsons_for_independent_items_and_wider_for_groups() -> None:
    assert score_lower(120 / 183, 183) == pytest.approx(wilson(120, 183)[0])
    assert score_lower(1.0, 10) == pytest.approx(0.7225, abs=1e-4)
    right = np.array([True] * 40 + [False] * 10)
    alone = effective(right, np.arange(50))
    factor = (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 49)) ** 2
    assert alone == pytest.approx(49 * factor, rel=0.03)
    # Ten groups of five equal answers are worth ten items, less what so few groups cost.
    together = effective(right, np.repeat(np.arange(10), 5))
    assert together == pytest.approx(9 * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 9)) ** 2)
    assert effective(np.ones(50, dtype=bool), np.repeat(np.arange(10), 5)) < 10
    assert effective(right, np.zeros(50, dtype=np.int64)) == 1


def test_the_bound_covers_clustered_windows() -> None:
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        group = np.repeat(np.arange(20), 5)
        truth = np.arange(100) % 2 == 0
        skill = np.clip(rng.normal(0.75, 0.15, 20), 0, 1)[group]
        right = rng.random(100) < skill
        found = quality(np.where(right == truth, 1.0, 0.0), truth, 0.5, group)
        missed += found.lower > 0.75
    # One side of a 95 % interval: 2.5 %, and the two rates share groups, which the combination does not know.
    assert missed / 300 < 0.08


def test_deciles_give_as_many_from_each() -> None:
    key = np.random.default_rng(0).random(80)
    chosen = deciles(key, 40)
    rank = stats.rankdata(key)[chosen] - 1
    assert np.bincount((rank // 8).astype(int)).tolist() == [4] * 10
    assert sorted(deciles(key[:7], 40).tolist()) == list(range(7))


def test_a_latent_with_too_few_windows_is_refused_with_the_numbers() -> None:
    some, few = np.arange(40), np.arange(7)
    full = Side(some, some, some, some, some)
    short = Side(few, few, few, few, some)
    assert refusal(full, full, (40, 40)) is None
    assert refusal(short, full, (40, 40)) == "7 windows in which it fires to make a label from, 40 are needed"
    assert refusal(full, short, (40, 40)) == "7 windows in which it fires to test it on, 40 are needed"


def test_silent_and_rare_latents_have_reasons_and_count_as_uncovered(world: World) -> None:
    z_MF = world.z_MF[:, :3].clone()
    z_MF[:, 1] = 0
    z_MF[100:, 2] = 0
    thin = World(world.text, z_MF, world.words, world.sizes)
    gatherer = thin.gatherer()
    labels, refused = Labeller(thin.text, thin.words, thin.sizes).label(gatherer, range(3), lambda d, t: None)
    assert set(labels) == {0}
    assert labels[0].permuted is None
    assert refused[1] == "it never fires"
    assert "are needed" in refused[2]
    found = coverage("planted", labels, {2: refused[2]}, Counted(alive=2, sampled=2))
    assert (found.coverage, found.of_labelled, found.labelled, found.reason) == (0.5, 1.0, 1, None)
    assert (found.lo, found.hi) == pytest.approx(wilson(1, 2), abs=1e-4)
    none = coverage("control", {}, {2: refused[2]}, Counted(1, 1))
    assert (none.coverage, none.lo, none.hi) == (None, None, None)
    assert none.reason is not None
    assert "windows in which" in none.reason
    assert coverage("still", {}, {}, Counted(0, 0)).reason == "no latent fires"


def test_a_permutation_leaves_nothing_in_its_place() -> None:
    found = rotate(range(50), 3)
    assert sorted(found.values()) == list(range(50))
    assert all(a != b for a, b in found.items())
    assert rotate([4], 0) == {}
