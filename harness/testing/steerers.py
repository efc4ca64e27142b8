"""The contract test of steerers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from harness.api import Behaviour, Intervention, Method, Setting, Steerer, Train, silent
from harness.testing.decoders import PlantedEnd
from harness.testing.dictionaries import PASSES, SETTING, planted
from harness.testing.documented import check_documented, require


def check_steerer(
    make: Callable[[Any, Setting], Steerer],
    params: Any,
    *,
    uses: Mapping[str, Method] | None = None,
    needs: Sequence[str] = (),
    seeded: bool = True,
    rows: int = 1024,
) -> Steerer:
    """Fit a steerer on planted activations and check everything the engine relies on; returns it.

    Args:
        make: the method's class.
        params: an instance of its ``Params``.
        uses: fitted methods it is built on.
        needs: what ``fit`` finds in ``train.extra`` (``behaviour``, ``unembedding``), as its YAML declares it.
        seeded: whether another seed must give another fit.
        rows: tokens of the train split; validation and test get a quarter.

    Raises:
        AssertionError: saying what the contract is and what was found.
    """
    setting = replace(SETTING, uses=uses or {})
    check_documented(make, params)
    steerer, again = (_fitted(make, params, setting, rows, needs) for _ in range(2))
    require(_same(steerer.state(), again.state()), "the same seed gives the same weights, bit for bit")
    if seeded:
        other = _fitted(make, params, replace(setting, seed=setting.seed + 1), rows, needs)
        require(not _same(steerer.state(), other.state()), "another seed must give another fit (or say seeded: false)")
    fresh = make(params, setting)
    fresh.load(steerer.state())
    test = planted(setting, rows // 4, seed=3)
    x_ND, doc_N = test.take(torch.arange(len(test))), test.doc_N
    with torch.no_grad():
        _check_nothing(steerer.steer(0.0))
        _check_change(steerer.steer(1.0), fresh.steer(1.0), x_ND, doc_N)
        _check_grades(steerer)
    wrong = {key: value for key, value in steerer.summary().items() if not math.isfinite(value)}
    require(not wrong, f"summary holds finite numbers, got {wrong}")
    return steerer


def _check_nothing(found: Intervention) -> None:
    nothing = found.change is None and not found.prefix and not found.bias
    require(nothing, f"at strength 0 nothing is done to the model, got {found}")


def _check_change(found: Intervention, again: Intervention, x_ND: Tensor, doc_N: Tensor) -> None:
    """Check that a loaded method does alike, and that a row depends on nothing that comes later."""
    require((found.prefix, found.bias) == (again.prefix, again.bias), "a loaded method does alike")
    require(all(sequence for sequence in found.bias), "a bias is of one token at least")
    changed_ND = _done(found, x_ND, doc_N)
    require(torch.equal(changed_ND, _done(again, x_ND, doc_N)), "a loaded method does alike, bit for bit")
    first = doc_N == doc_N[0]
    half = first & (torch.arange(len(doc_N)) < int(first.sum()) // 2)
    near = torch.allclose(_done(found, x_ND[half], doc_N[half]), changed_ND[half], rtol=1e-4, atol=1e-5)
    require(near, "a row never depends on later ones, nor on other documents")
    alone_ND = torch.cat([_done(found, x_ND[i : i + 1], doc_N[i : i + 1]) for i in range(min(len(x_ND), 16))])
    near = found.history or torch.allclose(alone_ND, changed_ND[: len(alone_ND)], rtol=1e-4, atol=1e-5)
    require(near, "a row depends on earlier ones only where 'history' says so")


def _check_grades(steerer: Steerer) -> None:
    one, two = steerer.steer(1.0), steerer.steer(2.0)
    if not steerer.graded:
        require((one.prefix, one.bias) == (two.prefix, two.bias), "without grades every strength does the same")


def _done(found: Intervention, x_ND: Tensor, doc_N: Tensor) -> Tensor:
    changed_ND = x_ND if found.change is None else found.change(x_ND.clone(), doc_N)
    require(changed_ND.shape == x_ND.shape, f"change returns {tuple(x_ND.shape)}, got {tuple(changed_ND.shape)}")
    require(bool(torch.isfinite(changed_ND).all()), "change returns finite numbers")
    return changed_ND


def _fitted(
    make: Callable[[Any, Setting], Steerer], params: Any, setting: Setting, rows: int, needs: Sequence[str]
) -> Steerer:
    steerer = make(params, setting)
    require(isinstance(steerer, Steerer), f"the method is a Steerer, got {type(steerer).__name__}")
    train, val = planted(setting, rows, seed=1), planted(setting, rows // 4, seed=2)
    known: dict[str, Any] = {"behaviour": planted_behaviour(rows), "unembedding": PlantedEnd()}
    extra = {need: known[need] for need in needs}
    steerer.fit(Train(train, val, PASSES, torch.device("cpu"), silent, extra))
    return steerer


def planted_behaviour(rows: int) -> Behaviour:
    """Return two words in three forms; every fifth row stands around the first, every seventh around the other."""
    row_N = torch.arange(rows)
    return Behaviour(((1,), (2, 3), (2,)), torch.stack([row_N % 5 == 0, row_N % 7 == 0]))


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
