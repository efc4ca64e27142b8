"""The contract test of an error probe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import CONFIDENCE, Answers, ErrorProbe, Method, Setting
from harness.testing.documented import check_documented, require

Make = Callable[[Any, Setting], ErrorProbe]
SETTING = Setting(width=8, latents=16, l0=4, seed=0)
COUNT = 60


def _answers() -> Answers:
    """Return answers of 30 problems, two each: at the second position of either block wrong ones lie to one side."""
    rng = np.random.default_rng(0)
    x_nLPD = rng.normal(size=(COUNT, 2, 2, SETTING.width)).astype(np.float32)
    x_nLPD[:, :, 1, 0] += 4 * WRONG[:, None]
    return Answers(
        prompt=tuple(f"What is {i // 2} + {i % 7}?" for i in range(COUNT)),
        answer=tuple(f" It is {i}." for i in range(COUNT)),
        author=tuple(("ann", "bob")[i % 2] for i in range(COUNT)),
        activation_nLPD=x_nLPD,
        confidence_nK=rng.normal(size=(COUNT, len(CONFIDENCE))),
        blocks=(1, 3),
        positions=("prompt end", "answer 1"),
    )


WRONG = np.random.default_rng(1).integers(0, 2, COUNT)
GROUP = np.arange(COUNT) // 2
ANSWERS = _answers()


def check_error_probe(
    make: Make,
    params: Any,
    *,
    uses: Mapping[str, Method] | None = None,
    at_blocks: Mapping[str, tuple[Method, ...]] | None = None,
    seeded: bool = True,
    kinds: int = 2,
) -> ErrorProbe:
    """Fit a probe on planted answers and check everything a track relies on; returns it. Takes a second or two.

    Args:
        make: the method's class.
        params: an instance of its ``Params``.
        uses: methods it is built on, by name.
        at_blocks: those of them that are fitted at each block of ``ANSWERS``, by name.
        seeded: whether its YAML says so; one that is not must say the same under another seed.
        kinds: classes of the labels.

    Raises:
        AssertionError: saying what the contract is and what was found.
    """
    setting = replace(SETTING, uses=uses or {}, at_blocks=at_blocks or {})
    check_documented(make, params)
    probe = make(params, setting)
    require(isinstance(probe, ErrorProbe), f"the method is an ErrorProbe, got {type(probe).__name__}")
    x_nF = _check_features(probe)
    _check_one_class(probe, x_nF)
    y_n = WRONG if kinds == 2 else WRONG * (1 + np.arange(COUNT) % (kinds - 1))
    said = _said(probe, x_nF, y_n, kinds)
    require(np.array_equal(said, _said(probe, x_nF, y_n, kinds)), "fitted anew on the same answers it says the same")
    again = make(params, setting)
    _check_features(again)
    require(np.array_equal(said, _said(again, x_nF, y_n, kinds)), "the same seed gives the same probe")
    if not seeded:
        other = make(params, replace(setting, seed=1))
        _check_features(other)
        require(np.array_equal(said, _said(other, x_nF, y_n, kinds)), "another seed gives the same (or say seeded)")
    _check_rows(probe, x_nF, said)
    require(all(np.isfinite(v) for v in probe.summary().values()), "summary holds finite numbers")
    require(probe.parameter_count() >= 0, "parameter_count is not negative")
    return probe


def _check_features(probe: ErrorProbe) -> NDArray[Any]:
    before = ANSWERS.activation_nLPD.copy()
    features = probe.features(ANSWERS)
    value_nF, block_F = features.value_nF, features.block_F
    require(value_nF.ndim == 2 and len(value_nF) == COUNT, f"features are [n, F], got {value_nF.shape}")
    require(block_F.shape == value_nF.shape[1:], f"every feature has a block, got {block_F.shape}")
    blocks = len(ANSWERS.blocks) * len(ANSWERS.positions)
    require(bool(((block_F >= -1) & (block_F < blocks)).all()), f"blocks are -1 … {blocks - 1}")
    require(bool(np.isfinite(value_nF).all()), "features are finite")
    require(np.array_equal(before, ANSWERS.activation_nLPD), "features leaves the activations alone")
    require(np.array_equal(value_nF, probe.features(ANSWERS).value_nF), "features are the same every time")
    order_n = np.random.default_rng(2).permutation(COUNT)
    other_nF = probe.features(_rearranged(ANSWERS, order_n)).value_nF
    require(bool(np.allclose(other_nF, value_nF[order_n], atol=1e-5)), "features of an answer do not depend on others")
    return value_nF


def _rearranged(given: Answers, order_n: NDArray[np.int64]) -> Answers:
    words = {name: tuple(getattr(given, name)[i] for i in order_n) for name in ("prompt", "answer", "author")}
    x_nLPD, confidence_nK = given.activation_nLPD[order_n], given.confidence_nK[order_n]
    return replace(given, activation_nLPD=x_nLPD, confidence_nK=confidence_nK, **words)


def _check_one_class(probe: ErrorProbe, x_nF: NDArray[Any]) -> None:
    probe.fit(x_nF, np.zeros(COUNT, dtype=np.int64), GROUP)
    right_n = probe.predict(x_nF, 2)[:, 0]
    require(bool(np.allclose(right_n, 1.0)), "fitted on right answers alone it finds none wrong")


def _said(probe: ErrorProbe, x_nF: NDArray[Any], y_n: NDArray[np.int64], kinds: int) -> NDArray[np.float64]:
    train_n = GROUP % 3 != 0
    x_before, y_before = x_nF[train_n].copy(), y_n[train_n].copy()
    x, y = x_before.copy(), y_before.copy()
    probe.fit(x, y, GROUP[train_n])
    require(np.array_equal(x, x_before) and np.array_equal(y, y_before), "fit leaves features and labels alone")
    p_nK = probe.predict(x_nF, kinds)
    require(p_nK.shape == (COUNT, kinds), f"predict returns [{COUNT}, {kinds}], got {p_nK.shape}")
    require(bool(((p_nK >= 0) & (p_nK <= 1 + 1e-9)).all()), "probabilities are between 0 and 1")
    require(bool(np.allclose(p_nK.sum(1), 1)), "the probabilities of an answer add up to 1")
    return p_nK


def _check_rows(probe: ErrorProbe, x_nF: NDArray[Any], said: NDArray[np.float64]) -> None:
    one = np.concatenate([probe.predict(x_nF[i : i + 1], said.shape[1]) for i in range(len(x_nF))])
    require(bool(np.allclose(one, said, atol=1e-5)), "what it says of an answer does not depend on the others")
