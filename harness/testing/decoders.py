"""The contract test of decoders of next tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from harness.api import Activations, Method, NextToken, Read, Setting, Targets, Train, Unembedding, silent
from harness.testing.dictionaries import PASSES, SETTING, planted
from harness.testing.documented import check_documented, require

CLASSES = 11


def check_next_token(
    make: Callable[[Any, Setting], NextToken],
    params: Any,
    *,
    uses: Mapping[str, Method] | None = None,
    needs: Sequence[str] = (),
    seeded: bool = True,
    rows: int = 1024,
) -> NextToken:
    """Fit a decoder of next tokens on planted data and check everything the engine relies on; returns it.

    Args:
        make: the method's class.
        params: an instance of its ``Params``.
        uses: fitted methods it is built on, e.g. ``{"dictionary": dictionary}``.
        needs: what ``fit`` finds in ``train.extra``, as its YAML declares it.
        seeded: whether another seed must give another fit.
        rows: tokens of the train split; validation and test get a quarter.

    Raises:
        AssertionError: saying what the contract is and what was found.
    """
    setting = replace(SETTING, uses=uses or {}, vocabulary=CLASSES)
    check_documented(make, params)
    fitted, again = (_fitted_decoder(make, params, setting, rows, needs) for _ in range(2))
    require(_same(fitted.state(), again.state()), "the same seed gives the same weights, bit for bit")
    if seeded:
        other = _fitted_decoder(make, params, replace(setting, seed=setting.seed + 1), rows, needs)
        require(not _same(fitted.state(), other.state()), "another seed must give another fit (or say seeded: false)")
    read = planted_read(setting, rows // 4, seed=3)
    fresh = make(params, setting)
    fresh.load(fitted.state())
    with torch.no_grad():
        logp_NV = fitted.logp(read)
        require(logp_NV.dtype == torch.float32, f"logp returns float32, got {logp_NV.dtype}")
        expected = (len(read.x_ND), setting.vocabulary)
        require(tuple(logp_NV.shape) == expected, f"logp returns {expected}, got {tuple(logp_NV.shape)}")
        off = float(logp_NV.logsumexp(1).abs().max())
        require(off < 1e-4, f"each row of logp is a distribution; the logarithm of its sum is {off:.2g}")
        require(torch.equal(logp_NV, fresh.logp(read)), "a loaded method predicts alike, bit for bit")
    wrong = {key: value for key, value in fitted.summary().items() if not math.isfinite(value)}
    require(not wrong, f"summary holds finite numbers, got {wrong}")
    return fitted


class PlantedEnd(Unembedding):
    """An end of a made-up model: ``log_softmax(x W)`` with a fixed random ``W``."""

    @property
    def classes(self) -> int:
        """``V``."""
        return CLASSES

    def logp(self, x_ND: Tensor) -> Tensor:
        """Return log-probabilities ``[N, V]``."""
        draw = torch.Generator().manual_seed(5)
        W_DV = torch.randn(x_ND.shape[1], CLASSES, generator=draw) / x_ND.shape[1] ** 0.5
        return torch.log_softmax(x_ND @ W_DV.to(x_ND), dim=1)


def planted_read(setting: Setting, rows: int, seed: int) -> Read:
    """Return what a decoder may read of planted activations; a token's id follows from its activation."""
    x = planted(setting, rows, seed)
    return Read(_rows(x), _ids(_rows(x)), x.doc_N, PlantedEnd())


def planted_targets(setting: Setting, rows: int, seed: int) -> Targets:
    """Return what follows the same activations: the made-up model's predictions of twice the activation."""
    x_ND = _rows(planted(setting, rows, seed))
    logp_NV = PlantedEnd().logp(2 * x_ND)
    draw = torch.Generator().manual_seed(seed)
    gold_N = torch.multinomial(logp_NV.exp(), 1, generator=draw).squeeze(1)
    gold_N[::7] = -1
    return Targets(_ids(x_ND), gold_N, lambda index_N: logp_NV[index_N])


def _ids(x_ND: Tensor) -> Tensor:
    return x_ND[:, :5].argmax(1) * 3


def _fitted_decoder(
    make: Callable[[Any, Setting], NextToken], params: Any, setting: Setting, rows: int, needs: Sequence[str]
) -> NextToken:
    method = make(params, setting)
    require(isinstance(method, NextToken), f"the method is a NextToken, got {type(method).__name__}")
    known: dict[str, Callable[[], Any]] = {
        "unembedding": PlantedEnd,
        "targets": lambda: planted_targets(setting, rows, 1),
        "val_targets": lambda: planted_targets(setting, rows // 4, 2),
    }
    train, val = planted(setting, rows, seed=1), planted(setting, rows // 4, seed=2)
    extra = {need: known[need]() for need in needs}
    method.fit(Train(train, val, PASSES, torch.device("cpu"), silent, extra))
    return method


def _rows(x: Activations) -> Tensor:
    return x.take(torch.arange(len(x)))


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
