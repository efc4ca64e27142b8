"""How near a decoder's predictions are to the model's own.

Every number exists twice: over all tokens, and over a task's vocabulary (``_subvocab``), where all tokens but some are
one. The second bounds a divergence from below (data processing), so the two never stand in one column.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.metrics.contract import SUBVOCAB, Array, Direction, Parts, Value, metric, ratio
from harness.metrics.splice import agree1

DECODING = ("decoding",)
_NO_TOKENS = "no tokens were measured"
_NO_TARGETS = "no token was followed by text"
_SOURCE = "ours"


def over_vocabulary(
    *, unit: str, direction: Direction, formula: str, needs: tuple[str, ...], null: str
) -> Callable[[Value], Value]:
    """Register, beside a metric over all tokens, the same one over the task's vocabulary.

    Parts that are counts (``n…``) are the same in both; the others carry the suffix.
    """
    names = {need: need if need.startswith("n") else need + SUBVOCAB for need in needs}

    def register(value: Value) -> Value:
        def projected(parts: Parts, w: Array) -> Array:
            return value({"n": parts["n"], **{need: parts[name] for need, name in names.items()}}, w)

        projected.__name__ = value.__name__ + SUBVOCAB
        first, _, rest = (value.__doc__ or "").partition("\n")
        projected.__doc__ = f"{first.rstrip('.')}; all tokens outside the task's vocabulary count as one.\n{rest}"
        metric(
            unit=unit,
            direction=direction,
            formula=formula.replace(value.__name__, projected.__name__, 1),
            needs=tuple(names.values()),
            tracks=DECODING,
            within_model=True,
            source=_SOURCE,
            null=null,
        )(projected)
        return value

    return register


def both(
    *, unit: str, direction: Direction, formula: str, needs: tuple[str, ...], null: str
) -> Callable[[Value], Value]:
    """Register a metric over all tokens and over the task's vocabulary."""

    def register(value: Value) -> Value:
        metric(
            unit=unit,
            direction=direction,
            formula=formula,
            needs=needs,
            tracks=DECODING,
            within_model=True,
            source=_SOURCE,
            null=null,
        )(value)
        return over_vocabulary(unit=unit, direction=direction, formula=formula, needs=needs, null=null)(value)

    return register


@both(
    unit="nats/token",
    direction="down",
    formula="kl_model_method = mean over tokens of Σᵥ pᵥ ln(pᵥ / qᵥ), p the model, q the method",
    needs=("kl_pq",),
    null="the model itself: 0",
)
def kl_model_method(parts: Parts, w: Array) -> Array:
    """Divergence of the method's next-token distribution from the model's own, where the model puts its mass.

    ``mean_n KL(p_n || q_n)``, ``p`` the model's final distribution, ``q`` the method's. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["kl_pq"], w @ parts["n"], _NO_TOKENS)


@both(
    unit="nats/token",
    direction="down",
    formula="kl_method_model = mean over tokens of Σᵥ qᵥ ln(qᵥ / pᵥ), p the model, q the method",
    needs=("kl_qp",),
    null="the model itself: 0",
)
def kl_method_model(parts: Parts, w: Array) -> Array:
    """Divergence of the model's own next-token distribution from the method's, where the method puts its mass.

    ``mean_n KL(q_n || p_n)``: small where the method says only what the model might say, even if not all of it; what
    rewards on sampled tokens push. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["kl_qp"], w @ parts["n"], _NO_TOKENS)


over_vocabulary(
    unit="1",
    direction="up",
    formula="agree1 = share of tokens with argmax p = argmax q, p the model, q the method",
    needs=("n_kl", "agree1"),
    null="a constant prediction: the share of the modal prediction; the model itself: 1",
)(agree1)


@both(
    unit="1",
    direction="up",
    formula="agree5 = mean over tokens of |A ∩ B| / |A ∪ B|, A and B the five likeliest tokens of model and method",
    needs=("agree5",),
    null="the model itself: 1",
)
def agree5(parts: Parts, w: Array) -> Array:
    """Overlap of the five next tokens that the method and the model find likeliest.

    Mean Jaccard index of the two sets, ties to the lowest id. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["agree5"], w @ parts["n"], _NO_TOKENS)


@both(
    unit="1",
    direction="up",
    formula="acc_gold = share of tokens after which argmax q is the text's next token, q the method",
    needs=("n_gold", "gold"),
    null="a constant prediction: the share of that token",
)
def acc_gold(parts: Parts, w: Array) -> Array:
    """Share of tokens after which the method's likeliest next token is the text's.

    Over tokens that text of the same document follows. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["gold"], w @ parts["n_gold"], _NO_TARGETS)


@both(
    unit="1",
    direction="down",
    formula="acc_drop = acc_gold(model) − acc_gold(method), on the same tokens",
    needs=("n_gold", "gold", "gold_model"),
    null="the model itself: 0",
)
def acc_drop(parts: Parts, w: Array) -> Array:
    """Accuracy lost on the text's next token by predicting with the method in place of the model.

    Paired: the same tokens, the same resampled clusters. Below 0 where the method predicts the text better than the
    model does. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["gold_model"] - w @ parts["gold"], w @ parts["n_gold"], _NO_TARGETS)


@both(
    unit="nats",
    direction="target",
    formula="entropy = mean over tokens of −Σᵥ qᵥ ln qᵥ, q the method",
    needs=("entropy",),
    null="the uniform distribution: ln V",
)
def entropy(parts: Parts, w: Array) -> Array:
    """Mean entropy of the method's next-token distributions; to be read beside the model's own.

    A decoder that is surer than the model is sharpened, one that is less sure hedges. ``w [..., C] -> [...]``.
    """
    return ratio(w @ parts["entropy"], w @ parts["n"], _NO_TOKENS)
