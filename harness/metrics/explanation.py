"""Whether an explanation of a prediction names the latents whose removal moves the prediction.

``M`` is the log-probability, nats, that the model gives the token it predicts. ``k`` latents are 1, 5, 10, 20 and 50 %
of those that are active, one at least. What a ranking comes to is only worth something beside random rankings of the
same latents, and beside the ranking by exact ablation of each alone, which no ranking needs to stay below.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.metrics.contract import Array, Direction, Parts, metric, ratio

EXPLANATION = ("explanation",)
_ERASER = "ERASER, arXiv 1911.03429, section 4; over latents"
_MIB = "MIB, arXiv 2504.13151, section 3; over latents of one activation"
_NO_PREDICTIONS = "no prediction was explained"
_NO_GAP = "no prediction moves by 0.1 nat without all latents"
_NO_RANKS = "no prediction has three active latents that differ in importance"
_NO_IMPORTANCE = "importance is 0 everywhere"


def _mean(part: str, count: str, reason: str) -> Callable[[Parts, Array], Array]:
    def value(parts: Parts, w: Array) -> Array:
        return ratio(w @ parts[part], w @ parts[count], reason)

    return value


def _add(
    name: str,
    summary: str,
    formula: str,
    value: Callable[[Parts, Array], Array],
    needs: tuple[str, ...],
    *,
    unit: str = "1",
    direction: Direction = "target",
    source: str = "ours",
    null: str,
) -> None:
    def named(parts: Parts, w: Array) -> Array:
        return value(parts, w)

    named.__name__, named.__doc__ = name, summary
    metric(
        unit=unit,
        direction=direction,
        formula=f"{name} = {formula}",
        needs=needs,
        tracks=EXPLANATION,
        source=source,
        null=null,
        within_model=unit == "nats",
    )(named)


def _add_curve(name: str, summary: str, formula: str, *, unit: str, direction: Direction, source: str) -> None:
    """Register what a ranking comes to, and the same of random rankings and of the one by exact ablation."""
    count, reason = ("n_gap", _NO_GAP) if unit == "1" else ("n", _NO_PREDICTIONS)
    for suffix, of, better in (
        ("", "", direction),
        ("_random", ", of random rankings of the same latents", "target"),
        ("_ceiling", ", of the ranking by exact ablation of each latent alone", "target"),
    ):
        _add(
            name + suffix,
            f"{summary}{of}.",
            f"{formula}{f', order: {suffix[1:]}' if suffix else ''}",
            _mean(name + suffix, count, reason),
            (name + suffix, count),
            unit=unit,
            direction=better,
            source=source,
            null=f"random rankings: {name}_random",
        )


_add_curve(
    "comp",
    "Nats that predictions lose without the latents ranked first (comprehensiveness)",
    "mean over predictions and k of M(full) − M(without the first k)",
    unit="nats",
    direction="up",
    source=_ERASER,
)
_add_curve(
    "suff",
    "Nats that predictions lose where the latents ranked first are all that is kept (sufficiency)",
    "mean over predictions and k of M(full) − M(only the first k)",
    unit="nats",
    direction="down",
    source=_ERASER,
)
_add_curve(
    "cpr",
    "How much of what all latents do to a prediction the latents ranked first do",
    "mean area under F, F = (M(first alone) − M(none)) / (M(full) − M(none))",
    unit="1",
    direction="up",
    source=_MIB,
)
_add_curve(
    "cmd",
    "How far what the latents ranked first do is from what all of them do",
    "mean area under |1 − F|, F = (M(first alone) − M(none)) / (M(full) − M(none))",
    unit="1",
    direction="down",
    source=_MIB,
)


@metric(
    unit="1",
    direction="up",
    formula="faithfulness = (comp − comp_random) / (comp_ceiling − comp_random)",
    needs=("comp", "comp_random", "comp_ceiling"),
    tracks=EXPLANATION,
    source="ours; comp as in ERASER, arXiv 1911.03429",
    null="random rankings 0; the ranking by exact ablation 1",
)
def faithfulness(parts: Parts, w: Array) -> Array:
    """Share of the way from random rankings to exact ablation that a ranking goes, by what it loses when removed.

    A ratio of sums over predictions: one whose latents matter little weighs little. Above 1 where latents matter
    together more than alone, and the method knows. ``w [..., C] -> [...]``.
    """
    random, ceiling = w @ parts["comp_random"], w @ parts["comp_ceiling"]
    reason = "the ranking by exact ablation does no better than random ones"
    return ratio(w @ parts["comp"] - random, ceiling - random, reason, above=0.0)


_add(
    "importance_agreement",
    "Rank correlation of a method's importance with exact ablation, over the active latents of a prediction.",
    "mean over predictions of Spearman(I, I of exact ablation)",
    _mean("agree", "n_agree", _NO_RANKS),
    ("agree", "n_agree"),
    direction="up",
    null="random importance 0",
)
for _k in (10, 100):
    _add(
        f"topk_mass{_k}",
        f"Share of all importance that the {_k} most important latents of a prediction hold.",
        f"mean over predictions of the sum of the {_k} largest |I| / the sum of all |I|",
        _mean(f"mass{_k}", "n_mass", _NO_IMPORTANCE),
        (f"mass{_k}", "n_mass"),
        null=f"equal importance: topk_mass{_k}_uniform",
    )
    _add(
        f"topk_mass{_k}_uniform",
        f"What topk_mass{_k} would be if all active latents were equally important.",
        f"mean over predictions of min(1, {_k} / active latents)",
        _mean(f"uniform{_k}", "n_mass", _NO_IMPORTANCE),
        (f"uniform{_k}", "n_mass"),
        null="it is one itself",
    )
_add(
    "importance_gini",
    "How unequally importance is spread over the active latents of a prediction.",
    "mean over predictions of the Gini coefficient of |I|",
    _mean("gini", "n_mass", _NO_IMPORTANCE),
    ("gini", "n_mass"),
    null="equal importance 0",
)
_add(
    "importance_n_eff",
    "How many equally important latents would spread importance as it is spread.",
    "mean over predictions of exp(entropy of |I| / Σ|I|)",
    _mean("n_eff", "n_mass", _NO_IMPORTANCE),
    ("n_eff", "n_mass"),
    unit="latents",
    null="equal importance: the active latents",
)


@metric(
    unit="1",
    direction="up",
    formula="named_effect = Σ s · I(named, at most 5) / Σ |I|(5 largest), I exact, s = ±1 as said",
    needs=("named_sum", "largest_sum"),
    tracks=EXPLANATION,
    source="ours",
    null="latents named at random, with either sign: 0",
)
def named_effect(parts: Parts, w: Array) -> Array:
    """Share of the largest exact effects that sentences name, with the side they are said to be on.

    Sums over predictions; a latent that is said to be on the wrong side counts against. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["named_sum"], w @ parts["largest_sum"], "no latent moves any prediction")


_add(
    "named_hit",
    "Share of the latents that sentences name (the first 5) which are among the 5 of largest exact effect.",
    "named latents among the 5 of largest |I| / named latents, I exact",
    _mean("hits", "n_named", "no sentence names a latent"),
    ("hits", "n_named"),
    direction="up",
    null="latents named at random: 5 / active latents",
)
_add(
    "sentence_length",
    "Latents that a sentence names.",
    "mean over predictions of the number of named latents",
    _mean("length", "n", _NO_PREDICTIONS),
    ("length", "n"),
    unit="latents",
    null="a sentence that names nothing: 0",
)
