"""Which latents follow a vocabulary of reasoning: ReasonScore, its variants, and what they are worth against nulls.

Parts are sums over the test split per cluster, for latents that the validation split selected; ``n`` in their shapes
is the number of selected latents, ``R`` of words, ``V`` of random vocabularies.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from harness.metrics.contract import Array, NotComputableError, Parts, constant, metric, ratio

REASONING = ("reasoning",)
_PAPER = "arXiv 2503.18878 v2, Eq. 4-5"


def share(part: Array, whole: Array) -> Array:
    """Return ``part / whole``, and 0 where the whole is 0."""
    return np.asarray(part / np.where(whole == 0, 1.0, whole) * (whole != 0), dtype=np.float64)


def word_entropy(word_means: Array) -> Array:
    """Return how evenly a latent's mass is spread over words, 0 to 1: means ``[..., R, F] -> [..., F]``.

    ``H = -sum_r p_r ln p_r / ln R``; 1 for a single word, 0 for a latent that is silent on all of them.
    """
    words = word_means.shape[-2]
    total = word_means.sum(-2)
    if words == 1:
        return np.asarray((total > 0) * 1.0)
    p = share(word_means, total[..., None, :])
    return np.asarray(special.entr(p).sum(-2) / np.log(words), dtype=np.float64)


def reason_scores(
    inside: Array, outside: Array, word_means: Array, alpha: float, totals: tuple[Array, Array] | None = None
) -> Array:
    """Return ReasonScore, ``[..., F]`` (arXiv 2503.18878v2, Eq. 4-5).

    ``RS = inside / sum inside * H^alpha - outside / sum outside``. The sums run over the whole dictionary, never over a
    chunk of it. A latent that is silent inside has 0 for the first term.

    Args:
        inside: sums (or means) of folded codes over the windows of all words, ``[..., F]``.
        outside: over all other tokens.
        word_means: means over the windows of each word, ``[..., R, F]``.
        alpha: power of the entropy.
        totals: sums of ``inside`` and ``outside`` over the whole dictionary, ``[...]``, where ``F`` is a part of it.
    """
    total_in, total_out = totals if totals is not None else (inside.sum(-1), outside.sum(-1))
    spread = word_entropy(word_means) ** alpha
    return share(inside, total_in[..., None]) * spread - share(outside, total_out[..., None])


def _over(w: Array, part: Array) -> Array:
    """Return ``sum_c w_c part_c`` for weights ``[..., C]`` and a part ``[C, ...]``: ``[..., *rest]``."""
    flat = w @ part.reshape(part.shape[0], -1)
    return np.asarray(flat.reshape((*w.shape[:-1], *part.shape[1:])), dtype=np.float64)


def _selected_scores(parts: Parts, w: Array, prefix: str) -> Array:
    """Return the scores of the selected latents under every vocabulary, ``[..., V, n]``."""
    word_means = share(_over(w, parts[f"{prefix}_word"]), _over(w, parts[f"{prefix}_word_n"])[..., None])
    totals = _over(w, parts[f"{prefix}_in_all"]), _over(w, parts[f"{prefix}_out_all"])
    for total in totals:
        if total.ndim == 1 and not (total > 0).all():
            raise NotComputableError("no latent fires inside the windows, or none outside them")
    inside, outside = _over(w, parts[f"{prefix}_in"]), _over(w, parts[f"{prefix}_out"])
    return reason_scores(inside, outside, word_means, float(parts["alpha"]), totals)


def _sums(prefix: str) -> tuple[str, ...]:
    return tuple(f"{prefix}_{name}" for name in ("word", "word_n", "in", "out", "in_all", "out_all"))


@metric(
    unit="share",
    direction="up",
    formula="mean over selected latents of mᵢ(in) / Σⱼ mⱼ(in) · Hᵢ^α − mᵢ(out) / Σⱼ mⱼ(out)",
    needs=("alpha", *_sums("rs")),
    tracks=REASONING,
    source=_PAPER,
    null="a latent that ignores the vocabulary: at most 0; see reasonscore_gap",
)
def reasonscore(parts: Parts, w: Array) -> Array:
    """Mean ReasonScore of the latents with the largest one on the validation split.

    ``w [..., C] -> [...]``: scores are computed from the weighted sums, for latents that are fixed. Not computable
    where no word is frequent enough.
    """
    return np.asarray(_selected_scores(parts, w, "rs").mean((-2, -1)), dtype=np.float64)


@metric(
    unit="share",
    direction="up",
    formula="reasonscore_gap = reasonscore − mean over random vocabularies of reasonscore",
    needs=("alpha", *_sums("rs"), *_sums("rv")),
    tracks=REASONING,
    source="ours: word ban against random words, arXiv 2503.18878 v2, Appendix A.2, made a null of the score",
    null="a vocabulary that is as good as random words: 0",
)
def reasonscore_gap(parts: Parts, w: Array) -> Array:
    """How far ``reasonscore`` is above the same selection and score under frequency-matched random vocabularies.

    The mean over the random vocabularies is taken; latents are selected anew for each. ``w [..., C] -> [...]``.
    """
    random = _selected_scores(parts, w, "rv").mean((-2, -1))
    return np.asarray(reasonscore(parts, w) - random, dtype=np.float64)


@metric(
    unit="1",
    direction="up",
    formula="rs_ratio = mean over selected latents of mᵢ(keywords) / max(mᵢ(all tokens), 1e-6)",
    needs=("rr_in", "rr_all", "rr_in_n", "n"),
    tracks=REASONING,
    source="after arXiv 2503.18878: global average; keywords in four surface forms, no window",
    null="a latent that ignores the keywords: 1; at most tokens / keyword tokens",
)
def rs_ratio(parts: Parts, w: Array) -> Array:
    """Mean activation on keyword tokens over that on all tokens, for the latents best at it on the validation split.

    ``mu(i, D_R) / max(mu(i, all), 1e-6)``, averaged over latents. ``w [..., C] -> [...]``. Not computable where no
    keyword occurs or no latent fires often enough.
    """
    if parts["rr_in"].shape[-1] == 0:
        raise NotComputableError("no latent fires often enough to be scored")
    once = ratio(np.asarray(1.0), _over(w, parts["rr_in_n"]), "no keyword occurs")
    keyword = _over(w, parts["rr_in"]) * once[..., None]
    everywhere = share(_over(w, parts["rr_all"]), (w @ parts["n"])[..., None])
    return np.asarray((keyword / np.maximum(everywhere, 1e-6)).mean(-1), dtype=np.float64)


@metric(
    unit="1",
    direction="up",
    formula="rs_topk = mean over pairs (latent, prompt it leads) of keyword activation / overall activation",
    needs=("rk_sum", "rk_count"),
    tracks=REASONING,
    source="after arXiv 2503.18878: per prompt, among its top-k latents; keywords in four surface forms, no window",
    null="a latent that ignores the keywords: 1",
)
def rs_topk(parts: Parts, w: Array) -> Array:
    """Mean ratio of a prompt's keyword activation to its overall activation, over the prompts a latent leads.

    Latents are those best at it on the validation split. The mean is over all pairs of a latent and a prompt that it
    leads, so a latent that leads one prompt counts little. ``w [..., C] -> [...]``. Not computable where no selected
    latent is among the top k of any prompt.
    """
    total, count = _over(w, parts["rk_sum"]).sum(-1), _over(w, parts["rk_count"]).sum(-1)
    return ratio(total, count, "no selected latent is among the top latents of any prompt")


@metric(
    unit="latents",
    direction="up",
    formula="rs_pass = #{i : p(max-T, step-down) < level}, F latents against shifted windows",
    needs=("passed",),
    tracks=REASONING,
    source="ours: circular shifts within documents; studentised step-down max-T (Westfall and Young 1993)",
    null="codes that ignore the words: 0 in 95 % of data sets, at a family-wise error of 5 %",
    interval="seeds",
)
def rs_pass(parts: Parts, w: Array) -> Array:
    """Latents whose ReasonScore exceeds what shifted windows give, at the task's family-wise error over all latents.

    Says that a latent is aligned with the words, not that it reasons: a token detector passes. ``w [..., C] -> [...]``,
    constant.
    """
    return constant(w, float(parts["passed"].sum()))


@metric(
    unit="1",
    direction="up",
    formula="rs_survive = #{tested, pass, not activated by their tokens} / #{tested, pass}",
    needs=("tested_passed", "tested_survived"),
    tracks=REASONING,
    source="arXiv 2601.05679 (token injection); classes by Cohen's d",
    null="token detectors: 0",
    interval="seeds",
)
def rs_survive(parts: Parts, w: Array) -> Array:
    """Of the tested latents that pass the shift null, the share that injecting their top tokens does not activate.

    Tested are the latents with the largest ReasonScore on the validation split. ``w [..., C] -> [...]``, constant. Not
    computable where none of them passes.
    """
    passed = float(parts["tested_passed"].sum())
    if passed == 0:
        raise NotComputableError("none of the latents that were tested by injection passes the shift null")
    return constant(w, float(parts["tested_survived"].sum()) / passed)
