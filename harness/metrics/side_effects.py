"""What steering a language model costs: fluency of what it writes, and what becomes of text that is no business of it.

Sums per cluster of problems: ``tokens`` written, ``nll_base`` nats of them under the model as it is, ``grams`` and
``new_grams`` runs of four tokens and those that are new in their text, ``pairs`` and ``new_pairs`` the same of two.
Totals over neutral text: ``side_kl_sum`` nats, ``side_n`` tokens, ``side_hits`` favourites that are the text's own
token, ``side_hits_clean`` the same of the model as it is.
"""

from __future__ import annotations

import numpy as np

from harness.metrics.contract import Array, NotComputableError, Parts, constant, metric, ratio
from harness.metrics.steering import STEERING

_NO_TEXT = "there is no neutral text"


@metric(
    unit="1",
    direction="down",
    formula="ppl_base = exp(Σ −ln p₀(token) / Σ tokens written), p₀ the model as it is",
    needs=("nll_base", "tokens"),
    tracks=STEERING,
    source="ours",
    null="that of what the model writes as it is",
    within_model=True,
)
def ppl_base(parts: Parts, w: Array) -> Array:
    """Perplexity of what was written under the model as it is."""
    nats = ratio(w @ parts["nll_base"], w @ parts["tokens"], "no token was written")
    return np.asarray(np.exp(nats), dtype=np.float64)


@metric(
    unit="1",
    direction="down",
    formula="rep4 = 1 − Σ different runs of four tokens in a text / Σ runs of four tokens",
    needs=("grams", "new_grams"),
    tracks=STEERING,
    source="Welleck and others, arXiv 1908.04319, section 6.1, for each text by itself",
    null="that of what the model writes as it is",
    within_model=True,
)
def rep4(parts: Parts, w: Array) -> Array:
    """Share of runs of four tokens that stood in their text before."""
    return 1.0 - ratio(w @ parts["new_grams"], w @ parts["grams"], "no text has four tokens")


@metric(
    unit="1",
    direction="up",
    formula="distinct2 = Σ different pairs of tokens in a text / Σ pairs of tokens",
    needs=("pairs", "new_pairs"),
    tracks=STEERING,
    source="Li and others, arXiv 1510.03055, section 5.2, for each text by itself",
    null="that of what the model writes as it is",
    within_model=True,
)
def distinct2(parts: Parts, w: Array) -> Array:
    """Share of pairs of neighbouring tokens that are new in their text."""
    return ratio(w @ parts["new_pairs"], w @ parts["pairs"], "no text has two tokens")


@metric(
    unit="nats/token",
    direction="down",
    formula="side_kl = mean over tokens of neutral text of KL(p₀ ‖ p), p₀ the model as it is",
    needs=("side_kl_sum", "side_n"),
    tracks=STEERING,
    source="ours",
    null="no edit: 0",
    interval="none",
    within_model=True,
)
def side_kl(parts: Parts, w: Array) -> Array:
    """What steering does to text that has nothing to do with it."""
    if not np.isfinite(parts["side_kl_sum"]):
        raise NotComputableError("a token is never written: the divergence is infinite")
    return constant(w, float(ratio(parts["side_kl_sum"], parts["side_n"], _NO_TEXT)))


@metric(
    unit="1",
    direction="up",
    formula="side_acc = share of tokens of neutral text that are the favourite − that of the model as it is",
    needs=("side_hits", "side_hits_clean", "side_n"),
    tracks=STEERING,
    source="ours; accuracy at a task that has nothing to do with it, predicting the next token",
    null="no edit: 0",
    interval="none",
    within_model=True,
)
def side_acc(parts: Parts, w: Array) -> Array:
    """Accuracy at predicting neutral text that steering adds; below 0 where it takes some."""
    return constant(w, float(ratio(parts["side_hits"] - parts["side_hits_clean"], parts["side_n"], _NO_TEXT)))
