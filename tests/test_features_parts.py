"""The streaming sums of feature pages against loops, numpy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from feature_worlds import World, batch, documents, random_text
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from harness.features.keep import Best, priority
from harness.features.mass import TokenMass, token_conc, token_entropy
from harness.features.matching import alike
from harness.features.neighbours import cluster, nearest, unit
from harness.features.regression import RIDGE, TokenRegression
from harness.features.sizes import Sizes
from harness.features.sketch import Sketch, chance, signs
from harness.features.text import read_text


def test_pieces_and_windows_follow_the_documents() -> None:
    docs = documents(3, 3)
    rows = [list(range(1, 71)), list(range(5, 15)), list(range(30, 50))]
    packed = batch([rows[1] + rows[2]], [0])
    packed.doc_BT[0] = torch.tensor([1] * 10 + [2] * 20)
    text = read_text([batch([rows[0]], [0]), packed], docs, 32, 16)
    assert text.doc_P.tolist() == [0, 1, 2]
    assert text.first_P.tolist() == [0, 70, 80, 100]
    assert text.types_V[text.type_M].tolist() == rows[0] + rows[1] + rows[2]
    assert (text.batch_P.tolist(), text.row_P.tolist(), text.column_P.tolist()) == ([0, 1, 1], [0, 0, 0], [0, 0, 10])
    # 70 tokens are three windows of nearly equal length; 10 are too short for one.
    assert list(zip(text.start_W, text.length_W, text.piece_W, strict=True)) == [
        (0, 23, 0), (23, 23, 0), (46, 24, 0), (80, 20, 2),
    ]  # fmt: skip
    before = text.neighbour(-1)
    assert [i for i in range(100) if before[i] < 0] == [0, 70, 80]
    assert (before[1:70] == text.type_M[:69]).all()


def test_the_halves_share_no_group_and_do_not_depend_on_order() -> None:
    text = random_text(count=24, groups=6)
    sides = {int(g): set(text.side_P[text.group_P == g].tolist()) for g in text.group_P}
    assert all(len(side) == 1 for side in sides.values())
    assert sum(min(side) for side in sides.values()) == 3
    one = read_text([batch([[1, 2, 3]], [0])], documents(1, 1), 32, 1)
    assert one.side_P.tolist() == [0]


@given(st.integers(1, 6), st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_the_best_are_kept_whatever_the_chunks(size: int, chunks: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = torch.from_numpy(rng.permutation(sum(chunks) * 3).reshape(-1, 3).astype(np.float32))
    keys[torch.from_numpy(rng.random(keys.shape) < 0.3)] = -torch.inf
    best, start = Best(size, 3), 0
    for chunk in chunks:
        part, first = keys[start : start + chunk], start
        best.add(part, lambda index_kF, first=first: {"at": index_kF + first})  # type: ignore[misc]
        start += chunk
    for latent in range(3):
        order = sorted((i for i in range(len(keys)) if keys[i, latent] > -torch.inf), key=lambda i: -keys[i, latent])
        assert best.of(latent)["at"].tolist() == order[:size]
        assert best.of(latent)["key"].tolist() == [float(keys[i, latent]) for i in order[:size]]


def test_priorities_are_uniform_and_their_own() -> None:
    first, again = priority(np.arange(20000), 0), priority(np.arange(20000), 0)
    assert torch.equal(first, again)
    counts = torch.histc(first, 20, 0, 1)
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 45  # chi-squared with 19 degrees: p about .001
    assert not torch.equal(first, priority(np.arange(20000), 1))


def test_token_mass_is_that_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.features.mass._MERGE", 50)
    rng = np.random.default_rng(0)
    z = torch.from_numpy(np.where(rng.random((300, 5)) < 0.3, rng.normal(size=(300, 5)), 0.0)).float()
    z[:, 4] = 0
    types = rng.integers(0, 30, 300)
    mass = TokenMass(30)
    for start in range(0, 300, 41):
        mass.add(z[start : start + 41], torch.from_numpy(types[start : start + 41]))
    for latent in range(4):
        expected = np.zeros(30)
        for i in range(300):
            expected[types[i]] += abs(float(z[i, latent]))
        found, share = mass.of(latent)
        assert share == pytest.approx(np.sort(expected[expected > 0])[::-1] / expected.sum(), rel=1e-6)
        assert expected[found] / expected.sum() == pytest.approx(share, rel=1e-6)
    assert mass.of(4)[0].size == 0


def test_concentration_and_entropy_have_closed_forms() -> None:
    assert token_conc(np.full(20, 0.05)) == pytest.approx(0.5)
    assert token_conc(np.array([1.0])) == 1
    assert token_entropy(np.full(20, 0.05), 20) == pytest.approx(1)
    assert token_entropy(np.array([1.0]), 20) == 0
    assert token_entropy(np.array([0.5, 0.25, 0.125, 0.125]), 4) == pytest.approx(0.875)


def test_sketches_estimate_correlations() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(size=(3000, 1))
    z = np.maximum(np.hstack([common + 0.5 * rng.normal(size=(3000, 4)), rng.normal(size=(3000, 4))]), 0)
    z = np.hstack([z, np.full((3000, 1), 2.0), np.zeros((3000, 1))]).astype(np.float32)
    sketch = Sketch(10, 4096)
    for start in range(0, 3000, 700):
        part = torch.from_numpy(z[start : start + 700])
        sketch.add(part, signs(start, part.shape[0], 4096))
    unit_FS = sketch.unit()
    estimate = (unit_FS @ unit_FS.T).numpy()
    truth = np.corrcoef(z[:, :8].T)
    # A standard error of 1/64 for each of 28 pairs.
    assert np.abs(estimate[:8, :8] - truth).max() < 4 / 64
    assert not unit_FS[8:].any()


def test_signs_do_not_depend_on_what_came_before() -> None:
    assert torch.equal(signs(7, 5, 64), signs(7, 5, 64))
    assert set(signs(7, 50, 64).unique().tolist()) == {-1.0, 1.0}
    assert abs(float(signs(3, 100, 100).mean())) < 0.04


@pytest.mark.parametrize(("count", "dims"), [(512, 64), (2304, 576)])
def test_chance_is_about_the_largest_cosine_of_random_vectors(count: int, dims: int) -> None:
    vectors = unit(torch.randn(count, dims, generator=torch.Generator().manual_seed(0)))
    largest = float((vectors @ vectors.T - 2 * torch.eye(count)).max())
    assert largest == pytest.approx(chance(count, dims), rel=0.12)


def test_token_regression_is_ridge_on_one_hot_tokens() -> None:
    text = random_text(count=24, length=64, groups=8)
    rng = np.random.default_rng(0)
    size, types = text.type_M.size, 20
    z = np.where(rng.random((size, 3)) < 0.1, rng.random((size, 3)), 0).astype(np.float32)
    z[:, 0] += text.type_M == np.bincount(text.type_M).argmax()
    z[:, 2] = 0
    regression = TokenRegression(text, types, 3)
    for p in range(text.doc_P.size):
        at = np.arange(text.first_P[p] + 1, text.first_P[p + 1])
        regression.add(torch.from_numpy(z[at]), at)
    found = regression.correlations()

    common = np.argsort(-np.bincount(text.type_M), kind="stable")[:types].tolist()
    column = {int(t): i for i, t in enumerate(common)}
    before = text.neighbour(-1)
    x = np.zeros((size, 2 * (types + 2)))
    for i in range(size):
        x[i, column.get(int(text.type_M[i]), types)] = 1
        x[i, types + 2 + column.get(int(before[i]), types)] = 1
    used = np.concatenate([np.arange(a + 1, b) for a, b in zip(text.first_P, text.first_P[1:], strict=False)])
    side = text.side_P[text.piece_M][used]
    for latent in (0, 1):
        model = Ridge(alpha=RIDGE, fit_intercept=False).fit(x[used][side == 0], z[used][side == 0, latent])
        held = model.predict(x[used][side == 1])
        assert found[latent] == pytest.approx(np.corrcoef(held, z[used][side == 1, latent])[0, 1], abs=1e-4)
    assert found[0] > abs(found[1]) + 0.2
    assert np.isnan(found[2])


def test_neighbours_are_those_of_a_full_sort() -> None:
    rows = unit(torch.randn(60, 8, generator=torch.Generator().manual_seed(0)))
    value, index = nearest(rows, rows, 5, same=True)
    for i in range(60):
        order = sorted((j for j in range(60) if j != i), key=lambda j: -float(rows[i] @ rows[j]))[:5]
        assert index[i].tolist() == order
        assert value[i].tolist() == pytest.approx([float(rows[i] @ rows[j]) for j in order], abs=1e-6)
    assert nearest(rows[:2], rows[:2], 5, same=True)[1].tolist() == [[1], [0]]


def test_planted_clusters_are_found_and_the_rest_is_left_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 256, generator=generator).repeat_interleave(torch.tensor([5, 4, 3]), dim=0)
    loose = torch.randn(40, 256, generator=generator)
    rows = unit(torch.cat([centres + 0.5 * torch.randn(12, 256, generator=generator), loose, torch.zeros(1, 256)]))
    found, need = cluster(rows, np.arange(53))
    assert found == [[0, 1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11]]
    assert need == pytest.approx(chance(52, 256))
    assert cluster(rows, np.array([52])) == ([], 1.0)


def test_contexts_are_of_different_documents_with_every_activation() -> None:
    text = random_text(count=30, length=50, groups=10)
    z = torch.rand(text.type_M.size, 2, generator=torch.Generator().manual_seed(1))
    z = torch.where(z > 0.97, z, 0.0)
    world = World(text, z, [], Sizes())
    for pieces in (1, 7, 30):
        contexts = world.gatherer(pieces, thorough=True).contexts
        for latent in range(2):
            found = contexts.of(latent)
            best = sorted(
                (float(z[a:b, latent].max()) for a, b in zip(text.first_P, text.first_P[1:], strict=False)),
                reverse=True,
            )
            assert [float(held["value"]) for kind, held in found if kind == "top"] == pytest.approx(best[:8])
            assert len({contexts._document(held) for _, held in found}) == len(found) == 12
            for _, held in found:
                start, length = int(held["start"]), int(held["length"])
                assert held["z"][:length].tolist() == z[start : start + length, latent].tolist()
                assert start <= int(held["peak"]) < start + length <= int(held["start"]) + 32


def test_random_stand_ins_have_the_covariance_of_what_they_stand_for() -> None:
    generator = torch.Generator().manual_seed(0)
    few = torch.randn(4, 32, generator=generator)
    rows = unit(torch.randn(2000, 4, generator=generator) @ few + 0.1 * torch.randn(2000, 32, generator=generator))
    made = alike(rows)
    assert made.shape == rows.shape
    assert made.norm(dim=1).numpy() == pytest.approx(np.ones(2000), abs=1e-5)
    moment, expected = (made.T @ made / 2000).numpy(), (rows.T @ rows / 2000).numpy()
    assert np.linalg.norm(moment - expected) < 0.1 * np.linalg.norm(expected)
    isotropic = np.eye(32) / 32
    assert np.linalg.norm(isotropic - expected) > 0.5 * np.linalg.norm(expected)


def test_what_is_kept_does_not_grow_with_the_text() -> None:
    held = []
    for count in (160, 480):
        text = random_text(count=count, length=64, groups=40)
        z = torch.rand(text.type_M.size, 3, generator=torch.Generator().manual_seed(1))
        made = World(text, torch.where(z > 0.97, z, 0.0), [], Sizes(train=10, test=10)).gatherer(20, thorough=True)
        bests = [*made.windows._fires, *made.windows._silent, made.contexts._top, made.contexts._sample]
        held.append([{name: tuple(value.shape) for name, value in best.held.items()} for best in bests])
        assert all(best.key_KF.shape[0] == best.size for best in bests)
    assert held[0] == held[1]
