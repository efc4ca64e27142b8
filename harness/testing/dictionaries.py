"""The contract test of a dictionary."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.api import Activations, ArrayActivations, Dictionary, Method, Setting, Train, Truth, silent
from harness.testing.documented import check_documented, require

Make = Callable[[Any, Setting], Dictionary]


SETTING = Setting(width=16, latents=32, l0=4, seed=0)
PASSES = 4


def check_dictionary(
    make: Make,
    params: Any,
    *,
    uses: Mapping[str, Method] | None = None,
    needs: Sequence[str] = (),
    seeded: bool = True,
    setting: Setting = SETTING,
    rows: int = 1024,
) -> Dictionary:
    """Fit a dictionary on planted data and check everything the engine relies on; returns it. Takes a second or two.

    Args:
        make: the method's class.
        params: an instance of its ``Params``.
        uses: fitted methods it is built on, e.g. ``{"of": dictionary}``.
        needs: what ``fit`` finds in ``train.extra`` (``truth``), as its YAML declares it.
        seeded: whether another seed must give another fit.
        setting: width, latents, l0 and seed; its ``uses`` are replaced.
        rows: tokens of the train split; validation and test get a quarter.

    Raises:
        AssertionError: saying what the contract is and what was found.
    """
    setting = replace(setting, uses=uses or {})
    check_documented(make, params)
    extra = _extra(needs, setting, rows)
    fitted = _fitted(make, params, setting, rows, extra)
    _check_fit_is_private(make, params, setting, rows, extra, fitted)
    if seeded:
        other = _fitted(make, params, replace(setting, seed=setting.seed + 1), rows, extra)
        require(not _same(fitted.state(), other.state()), "another seed must give another fit (or say seeded: false)")
    x = planted(setting, rows // 4, seed=3)
    _check_shapes(fitted, x)
    _check_codes(fitted, x)
    _check_directions(fitted, x)
    _check_state(fitted, make(params, setting), x)
    _check_summary(fitted)
    return fitted


def planted(setting: Setting, rows: int, seed: int) -> ArrayActivations:
    """Return sparse sums of fixed random directions about a mean, in documents of 1 to 9 rows."""
    return _planted(setting, rows, seed)[0]


def planted_truth(setting: Setting, splits: Sequence[tuple[int, int]]) -> Truth:
    """Return the truth behind ``planted(setting, rows, seed)`` for each (rows, seed)."""
    drawn = [_planted(setting, rows, seed) for rows, seed in splits]
    direction_GD, mean_D = _planted_world(setting)
    length_G = direction_GD.norm(dim=1)
    return Truth(
        direction_GD / length_G[:, None],
        mean_D,
        torch.arange(len(direction_GD)),
        torch.zeros(len(direction_GD), dtype=torch.bool),
        torch.cat([_rows(x) for x, _ in drawn]),
        torch.cat([code_NG for _, code_NG in drawn]) * length_G,
    )


def _planted_world(setting: Setting) -> tuple[Tensor, Tensor]:
    world = torch.Generator().manual_seed(0)
    direction_GD = torch.randn(2 * setting.width, setting.width, generator=world)
    return direction_GD, 3 * torch.randn(setting.width, generator=world)


def _planted(setting: Setting, rows: int, seed: int) -> tuple[ArrayActivations, Tensor]:
    direction_GD, mean_D = _planted_world(setting)
    draw = torch.Generator().manual_seed(seed)
    active_NG = torch.rand(rows, 2 * setting.width, generator=draw) < 0.1
    size_NG = 1 + 0.25 * torch.randn(rows, 2 * setting.width, generator=draw)
    length_C = torch.randint(1, 10, (rows,), generator=draw)
    doc_N = torch.repeat_interleave(torch.arange(rows), length_C)[:rows]
    code_NG = active_NG * size_NG
    return ArrayActivations(code_NG @ direction_GD + mean_D, doc_N), code_NG


def _extra(needs: Sequence[str], setting: Setting, rows: int) -> dict[str, Any]:
    known = {"truth": lambda: planted_truth(setting, [(rows, 1), (rows // 4, 2), (rows // 4, 3)])}
    return {need: known[need]() for need in needs if need in known}


def _fitted(make: Make, params: Any, setting: Setting, rows: int, extra: Mapping[str, Any]) -> Dictionary:
    method = make(params, setting)
    require(isinstance(method, Dictionary), f"the method is a Dictionary, got {type(method).__name__}")
    train, val = planted(setting, rows, seed=1), planted(setting, rows // 4, seed=2)
    method.fit(Train(train, val, PASSES, torch.device("cpu"), silent, extra))
    return method


def _check_fit_is_private(
    make: Make, params: Any, setting: Setting, rows: int, extra: Mapping[str, Any], fitted: Dictionary
) -> None:
    """Fit once more from another global state: the fit must neither read nor move it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        before = _global_generators()
        again = _fitted(make, params, setting, rows, extra)
        for name, state in _global_generators().items():
            require(before[name] == state, f"fit leaves the global generator of {name} alone")
    require(_same(fitted.state(), again.state()), "the same seed gives the same weights, bit for bit")


