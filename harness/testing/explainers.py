"""The contract test of an explainer, and predictions whose importances are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from harness.api import Dictionary, Explainer, Method, Named, Predictions, Setting, Train
from harness.testing.dictionaries import PASSES, SETTING, planted
from harness.testing.documented import check_documented, require

Readout = Callable[[Tensor], Tensor]
"""``M`` of codes, ``[..., F]`` → ``[...]``; differentiable."""


class PositiveParts(Dictionary):
    """A dictionary whose codes are the positive parts of the activations above 1. Nothing is fitted."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.register_buffer("row_DD", torch.eye(setting.width))

    row_DD: Tensor

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return the positive parts."""
        return (x_ND - 1).relu()

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return codes times rows."""
        return z_NF @ self.row_DD

    def directions(self) -> Tensor:
        """Return the rows."""
        return self.row_DD

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}


def planted_predictions(code_nF: Tensor, direction_FD: Tensor, readout: Readout) -> Predictions:
    """Return predictions of a made-up model whose ``M`` is a function of the codes alone."""

    def ablated() -> Tensor:
        others_FF = 1 - torch.eye(code_nF.shape[1])
        lost_nF = torch.stack([readout(code_F) - readout(code_F * others_FF) for code_F in code_nF])
        # Sums of other shapes round differently, so that a silent latent would seem to do something.
        return torch.where(code_nF != 0, lost_nF, 0.0)

    @torch.enable_grad()
    def slope(steps: int) -> Tensor:
        along_S = (torch.arange(steps) + 0.5) / steps if steps else torch.ones(1)
        path_SnF = (along_S[:, None, None] * code_nF).detach().requires_grad_(True)
        (gradient_SnF,) = torch.autograd.grad(readout(path_SnF).sum(), path_SnF)
        mean_nF: Tensor = gradient_SnF.mean(0)
        return mean_nF

    id_n = torch.arange(len(code_nF))
    return Predictions(code_nF, direction_FD, id_n, readout(code_nF), cache(slope), cache(ablated))


def check_explainer(
    make: Callable[[Any, Setting], Explainer],
    params: Any,
    *,
    uses: Mapping[str, Method] | None = None,
    needs: Sequence[str] = (),
    seeded: bool = True,
    rows: int = 256,
) -> Explainer:
    """Fit an explainer on planted predictions and check everything the engine relies on; returns it.

    Args:
        make: the method's class.
        params: an instance of its ``Params``.
        uses: fitted methods it is built on; a plain dictionary where none is given.
        needs: what ``fit`` finds in ``train.extra`` (``predictions``), as its YAML declares it.
        seeded: whether another seed must say something else.
        rows: tokens of the train split.

    Raises:
        AssertionError: saying what the contract is and what was found.
    """
    setting = replace(SETTING, uses=uses or {"dictionary": PositiveParts(SETTING)})
    check_documented(make, params)
    fitted, again = (_fitted(make, params, setting, rows, needs) for _ in range(2))
    asked = _asked(fitted.dictionary, rows // 8, seed=3)
    require(_same(fitted.state(), again.state()), "the same seed gives the same weights, bit for bit")
    said_nF = _check_importance(fitted, asked)
    require(torch.equal(said_nF, again.importance(asked)), "the same seed says the same, bit for bit")
    if seeded:
        other = _fitted(make, params, replace(setting, seed=setting.seed + 1), rows, needs)
        require(
            not torch.equal(said_nF, other.importance(asked)), "another seed says something else (or seeded: false)"
        )
    _check_sentences(fitted, asked)
    fresh = make(params, setting)
    fresh.load(fitted.state())
    require(torch.equal(said_nF, fresh.importance(asked)), "a loaded method says the same, bit for bit")
    wrong = {key: value for key, value in fitted.summary().items() if not math.isfinite(value)}
    require(not wrong, f"summary holds finite numbers, got {wrong}")
    return fitted


def _fitted(
    make: Callable[[Any, Setting], Explainer], params: Any, setting: Setting, rows: int, needs: Sequence[str]
) -> Explainer:
    method = make(params, setting)
    require(isinstance(method, Explainer), f"the method is an Explainer, got {type(method).__name__}")
    known = {"predictions": lambda dictionary: _asked(dictionary, rows, seed=1)}
    train, val = planted(setting, rows, seed=1), planted(setting, rows // 4, seed=2)
    extra = {need: known[need] for need in needs}
    method.fit(Train(train, val, PASSES, torch.device("cpu"), extra=extra))
    return method


@torch.no_grad()
def _asked(dictionary: Dictionary, rows: int, seed: int) -> Predictions:
    x = planted(SETTING, rows, seed)
    code_nF = dictionary.encode(x.take(torch.arange(rows)), x.doc_N)
    weight_F = torch.linspace(-1, 1, code_nF.shape[1])
    return planted_predictions(code_nF, dictionary.directions(), lambda z: -torch.nn.functional.softplus(-z @ weight_F))


def _check_importance(method: Explainer, asked: Predictions) -> Tensor:
    code_nF = asked.code_nF.clone()
    said_nF = method.importance(asked)
    require(said_nF.shape == code_nF.shape, f"importance returns {tuple(code_nF.shape)}, got {tuple(said_nF.shape)}")
    require(bool(torch.isfinite(said_nF).all()), "importance returns finite numbers")
    require(bool((said_nF[code_nF == 0] == 0).all()), "importance is 0 where a latent is silent")
    require(torch.equal(code_nF, asked.code_nF), "importance leaves the codes alone")
    require(torch.equal(said_nF, method.importance(asked)), "importance is the same every time")
    alone_nF = torch.cat([method.importance(_part(asked, [n])) for n in range(len(asked))])
    require(
        bool(torch.allclose(said_nF, alone_nF, atol=1e-5)), "what it says of a prediction does not depend on others"
    )
    return said_nF


def _part(asked: Predictions, rows: list[int]) -> Predictions:
    return replace(
        asked,
        code_nF=asked.code_nF[rows],
        id_n=asked.id_n[rows],
        value_n=asked.value_n[rows],
        slope=lambda steps: asked.slope(steps)[rows],
        ablated=lambda: asked.ablated()[rows],
    )


def _check_sentences(method: Explainer, asked: Predictions) -> None:
    sentences = method.sentences(asked)
    require(len(sentences) == len(asked), f"there is a sentence for each prediction, got {len(sentences)}")
    require(sentences == method.sentences(asked), "sentences are the same every time")
    for sentence, code_F in zip(sentences, asked.code_nF, strict=True):
        kinds = {type(part) for part in sentence}
        require(kinds <= {str, Named}, f"a sentence holds words and named latents, got {kinds}")
        latents = [part.latent for part in sentence if isinstance(part, Named)]
        require(len(set(latents)) == len(latents), "a sentence names each latent once")
        silent = [latent for latent in latents if code_F[latent] == 0]
        require(not silent, f"a sentence names active latents alone, got {silent}")


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
