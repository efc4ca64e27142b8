"""What steering a language model does to what it writes, beside what a bias on the words themselves does.

Sums per cluster of problems: ``n`` problems, ``texts`` of them, ``tokens`` written, ``censored`` problems with a text
that reached the most tokens, ``hits`` of the task's words, ``hm`` marks, ``helped`` problems whose answer became right,
``harmed`` ones whose answer became wrong. With ``_clean`` behind their names the same of the model as it is, with
``_bias`` of the model with a bias on the first tokens of the words, as strong as gives the same divergence on neutral
text. ``slope`` and ``anti`` are sums over the ``answered`` problems of the dose–response, ``slope_random`` ``[C, K]``
those of ``K`` random directions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.metrics.contract import Array, Direction, NotComputableError, Parts, metric, ratio

STEERING = ("steering",)
_PAPER = "arXiv 2503.18878, section 4"
_NO_TOKEN = "no token was written"
_NO_PROBLEM = "no problem was given"
# The share of an effect that a bias on words has to bring about for the effect to be called lexical.
LEXICAL_SHARE = 0.8


def _per_token(parts: Parts, w: Array, what: str, arm: str = "") -> Array:
    return ratio(w @ parts[what + arm], w @ parts[f"tokens{arm}"], _NO_TOKEN)


def _rate(parts: Parts, w: Array, arm: str = "") -> Array:
    return 100.0 * _per_token(parts, w, "hits", arm)


def _accuracy(parts: Parts, w: Array, arm: str = "") -> Array:
    return ratio(w @ parts[f"right{arm}"], w @ parts["n"], _NO_PROBLEM)


@metric(
    unit="1",
    direction="target",
    formula="trace_len = Σ tokens written, at most max_tokens / texts; a mean restricted to max_tokens",
    needs=("texts", "tokens"),
    tracks=STEERING,
    source=f"{_PAPER}; Royston and Parmar 2013 for the restricted mean",
    null="that of the model as it is",
    within_model=True,
)
def trace_len(parts: Parts, w: Array) -> Array:
    """Tokens written until the end, or the most that may be written."""
    return ratio(w @ parts["tokens"], w @ parts["texts"], _NO_PROBLEM)


@metric(
    unit="1",
    direction="target",
    formula="len_ratio = trace_len / trace_len of the model as it is, on the same problems",
    needs=("tokens", "tokens_clean"),
    tracks=STEERING,
    source=_PAPER,
    null="no edit: 1",
    within_model=True,
)
def len_ratio(parts: Parts, w: Array) -> Array:
    """How much longer texts are than those of the model as it is. Paired over problems."""
    return ratio(w @ parts["tokens"], w @ parts["tokens_clean"], _NO_TOKEN)


@metric(
    unit="1",
    direction="target",
    formula="censored = problems with a text that reaches max_tokens / problems",
    needs=("n", "censored"),
    tracks=STEERING,
    source="ours",
    null="that of the model as it is",
    share="censored",
    within_model=True,
)
def censored(parts: Parts, w: Array) -> Array:
    """Share of problems with a text that was cut, so that its length is not known."""
    return ratio(w @ parts["censored"], w @ parts["n"], _NO_PROBLEM)


@metric(
    unit="1/100 tokens",
    direction="target",
    formula="reflect_rate = 100 Σ occurrences of the task's words / Σ tokens written",
    needs=("hits", "tokens"),
    tracks=STEERING,
    source="arXiv 2503.18878, appendix A.1, for the words",
    null="that of the model as it is",
    within_model=True,
)
def reflect_rate(parts: Parts, w: Array) -> Array:
    """How often the model writes the task's words."""
    return _rate(parts, w)


@metric(
    unit="1/100 tokens",
    direction="up",
    formula="d_reflect = reflect_rate − reflect_rate of the model as it is, on the same problems",
    needs=("hits", "tokens", "hits_clean", "tokens_clean"),
    tracks=STEERING,
    source="ours; a paired difference",
    null="no edit: 0",
    within_model=True,
)
def d_reflect(parts: Parts, w: Array) -> Array:
    """How much more often the model writes the task's words. Paired over problems."""
    return _rate(parts, w) - _rate(parts, w, "_clean")


def _beyond(parts: Parts, w: Array, of: Callable[[Parts, Array, str], Array]) -> Array:
    clean = of(parts, w, "_clean")
    return LEXICAL_SHARE * (of(parts, w, "") - clean) - (of(parts, w, "_bias") - clean)


