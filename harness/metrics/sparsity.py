"""How many latents are used: per token, and over all tokens."""

from __future__ import annotations

import numpy as np
from scipy import special

from harness.metrics.contract import Array, NotComputableError, Parts, constant, metric, ratio

DICTIONARIES = ("reconstruction", "domains", "world")
DENSE = 0.1
# What a number is rounded to when codes are priced.
BITS = 8
_NO_TOKENS = "no tokens were kept"


def false_dead(rho: Array | float, tokens: int) -> float:
    """Return the expected share of living latents that stay silent in ``tokens`` tokens, and so are counted dead.

    Args:
        rho: true density of each latent, ``[F]`` or one number: the share of tokens on which it fires.
        tokens: how many tokens are looked at.

    ``mean_i (1 - rho_i)^tokens``: .30 for a density of 1e-4 and 12 000 tokens, .0067 for 50 000 (tokens independent).
    """
    return float(np.mean(np.power(1.0 - np.asarray(rho, dtype=np.float64), tokens)))


@metric(
    unit="latents/token",
    direction="target",
    formula="l0 = mean over tokens of #{i : fᵢ ≠ 0}, shared latents left out",
    needs=("n", "l0"),
    tracks=(*DICTIONARIES, "reasoning", "sparse_probing"),
    source="SAEBench core (l0), arXiv 2503.09532; signed codes count where they are not 0",
    null="identity: the width; mean_only: 0",
)
def l0(parts: Parts, w: Array) -> Array:
    """Mean number of active latents of a token; used to match methods, not to rank them.

    ``mean_n #{i : |f_ni| > 0}`` in inference mode, latents that code the document left out: what those cost is in
    ``bits_per_token``. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["l0"], w @ parts["n"], _NO_TOKENS)


@metric(
    unit="1",
    direction="up",
    formula="l0_in_band = share of tokens with low ≤ #{i : fᵢ ≠ 0} ≤ high",
    needs=("n", "l0_in_band"),
    tracks=DICTIONARIES,
    source="ours",
    null="exactly k active latents: 1 or 0",
    margin=False,
)
def l0_in_band(parts: Parts, w: Array) -> Array:
    """Share of tokens whose number of active latents lies in the task's band.

    ``mean_n 1[low <= L0_n <= high]``. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["l0_in_band"], w @ parts["n"], _NO_TOKENS)


