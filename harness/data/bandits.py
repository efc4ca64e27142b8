"""Situations with a known best policy. numpy only; every draw has a seed by name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.specs.worlds import BanditData

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bandit:
    """What is true of every state, and what a decoder starts from: log-probabilities ``[S, A]``, nats."""

    target_SA: Floats
    start_SA: Floats


def make_bandit(data: BanditData) -> Bandit:
    """Draw the target ``softmax(sharpness N(0, 1))`` and a start whose logits are off by ``start N(0, 1)``."""
    shape = (data.states, data.actions)
    target_SA = _log_softmax(data.sharpness * _generator(data, "target").standard_normal(shape))
    start_SA = target_SA + data.start * _generator(data, "start").standard_normal(shape)
    return Bandit(target_SA, _log_softmax(start_SA))


def fingerprint(data: BanditData) -> str:
    """Return a hash of the settings and of what this version draws."""
    bandit = make_bandit(data)
    total = hashlib.sha256(json.dumps(data.model_dump(mode="json"), sort_keys=True).encode())
    total.update(bandit.target_SA.astype("<f4").tobytes() + bandit.start_SA.astype("<f4").tobytes())
    return total.hexdigest()


def _generator(data: BanditData, name: str) -> np.random.Generator:
    return np.random.default_rng([data.seed, *name.encode()])


def _log_softmax(logit_SA: Floats) -> Floats:
    shifted_SA = logit_SA - logit_SA.max(1, keepdims=True)
    return np.asarray(shifted_SA - np.log(np.exp(shifted_SA).sum(1, keepdims=True)), dtype=np.float64)
