"""Falsification by token injection (arXiv 2601.05679, repository GeorgeMLP/reasoning-probing).

A latent's top tokens are put into text that does not reason. A latent that then fires detects tokens; one that does not
needs more than them. A text counts by its largest folded code; plain and injected texts are compared by Cohen's d.
Tokens are injected as ids, so that what is injected is exactly what the latent was seen to fire on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api import Dictionary
from harness.metrics.contract import Array
from harness.specs.reasoning import Injection, Strategy
from harness.stats.effects import Effect, cohens_d
from harness.tracks.codes import width
from harness.tracks.sums import check_output

# (least d, p below, class), in order; what fits none is context_dependent.
CLASSES = (
    (0.8, 0.01, "token_driven"),
    (0.5, 0.01, "partially_token_driven"),
    (0.2, 0.05, "weakly_token_driven"),
)
SURVIVES = "context_dependent"
# A survivor whose d may be this large for all that is known (95 % upper bound) has survived for want of texts.
MEDIUM = 0.5


def classify(effect: Effect) -> str:
    """Return the class of an effect; one without spread (d is NaN) is a shift of every text alike, so the largest."""
    if np.isnan(effect.d):
        return CLASSES[0][2]
    return next((name for d, p, name in CLASSES if effect.d >= d and effect.p < p), SURVIVES)


def undecided(effect: Effect) -> bool:
    """Return whether a latent survives although its effect may be medium: too few texts to say."""
    return classify(effect) == SURVIVES and effect.d + 1.96 * effect.se >= MEDIUM


def strongest(plain_T: Array, injected_KT: Array) -> Effect:
    """Return the effect of the strategy with the largest d."""
    effects = [cohens_d(plain_T, injected_T) for injected_T in injected_KT]
    return max(effects, key=lambda effect: np.inf if np.isnan(effect.d) else effect.d)


def inject(ids_BT: Tensor, tokens: Sequence[int], strategy: Strategy, plan: Injection, seed: Sequence[int]) -> Tensor:
    """Return texts with ``plan.tokens`` of ``tokens`` injected, int64 ``[B, T]`` or longer.

    ``prepend`` puts them behind the first token, ``intersperse`` between random tokens, ``replace`` in place of random
    tokens. The first token is never moved: it carries the attention sink.
    """
    rng = np.random.default_rng(list(seed))
    rows = []
    for ids_T in ids_BT.tolist():
        chosen = rng.permutation(list(tokens))[: plan.tokens].tolist()
        rows.append(_injected(ids_T, chosen, strategy, rng))
    return torch.tensor(rows)


def _injected(ids_T: list[int], chosen: list[int], strategy: Strategy, rng: np.random.Generator) -> list[int]:
    if strategy == "prepend":
        return [*ids_T[:1], *chosen, *ids_T[1:]]
    if strategy == "replace":
        places = rng.choice(np.arange(1, len(ids_T)), len(chosen), replace=False)
        for place, token in zip(places.tolist(), chosen, strict=True):
            ids_T[place] = token
        return ids_T
    for token in chosen:
        ids_T.insert(int(rng.integers(1, len(ids_T) + 1)), token)
    return ids_T


def peaks(method: Dictionary, x_BTD: Tensor, latent: int) -> NDArray[np.float64]:
    """Return the largest folded code of a latent in each text, position 0 (the attention sink) left out."""
    texts, length, size = x_BTD.shape
    doc_N = torch.arange(texts, device=x_BTD.device).repeat_interleave(length - 1)
    z_NF = method.encode(x_BTD[:, 1:].reshape(-1, size), doc_N)
    check_output("encode", z_NF, (doc_N.shape[0], width(method)))
    norm = float(method.directions()[latent].norm())
    return largest(z_NF[:, latent].abs() * norm, doc_N, texts)


def largest(value_N: Tensor, doc_N: Tensor, texts: int) -> NDArray[np.float64]:
    """Return the largest value of each text, ``[B]``."""
    found = torch.zeros(texts, dtype=torch.float64, device=value_N.device)
    result: NDArray[np.float64] = found.scatter_reduce(0, doc_N, value_N.double(), "amax").cpu().numpy()
    return result
