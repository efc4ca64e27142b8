"""Worlds: activations drawn from known directions. numpy only; every draw has a seed by name.

Sums are taken slot by slot in float64, never by a matrix product, so that the same world has the same bits whatever
the number of threads.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.specs.worlds import Hierarchy, WorldData

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """The truth: ``x = codes @ direction_GD + offset_D + noise``.

    Directions stand in this order: those drawn token by token (commonest first), children (of the first parent, the
    second, …), shared ones.

    Attributes:
        data: what the task says.
        direction_GD: unit vectors.
        offset_D: what every activation has in common.
        rate_R: probability that each direction drawn token by token fires.
        parent_G: the direction without which it never fires; its own number where there is none.
        shared_G: whether it fires in every token of a document, with one size.
    """

    data: WorldData
    direction_GD: Floats
    offset_D: Floats
    rate_R: Floats
    parent_G: NDArray[np.int64]
    shared_G: NDArray[np.bool_]


def true_count(data: WorldData) -> int:
    """Return ``G``, the number of true directions."""
    children = data.hierarchy.parents * data.hierarchy.children if data.hierarchy else 0
    return data.directions + children + (data.shared.directions if data.shared else 0)


def make_world(data: WorldData) -> World:
    """Draw the directions of a world."""
    count, shared = true_count(data), data.shared.directions if data.shared else 0
    parent_G = np.arange(count)
    if data.hierarchy:
        parents = np.repeat(np.arange(data.hierarchy.parents), data.hierarchy.children)
        parent_G[data.directions : data.directions + parents.size] = parents
    shared_G = np.arange(count) >= count - shared
    offset_D = data.offset * _unit(_generator(data, "offset").standard_normal((1, data.width)))[0]
    return World(data, _directions(data, count, shared), offset_D, np.array(data.firing()), parent_G, shared_G)


def draw(world: World, name: str, tokens: int) -> tuple[Floats, Floats]:
    """Return activations ``[T, D]`` and true codes ``[T, G]`` of one document; its name (``test/3``) is its seed."""
    generator, data = _generator(world.data, name), world.data
    fires_TR = _fires(generator, world.rate_R, data.active, tokens)
    code_TG = np.zeros((tokens, len(world.parent_G)))
    code_TG[:, : data.directions] = fires_TR * _sizes(generator, data, fires_TR.shape)
    if data.hierarchy:
        _add_children(code_TG, generator, data, data.hierarchy)
    if data.shared:
        chosen = generator.choice(data.shared.directions, data.shared.active, replace=False)
        code_TG[:, np.flatnonzero(world.shared_G)[chosen]] = _sizes(generator, data, chosen.shape)
    noise_TD = data.noise * generator.standard_normal((tokens, data.width))
    return _add_up(code_TG, world.direction_GD) + world.offset_D + noise_TD, code_TG


def probe(data: WorldData, tokens: int) -> str:
    """Return a hash of a world: its settings, and what this version draws for the first document of each split."""
    total, world = hashlib.sha256(json.dumps(data.model_dump(mode="json"), sort_keys=True).encode()), make_world(data)
    for split in ("train", "val", "test"):
        x_TD, code_TG = draw(world, f"{split}/0", tokens)
        total.update(x_TD.astype("<f4").tobytes() + code_TG.astype("<f4").tobytes())
    return total.hexdigest()


def _generator(data: WorldData, name: str) -> np.random.Generator:
    return np.random.default_rng([data.seed, *name.encode()])


def _unit(row_GD: Floats) -> Floats:
    unit: Floats = row_GD / np.sqrt(np.square(row_GD).sum(1, keepdims=True))
    return unit


def _directions(data: WorldData, count: int, shared: int) -> Floats:
    """Return unit vectors; the shared ones are orthonormal, and the others lie in what is orthogonal to them."""
    row_GD = _generator(data, "directions").standard_normal((count, data.width))
    if shared:
        basis_SD = np.linalg.qr(row_GD[-shared:].T)[0].T
        row_GD = row_GD - (row_GD @ basis_SD.T) @ basis_SD
        row_GD[-shared:] = basis_SD
    return _unit(row_GD)


def _fires(generator: np.random.Generator, rate_R: Floats, active: int | None, tokens: int) -> NDArray[np.bool_]:
    """Return which directions fire: each by itself, or exactly ``active`` of them with the same probabilities.

    The latter is systematic sampling in a random order (Madow 1949): the rates add up to ``active``, and one comb of
    step 1 laid along their running sum hits each direction with its own probability.
    """
    if active is None:
        return generator.random((tokens, rate_R.size)) < rate_R
    order_TR = generator.random((tokens, rate_R.size)).argsort(axis=1)
    upper_TR = rate_R[order_TR].cumsum(axis=1)
    upper_TR[:, -1] = active
    hits_TR = np.ceil(upper_TR - generator.random((tokens, 1))).clip(0)
    hit_TR = np.diff(hits_TR, axis=1, prepend=0.0) > 0
    fires_TR = np.zeros_like(hit_TR)
    np.put_along_axis(fires_TR, order_TR, hit_TR, axis=1)
    return fires_TR


def _sizes(generator: np.random.Generator, data: WorldData, shape: tuple[int, ...]) -> Floats:
    return np.abs(data.sizes.mean + data.sizes.sd * generator.standard_normal(shape))


def _add_children(code_TG: Floats, generator: np.random.Generator, data: WorldData, family: Hierarchy) -> None:
    """Let one child fire in a share of its parent's firings, all children of a parent alike."""
    parents, children = family.parents, family.children
    shape = (len(code_TG), parents)
    fires_TP = (code_TG[:, :parents] > 0) & (generator.random(shape) < family.chance)
    which_TP = generator.integers(children, size=shape)
    fires_TPC = fires_TP[:, :, None] & (which_TP[:, :, None] == np.arange(children))
    size_TPC = _sizes(generator, data, fires_TPC.shape)
    block = slice(data.directions, data.directions + parents * children)
    code_TG[:, block] = (fires_TPC * size_TPC).reshape(len(code_TG), -1)


def _add_up(code_TG: Floats, direction_GD: Floats) -> Floats:
    """Return ``code_TG @ direction_GD``, one active direction after the other."""
    most = int((code_TG != 0).sum(1).max(initial=0))
    slot_TK = np.argsort(code_TG == 0, axis=1, kind="stable")[:, :most]
    x_TD = np.zeros((len(code_TG), direction_GD.shape[1]))
    for slot_T in slot_TK.T:
        x_TD += np.take_along_axis(code_TG, slot_T[:, None], axis=1) * direction_GD[slot_T]
    return x_TD
