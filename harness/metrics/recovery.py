"""How much of a world's truth a dictionary found: its directions, and when they fire.

Directions are compared by the absolute cosine, so sign, scale and order of latents do not matter. ``mcc`` here is the
mean over matched pairs, not the coefficient of Matthews.
"""

from __future__ import annotations

import numpy as np

from harness.metrics.contract import Array, NotComputableError, Parts, constant, metric

WORLD = ("world",)
FOUND = 0.9
_NULL = "random unit directions: about the expected largest |cos| (.39 for 512 in 64 dimensions)"


@metric(
    unit="1",
    direction="up",
    formula="mcc = Σ over matched pairs of |cos(g, d)| / min(G, F)",
    needs=("cos_matched",),
    tracks=WORLD,
    source="sae_lens.synthetic (mean_correlation_coefficient); arXiv 2411.13117, 2505.20254",
    null=_NULL,
    interval="seeds",
    derived=False,
)
def mcc(parts: Parts, w: Array) -> Array:
    """Mean |cos| of true directions with their latents, over the best one-to-one matching; what is left over is free.

    ``min(G, F)`` pairs, matched for the largest sum. A dictionary of few latents is judged on few pairs: see
    ``mcc_over_g``. ``w [..., C] -> [...]``, constant.
    """
    return constant(w, float(parts["cos_matched"].mean()))


@metric(
    unit="1",
    direction="up",
    formula="mcc_over_g = Σ over matched pairs of |cos(g, d)| / G",
    needs=("cos_matched", "cos_best"),
    tracks=WORLD,
    source="ours: mcc with 0 for true directions that have no latent",
    null=_NULL,
    interval="seeds",
    derived=False,
)
def mcc_over_g(parts: Parts, w: Array) -> Array:
    """Mean |cos| of true directions with their latents, as ``mcc``; a direction without a latent of its own counts 0.

    ``sum over pairs / G``. ``w [..., C] -> [...]``, constant.
    """
    return constant(w, float(parts["cos_matched"].sum() / parts["cos_best"].size))


@metric(
    unit="1",
    direction="up",
    formula="mmcs = mean over true directions g of max over latents i of |cos(g, dᵢ)|",
    needs=("cos_best",),
    tracks=WORLD,
    source="arXiv 2309.08600 (mean max cosine similarity), with |cos|",
    null=_NULL,
    interval="seeds",
    derived=False,
)
def mmcs(parts: Parts, w: Array) -> Array:
    """Mean over true directions of the |cos| with the nearest latent; latents may serve several.

    ``mean_g max_f |cos|``. ``w [..., C] -> [...]``, constant.
    """
    return constant(w, float(parts["cos_best"].mean()))


@metric(
    unit="1",
    direction="up",
    formula="recall_90 = share of true directions g with max over latents i of |cos(g, dᵢ)| ≥ 0.9",
    needs=("cos_best",),
    tracks=WORLD,
    source="ours, after arXiv 2309.08600 (share of features with max cosine above .9)",
    null="random unit directions: 0",
    interval="seeds",
    derived=False,
)
def recall_90(parts: Parts, w: Array) -> Array:
    """Share of true directions with a latent at |cos| of at least 0.9.

    ``mean_g 1[max_f |cos| >= 0.9]``. ``w [..., C] -> [...]``, constant.
    """
    # Directions are float32 numbers: one at 0.9 exactly must not depend on the last digit.
    return constant(w, float((parts["cos_best"] >= FOUND - 1e-6).mean()))


@metric(
    unit="1",
    direction="up",
    formula="uniqueness = #{g : g is the nearest true direction of exactly one latent} / F",
    needs=("claims", "latents"),
    tracks=WORLD,
    source="ours, after sae_lens.synthetic (feature_uniqueness); strict: a direction claimed twice counts for neither",
    null="random unit directions: about exp(-F/G); one latent alone: 1",
    interval="seeds",
    margin=False,
    derived=False,
)
def uniqueness(parts: Parts, w: Array) -> Array:
    """Share of latents whose nearest true direction is the nearest of no other latent; at most G/F where F > G.

    A latent without a direction claims none. ``w [..., C] -> [...]``, constant.
    """
    return constant(w, float((parts["claims"] == 1).sum() / parts["latents"]))


@metric(
    unit="1",
    direction="up",
    formula="firing_f1 = mean over true directions g of 2 · both / (fires(g) + fires(latent of g))",
    needs=("fire_true", "fire_latent", "fire_both"),
    tracks=WORLD,
    source="ours: F1 of a latent's support against the support of the direction it is matched with",
    null="permuted_decoder: about 0; a latent that always fires: 2 rho / (1 + rho)",
)
def firing_f1(parts: Parts, w: Array) -> Array:
    """Mean over true directions of the F1 between when they fire and when their matched latent does.

    ``2 both / (true + latent)``, tokens pooled. A true direction without latent counts as 0; one that neither fires
    nor is thought to is left out. Matching as in ``mcc``. ``w [..., C] -> [...]``.
    """
    total = w @ parts["fire_true"] + w @ parts["fire_latent"]
    seen = total > 0
    if seen.ndim == 1 and not seen.any():
        raise NotComputableError("no direction fires in the test split")
    f1 = np.divide(2 * (w @ parts["fire_both"]), total, out=np.zeros_like(total), where=seen)
    return np.asarray(f1.sum(-1) / np.where(seen.any(-1), seen.sum(-1), np.nan), dtype=np.float64)
