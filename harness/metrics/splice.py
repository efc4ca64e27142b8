"""What the language model does when reconstructions take the place of its activations."""

from __future__ import annotations

import numpy as np

from harness.metrics.contract import Array, Parts, metric, ratio

RECONSTRUCTION = ("reconstruction", "domains")
# Nats per token an ablation has to cost before a share of that cost means anything (random models lose nothing).
ABLATION_FLOOR = 1e-3
_NO_TARGETS = "no next-token targets were counted"
_NO_TOKENS = "no tokens were spliced"


@metric(
    unit="nats/token",
    direction="down",
    formula="delta_ce = CE(spliced) − CE(clean)",
    needs=("n_ce", "ce_clean", "ce_splice"),
    tracks=RECONSTRUCTION,
    within_model=True,
    source="SAEBench core (ce_loss_with_sae - ce_loss_without_sae), arXiv 2503.09532",
    null="identity: 0",
)
def delta_ce(parts: Parts, w: Array) -> Array:
    """Rise of the next-token cross-entropy when reconstructions replace the activations.

    ``CE_splice - CE_clean``, means over targets whose source token was spliced. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["ce_splice"] - w @ parts["ce_clean"], w @ parts["n_ce"], _NO_TARGETS)


def _recovered(parts: Parts, w: Array, ablated: str, label: str) -> Array:
    """Return ``(CE_ablated - CE_splice) / (CE_ablated - CE_clean)`` from pooled sums."""
    clean, splice, worst, n = (w @ parts[name] for name in ("ce_clean", "ce_splice", ablated, "n_ce"))
    reason = f"{label} raises the cross-entropy by no more than {ABLATION_FLOOR:g} nats/token"
    return ratio(worst - splice, worst - clean, reason, above=ABLATION_FLOOR * n)


@metric(
    unit="1",
    direction="up",
    formula="ce_recovered = (CE(zero) − CE(spliced)) / (CE(zero) − CE(clean))",
    needs=("n_ce", "ce_clean", "ce_splice", "ce_zero"),
    tracks=RECONSTRUCTION,
    within_model=True,
    source="SAEBench core (ce_loss_score), arXiv 2503.09532",
    null="zero reconstruction: 0; identity: 1",
)
def ce_recovered(parts: Parts, w: Array) -> Array:
    """Share of the cross-entropy lost by zero ablation that the reconstruction wins back; saturates, see ``delta_ce``.

    ``(CE_zero - CE_splice) / (CE_zero - CE_clean)``, a ratio of pooled means; below 0 and above 1 are legal.
    ``w [..., C] -> [...]``. Not computable where zero ablation costs at most 0.001 nats/token.
    """
    return _recovered(parts, w, "ce_zero", "zero ablation")


@metric(
    unit="1",
    direction="up",
    formula="ce_recovered_mean = (CE(mean) − CE(spliced)) / (CE(mean) − CE(clean))",
    needs=("n_ce", "ce_clean", "ce_splice", "ce_mean"),
    tracks=RECONSTRUCTION,
    within_model=True,
    source="ce_recovered with the train mean in place of zero",
    null="mean_only: 0; identity: 1",
)
def ce_recovered_mean(parts: Parts, w: Array) -> Array:
    """Share of the cross-entropy lost by mean ablation that the reconstruction wins back.

    ``(CE_mean - CE_splice) / (CE_mean - CE_clean)``, a ratio of pooled means; below 0 and above 1 are legal.
    ``w [..., C] -> [...]``. Not computable where mean ablation costs at most 0.001 nats/token.
    """
    return _recovered(parts, w, "ce_mean", "mean ablation")


@metric(
    unit="nats/token",
    direction="down",
    formula="kl_splice = mean over tokens of Σᵥ pᵥ ln(pᵥ / qᵥ), p clean, q spliced",
    needs=("n_kl", "kl"),
    tracks=RECONSTRUCTION,
    within_model=True,
    source="SAEBench core (kl_div_with_sae), arXiv 2503.09532; summed over the vocabulary, mean over tokens",
    null="identity: 0",
)
def kl_splice(parts: Parts, w: Array) -> Array:
    """Divergence of the spliced model's next-token distribution from the clean one's.

    ``mean_n KL(p_n || q_n)``, ``p`` clean, ``q`` spliced, over the whole vocabulary. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["kl"], w @ parts["n_kl"], _NO_TOKENS)


@metric(
    unit="1",
    direction="up",
    formula="kl_score = 1 − KL(spliced) / KL(zero)",
    needs=("n_kl", "kl", "kl_zero"),
    tracks=RECONSTRUCTION,
    within_model=True,
    source="SAEBench core (kl_div_score), arXiv 2503.09532",
    null="zero reconstruction: 0; identity: 1",
)
def kl_score(parts: Parts, w: Array) -> Array:
    """Share of the divergence caused by zero ablation that the reconstruction avoids.

    ``1 - KL_splice / KL_zero``, a ratio of pooled means. ``w [..., C] -> [...]``. Not computable where zero ablation
    diverges by at most 0.001 nats/token.
    """
    reason = f"zero ablation diverges by no more than {ABLATION_FLOOR:g} nats/token"
    lost = ratio(w @ parts["kl"], w @ parts["kl_zero"], reason, above=ABLATION_FLOOR * (w @ parts["n_kl"]))
    return np.asarray(1.0 - lost, dtype=np.float64)


@metric(
    unit="1",
    direction="up",
    formula="agree1 = share of tokens with argmax p = argmax q, p the model, q the spliced one or the method",
    needs=("n_kl", "agree1"),
    tracks=(*RECONSTRUCTION, "decoding"),
    within_model=True,
    source="ours",
    null="zero reconstruction: the share of the modal prediction; identity: 1",
)
def agree1(parts: Parts, w: Array) -> Array:
    """Share of tokens after which the spliced model's, or the method's, most likely next token is the model's own.

    ``mean_n 1[argmax p_n = argmax q_n]``, ties to the lowest id. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["agree1"], w @ parts["n_kl"], _NO_TOKENS)