@metric(
    unit="activation/token",
    direction="down",
    formula="l1 = mean over tokens of Σᵢ |fᵢ| · ‖dᵢ‖",
    needs=("n", "l1"),
    tracks=DICTIONARIES,
    source="standard, with codes folded by the norms of their directions; SAEBench sums raw codes",
    null="zero reconstruction: 0",
    margin=False,
    within_model=True,
)
def l1(parts: Parts, w: Array) -> Array:
    """Mean sum of folded codes of a token; unchanged when a direction grows and its code shrinks by the same factor.

    ``mean_n sum_i |f_ni| ||d_i||``. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["l1"], w @ parts["n"], _NO_TOKENS)


@metric(
    unit="bits/token",
    direction="down",
    formula="bits_per_token = 8 · S + min(L0 · (log₂ F + 8), 8 · F), S shared numbers sent a token",
    needs=("n", "l0", "shared_sent", "fires"),
    tracks=DICTIONARIES,
    source="ours",
    null="identity: 8 times the width; mean_only: 0",
    margin=False,
)
def bits_per_token(parts: Parts, w: Array) -> Array:
    """Bits of a token's code at 8 a number: active latents with their indices, and its share of the document's code.

    ``8 S + min(L0 (log2 F + 8), 8 F)``: ``S`` shared numbers sent a token (each time they change), ``L0`` active of
    ``F`` latents; a code that uses them all needs no indices. ``w [..., C] -> [...]``.
    """
    latents = max(parts["fires"].size, 1)
    tokens = w @ parts["n"]
    active = ratio(w @ parts["l0"], tokens, _NO_TOKENS)
    own = np.minimum(active * (np.log2(latents) + BITS), latents * BITS)
    return np.asarray(own + BITS * ratio(w @ parts["shared_sent"], tokens, _NO_TOKENS), dtype=np.float64)


def _densities(parts: Parts) -> Array:
    """Return the share of tokens on which each latent fires, ``[F]``."""
    fires_F = parts["fires"]
    if fires_F.size == 0:
        raise NotComputableError("there are no latents")
    return ratio(fires_F, np.asarray(parts["n_density"], dtype=np.float64), "no tokens were counted for densities")


@metric(
    unit="1",
    direction="down",
    formula="dead_frac = #{i : firesᵢ = 0} / F",
    needs=("fires", "n_density"),
    tracks=DICTIONARIES,
    source="ours: silent on all of the density tokens; TopK paper, arXiv 2406.04093, waits for 10M tokens",
    null="random_dictionary: about 0",
    interval="seeds",
    margin=False,
)
def dead_frac(parts: Parts, w: Array) -> Array:
    """Share of latents that never fire; falls with the number of tokens, so compare at equal ``n_density`` only.

    ``mean_i 1[fires_i = 0]``; ``false_dead`` gives what chance alone contributes. ``w [..., C] -> [...]``, constant.
    """
    return constant(w, float(np.mean(_densities(parts) == 0)))


@metric(
    unit="1",
    direction="down",
    formula="dense_frac = #{i : firesᵢ / tokens > 0.1} / F",
    needs=("fires", "n_density"),
    tracks=DICTIONARIES,
    source="ours: density above 0.1",
    null="untrained ReLU dictionary: about 1 (density about .5)",
    interval="seeds",
    margin=False,
)
def dense_frac(parts: Parts, w: Array) -> Array:
    """Share of latents that fire on more than a tenth of the tokens.

    ``mean_i 1[fires_i / n_density > 0.1]``. ``w [..., C] -> [...]``, constant.
    """
    return constant(w, float(np.mean(_densities(parts) > DENSE)))


@metric(
    unit="1",
    direction="down",
    formula="duplicate_frac = #{i : max over j ≠ i of cos(dᵢ, dⱼ) > 0.9} / F",
    needs=("duplicates",),
    tracks=("reconstruction", "domains"),
    source="ours: decoder cosine above 0.9",
    null="random_dictionary: 0 at any common width",
    interval="seeds",
    margin=False,
)
def duplicate_frac(parts: Parts, w: Array) -> Array:
    """Share of latents whose direction has a cosine above 0.9 with that of another.

    ``mean_i 1[max_{j != i} cos(d_i, d_j) > 0.9]``. ``w [..., C] -> [...]``, constant.
    """
    if parts["duplicates"].size == 0:
        raise NotComputableError("there are no latents")
    return constant(w, float(np.mean(parts["duplicates"])))


def _entropy(parts: Parts) -> float:
    """Return the entropy in nats of the latents' shares of all firings."""
    rho_F = _densities(parts)
    if not rho_F.any():
        raise NotComputableError("no latent ever fires")
    return float(special.entr(rho_F / rho_F.sum()).sum())


@metric(
    unit="1",
    direction="up",
    formula="density_entropy = H / ln F, H = −Σᵢ pᵢ ln pᵢ, pᵢ = firesᵢ / Σⱼ firesⱼ",
    needs=("fires", "n_density"),
    tracks=DICTIONARIES,
    source="ours: Shannon entropy of the densities over its maximum",
    null="all latents equally often: 1; one living latent: 0",
    interval="seeds",
    margin=False,
)
def density_entropy(parts: Parts, w: Array) -> Array:
    """How evenly the latents are used, from 0 (one fires) to 1 (all fire equally often).

    ``H / ln F`` with ``H = -sum_i p_i ln p_i``, ``p_i = rho_i / sum rho``. ``w [..., C] -> [...]``, constant. Not
    computable where nothing fires or there is one latent.
    """
    if parts["fires"].size == 1:
        raise NotComputableError("one latent alone has no evenness")
    entropy = _entropy(parts)
    return constant(w, entropy / np.log(parts["fires"].size))


@metric(
    unit="latents",
    direction="up",
    formula="n_effective = exp(H), H = −Σᵢ pᵢ ln pᵢ, pᵢ = firesᵢ / Σⱼ firesⱼ",
    needs=("fires", "n_density"),
    tracks=DICTIONARIES,
    source="ours: exponential of the Shannon entropy of the densities",
    null="all latents equally often: F; one living latent: 1",
    interval="seeds",
    margin=False,
)
def n_effective(parts: Parts, w: Array) -> Array:
    """Number of equally used latents that would be as evenly used as these.

    ``exp(H)`` with ``H`` of ``density_entropy``. ``w [..., C] -> [...]``, constant. Not computable where nothing fires.
    """
    return constant(w, float(np.exp(_entropy(parts))))
