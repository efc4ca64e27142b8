"""A world is drawn as its settings say: who fires, how often, with whom, and from which seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from harness.data.worlds import World, draw, make_world, probe, true_count
from harness.specs.worlds import WorldData

PLAIN: dict[str, Any] = {"source": "world", "width": 16, "directions": 20, "rates": {"first": 0.3, "last": 0.03}}
FAMILY = {**PLAIN, "hierarchy": {"parents": 3, "children": 4, "chance": 0.5}}
SHARED = {**PLAIN, "shared": {"directions": 6, "active": 2}}
TOKENS = 20_000


def data(base: dict[str, Any] = PLAIN, **change: Any) -> WorldData:
    return WorldData.model_validate({**base, **change})


def codes(world: World, tokens: int = TOKENS) -> np.ndarray[Any, np.dtype[np.float64]]:
    return draw(world, "test/0", tokens)[1]


@pytest.mark.parametrize("base", [PLAIN, FAMILY, SHARED])
def test_activations_are_codes_times_directions_plus_offset(base: dict[str, Any]) -> None:
    world = make_world(data(base, offset=3.0))
    x_TD, code_TG = draw(world, "test/0", 200)
    assert x_TD == pytest.approx(code_TG @ world.direction_GD + world.offset_D, abs=1e-12)
    assert np.linalg.norm(world.offset_D) == pytest.approx(3)
    assert np.linalg.norm(world.direction_GD, axis=1) == pytest.approx(np.ones(true_count(world.data)))


def test_noise_has_its_standard_deviation() -> None:
    world = make_world(data(noise=0.1))
    x_TD, code_TG = draw(world, "test/0", TOKENS)
    assert (x_TD - code_TG @ world.direction_GD).std() == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("active", [None, 2, 4])
def test_rates_are_those_asked_for(active: int | None) -> None:
    world = make_world(data(active=active))
    fires = codes(world) > 0
    rate = world.rate_R
    error = np.sqrt(rate * (1 - rate) / TOKENS)
    assert (np.abs(fires.mean(0) - rate) < 4.5 * error).all()
    assert rate[0] / rate[-1] == pytest.approx(10)
    assert rate[3] / rate[0] == pytest.approx(4 ** -(np.log(10) / np.log(20)))
    if active is None:
        assert rate[0] == pytest.approx(0.3)
    else:
        assert (fires.sum(1) == active).all()
        assert rate.sum() == pytest.approx(active)


def test_directions_that_are_not_bound_fire_about_independently() -> None:
    fires = (codes(make_world(data(active=4))) > 0).astype(float)
    correlation = np.corrcoef(fires.T)[np.triu_indices(20, 1)]
    # A fixed number of active directions makes each pair a little exclusive, by 1 / (G - 1) on average, and no more.
    assert correlation.mean() == pytest.approx(-1 / 19, abs=0.02)
    assert np.abs(correlation).max() < 0.15


def test_sizes_are_absolute_values_of_normal_numbers() -> None:
    code = codes(make_world(data(sizes={"mean": 1.0, "sd": 0.25})))
    sizes = code[code != 0]
    assert (sizes > 0).all()
    assert (sizes.mean(), sizes.std()) == (pytest.approx(1, abs=0.01), pytest.approx(0.25, abs=0.01))


def test_children_fire_beside_their_parent_one_at_a_time() -> None:
    world = make_world(data(FAMILY))
    fires = codes(world) > 0
    assert world.parent_G.tolist() == [*range(20), *(p for p in range(3) for _ in range(4))]
    for parent in range(3):
        children = fires[:, (world.parent_G == parent) & (np.arange(32) >= 20)]
        assert children.shape[1] == 4
        assert (children.sum(1) <= fires[:, parent]).all()
        share = children.any(1).sum() / fires[:, parent].sum()
        assert share == pytest.approx(0.5, abs=0.05)
        assert (children.sum(0) > 0.1 * fires[:, parent].sum() * 0.5).all()


def test_shared_directions_last_a_document_and_are_orthogonal_to_the_rest() -> None:
    world = make_world(data(SHARED))
    assert world.shared_G.tolist() == [False] * 20 + [True] * 6
    shared_SD, own_RD = world.direction_GD[world.shared_G], world.direction_GD[~world.shared_G]
    assert shared_SD @ shared_SD.T == pytest.approx(np.eye(6), abs=1e-12)
    assert own_RD @ shared_SD.T == pytest.approx(np.zeros((20, 6)), abs=1e-12)
    seen = np.zeros(6, dtype=bool)
    for i in range(30):
        code_TS = draw(world, f"test/{i}", 8)[1][:, world.shared_G]
        assert (code_TS == code_TS[0]).all()
        assert (code_TS[0] != 0).sum() == 2
        seen |= code_TS[0] != 0
    assert seen.all()


def test_every_draw_has_a_seed_by_name() -> None:
    world = make_world(data(noise=0.01))
    again = make_world(data(noise=0.01))
    assert np.array_equal(draw(world, "test/0", 9)[0], draw(again, "test/0", 9)[0])
    names = ("train/0", "test/0", "test/1", "val/0")
    first = [draw(world, name, 9)[0] for name in names]
    assert len({x.tobytes() for x in first}) == len(names)
    other = make_world(data(noise=0.01, seed=1))
    assert not np.allclose(world.direction_GD, other.direction_GD)


@pytest.mark.parametrize("change", [{"seed": 1}, {"noise": 0.5}, {"active": 3}, {"rates": {"first": 0.2, "last": 0.1}}])
def test_another_world_has_another_hash(change: dict[str, Any]) -> None:
    assert probe(data(), 8) == probe(data(), 8) != probe(data(**change), 8)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rates": {"first": 0.1, "last": 0.3}}, "rates fall from 'first' to 'last', got 0.1 and 0.3"),
        ({"active": 18}, r"active \(18\) would have the commonest direction fire 3.65 times a token"),
        ({"hierarchy": {"parents": 21, "children": 1, "chance": 0.5}}, r"hierarchy.parents \(21\) must be at most 20"),
        ({"shared": {"directions": 3, "active": 4}}, r"shared.active \(4\) must be at most 3"),
        ({"shared": {"directions": 16, "active": 4}}, r"shared.directions \(16\) must leave room in width 16"),
    ],
)
def test_a_world_that_cannot_be_drawn_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        data(**change)