def _global_generators() -> dict[str, Any]:
    numpy_state: Any = np.random.get_state(legacy=False)
    position = numpy_state["state"]["pos"], numpy_state["state"]["key"].tobytes()
    return {"torch": torch.get_rng_state().tolist(), "numpy": position, "Python": random.getstate()}


@torch.no_grad()
def _check_shapes(method: Dictionary, x: Activations) -> None:
    x_ND = _rows(x)
    z_NF = method.encode(x_ND, x.doc_N)
    xhat_ND, row_FD = method.decode(z_NF), method.directions()
    for name, tensor in (("encode", z_NF), ("decode", xhat_ND), ("directions", row_FD)):
        require(tensor.dtype == torch.float32, f"{name} returns float32, got {tensor.dtype}")
        require(bool(torch.isfinite(tensor).all()), f"{name} returns finite numbers")
    require(z_NF.ndim == 2 and len(z_NF) == len(x_ND), f"encode returns [N, F], got {tuple(z_NF.shape)}")
    require(xhat_ND.shape == x_ND.shape, f"decode returns {tuple(x_ND.shape)}, got {tuple(xhat_ND.shape)}")
    expected = (z_NF.shape[1], x_ND.shape[1])
    require(row_FD.shape == expected, f"directions returns {expected}, got {tuple(row_FD.shape)}")


@torch.no_grad()
def _check_codes(method: Dictionary, x: Activations) -> None:
    x_ND = _rows(x)
    z_NF = method.encode(x_ND, x.doc_N)
    require(torch.equal(x_ND, _rows(x)), "encode leaves its input alone")
    require(torch.equal(z_NF, method.encode(x_ND, x.doc_N)), "encoding twice gives the same code")
    parts = [method.encode(part_ND, doc_N) for part_ND, doc_N in x.documents(1)]
    gap = float((torch.cat(parts) - z_NF).abs().max() / z_NF.abs().max().clamp_min(1.0))
    require(gap <= 1e-5, f"a document's code does not depend on what else is in the batch; it moved by {gap:.2g}")


@torch.no_grad()
def _check_directions(method: Dictionary, x: Activations) -> None:
    z_NF = method.encode(_rows(x), x.doc_N)[:1]
    row_FD = method.directions()
    for latent in {0, len(row_FD) // 2, len(row_FD) - 1}:
        more_NF = z_NF.clone()
        more_NF[:, latent] += 1.0
        gap = float((method.decode(more_NF) - method.decode(z_NF) - row_FD[latent]).abs().max())
        require(gap <= 1e-4, f"one more unit of latent {latent} adds directions()[{latent}]; it is off by {gap:.2g}")


@torch.no_grad()
def _check_state(method: Dictionary, fresh: Dictionary, x: Activations) -> None:
    state = method.state()
    for name, tensor in state.items():
        require(tensor.is_contiguous() and tensor.device.type == "cpu", f"state['{name}'] is contiguous, on the CPU")
    fresh.load(state)
    require(_same(state, fresh.state()), "load restores state, bit for bit")
    z_NF = method.encode(_rows(x), x.doc_N)
    require(torch.equal(z_NF, fresh.encode(_rows(x), x.doc_N)), "a loaded method encodes alike, bit for bit")
    require(torch.equal(method.decode(z_NF), fresh.decode(z_NF)), "a loaded method decodes alike, bit for bit")
    if state:
        missing = dict(list(state.items())[1:])
        try:
            fresh.load(missing)
        except ValueError:
            return
        raise AssertionError("load raises ValueError on a missing tensor")


def _check_summary(method: Dictionary) -> None:
    summary = method.summary()
    wrong = {key: value for key, value in summary.items() if not np.isfinite(value)}
    require(not wrong, f"summary holds finite numbers, got {wrong}")
    require(method.parameter_count() >= 0, "parameter_count is not negative")


def _rows(x: Activations) -> Tensor:
    return x.take(torch.arange(len(x)))


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