@metric(
    unit="1",
    direction="target",
    formula="d_acc_over_bias = .8 d_acc − d_acc of a bias on the words' first tokens with the same side_kl",
    needs=("n", "right", "right_clean", "right_bias"),
    tracks=STEERING,
    source="ours",
    null="a bias on the words: −.2 d_acc",
    within_model=True,
)
def d_acc_over_bias(parts: Parts, w: Array) -> Array:
    """What most of the change of accuracy exceeds that by a bias on the words."""
    return _beyond(parts, w, _accuracy)


@metric(
    unit="1/100 tokens",
    direction="target",
    formula="d_reflect_over_bias = .8 d_reflect − d_reflect of a bias on the words' first tokens with the same side_kl",
    needs=("hits", "tokens", "hits_clean", "tokens_clean", "hits_bias", "tokens_bias"),
    tracks=STEERING,
    source="ours",
    null="a bias on the words: −.2 d_reflect",
    within_model=True,
)
def d_reflect_over_bias(parts: Parts, w: Array) -> Array:
    """What most of the change of the words' rate exceeds that by a bias on the words."""
    return _beyond(parts, w, _rate)


def _add_mark(name: str, direction: Direction, said: str) -> None:
    def named(parts: Parts, w: Array) -> Array:
        return ratio(w @ parts[name], w @ parts["n"], _NO_PROBLEM)

    named.__name__, named.__doc__ = name, f"Share of problems that are {said} under steering."
    metric(
        unit="1",
        direction=direction,
        formula=f"{name} = problems that are {said} under steering / problems",
        needs=("n", name),
        tracks=STEERING,
        source="ours",
        null="no edit: 0",
        share=name,
        within_model=True,
    )(named)


@metric(
    unit="1",
    direction="up",
    formula="hm_offline = mean over problems of 3 / (1/concept + 1/instruction + 1/fluency), 0 where one mark is 0",
    needs=("n", "hm"),
    tracks=STEERING,
    source="ours; the form of arXiv 2501.17148, section 4.2, with counts in place of a judge: not comparable with it",
    null="the model as it is: near 0",
    within_model=True,
)
def hm_offline(parts: Parts, w: Array) -> Array:
    """One mark of 0 to 2 for behaviour, right answers and fluency together, without a judge."""
    return ratio(w @ parts["hm"], w @ parts["n"], _NO_PROBLEM)


@metric(
    unit="nats",
    direction="target",
    formula="dose_slope = mean over problems of d ln p(a word begins) / d dose; dose = ‖x′ − x‖ / ‖x‖, or √side_kl",
    needs=("answered", "slope"),
    tracks=STEERING,
    source="Tan and others, arXiv 2407.12404, section 4",
    null="no edit: 0",
    within_model=True,
)
def dose_slope(parts: Parts, w: Array) -> Array:
    """How much likelier a word of the task becomes per unit of the dose, in what the model writes as it is.

    Doses are edit norms or roots of divergences, so it ranks no arm: ``over_random`` is what both kinds share.
    """
    return ratio(w @ parts["slope"], w @ parts["answered"], _NO_TOKEN)


@metric(
    unit="1",
    direction="down",
    formula="anti_frac = problems whose slope is below 0 / problems",
    needs=("n", "anti"),
    tracks=STEERING,
    source="Tan and others, arXiv 2407.12404, section 4",
    null="a random direction: about 1/2",
    share="anti",
    within_model=True,
)
def anti_frac(parts: Parts, w: Array) -> Array:
    """Share of problems in which steering makes the words less likely."""
    return ratio(w @ parts["anti"], w @ parts["n"], _NO_PROBLEM)


@metric(
    unit="1",
    direction="up",
    formula="over_random = mean slope / max over random directions of |mean slope|, at equal doses",
    needs=("slope", "slope_random"),
    tracks=STEERING,
    source="ours, after arXiv 2407.12404",
    null="a random direction: between −1 and 1 as a rule; above 1 with probability 1/(K + 1) at most, among K",
    within_model=True,
)
def over_random(parts: Parts, w: Array) -> Array:
    """How many times the largest slope of random directions the slope is; below 1 it is none of steering."""
    if parts["slope_random"].shape[1] == 0:
        raise NotComputableError("no random direction was tried")
    largest = np.abs(w @ parts["slope_random"]).max(-1)
    return ratio(w @ parts["slope"], largest, "no random direction does anything")


_add_mark("helped", "up", "wrong as the model is and right")
_add_mark("harmed", "down", "right as the model is and wrong")
