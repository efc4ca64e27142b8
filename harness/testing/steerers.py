"""The contract test of steerers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from harness.api import Change, Method, Setting, Steerer, Train
from harness.testing.dictionaries import PASSES, SETTING, planted
from harness.testing.documented import check_documented, require


def check_steerer(
    make: Callable[[Any, Setting], Steerer],
    params: Any,
    *,
    uses: Mapping[str, Method] | None = None,
    seeded: bool = True,
    rows: int = 1024,
) -> Steerer:
    """Fit a steerer on planted activations and check everything the engine relies on; returns it.

    Args:
        make: the method's class.
        params: an instance of its ``Params``.
        uses: fitted methods it is built on.
        seeded: whether another seed must give another fit.
        rows: tokens of the train split; validation and test get a quarter.

    Raises:
        AssertionError: saying what the contract is and what was found.
    """
    setting = replace(SETTING, uses=uses or {})
    check_documented(make, params)
    steerer, again = (_fitted(make, params, setting, rows) for _ in range(2))
    require(_same(steerer.state(), again.state()), "the same seed gives the same weights, bit for bit")
    if seeded:
        other = _fitted(make, params, replace(setting, seed=setting.seed + 1), rows)
        require(not _same(steerer.state(), other.state()), "another seed must give another fit (or say seeded: false)")
    fresh = make(params, setting)
    fresh.load(steerer.state())
    test = planted(setting, rows // 4, seed=3)
    x_ND, doc_N = test.take(torch.arange(len(test))), test.doc_N
    with torch.no_grad():
        changed_ND = _done(steerer.edit(1.0), x_ND, doc_N)
        require(torch.equal(changed_ND, _done(fresh.edit(1.0), x_ND, doc_N)), "a loaded method does alike, bit for bit")
        nothing_ND = _done(steerer.edit(0.0), x_ND, doc_N)
        require(torch.equal(nothing_ND, x_ND), "at strength 0 no bit of an activation changes")
        first = doc_N == doc_N[0]
        half = first & (torch.arange(len(doc_N)) < int(first.sum()) // 2)
        alone_ND = _done(steerer.edit(1.0), x_ND[half], doc_N[half])
        near = torch.allclose(alone_ND, changed_ND[half], rtol=1e-4, atol=1e-5)
        require(near, "a row never depends on later ones, nor on other documents")
    wrong = {key: value for key, value in steerer.summary().items() if not math.isfinite(value)}
    require(not wrong, f"summary holds finite numbers, got {wrong}")
    return steerer


def _done(change: Change | None, x_ND: Tensor, doc_N: Tensor) -> Tensor:
    changed_ND = x_ND if change is None else change(x_ND.clone(), doc_N)
    require(changed_ND.shape == x_ND.shape, f"edit returns {tuple(x_ND.shape)}, got {tuple(changed_ND.shape)}")
    require(bool(torch.isfinite(changed_ND).all()), "edit returns finite numbers")
    return changed_ND


def _fitted(make: Callable[[Any, Setting], Steerer], params: Any, setting: Setting, rows: int) -> Steerer:
    steerer = make(params, setting)
    require(isinstance(steerer, Steerer), f"the method is a Steerer, got {type(steerer).__name__}")
    train, val = planted(setting, rows, seed=1), planted(setting, rows // 4, seed=2)
    steerer.fit(Train(train, val, PASSES, torch.device("cpu")))
    return steerer


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
