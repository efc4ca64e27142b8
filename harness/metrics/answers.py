"""How a language model answers questions while something is done to it, and what that changes.

Sums per cluster: ``n`` questions, ``right`` answers, ``exact`` and ``f1`` as SQuAD has them, ``gold_logp`` nats of the
right answer's ``gold_tokens`` tokens, ``choice_logp`` nats of the right choice among all choices. With ``_clean``
behind their names the same of the model as it is.
"""

from __future__ import annotations

from harness.metrics.contract import Array, Parts, metric, ratio

ANSWERS = ("answers",)
# Of tracks that compare what is answered under an edit with what is answered without.
EDITED = ("answers", "steering")
_LM_EVAL = "lm-eval (github.com/EleutherAI/lm-evaluation-harness)"
_SQUAD = "arXiv 1606.05250, section 6.1; the data set's evaluate-v2.0.py"
_NO_QUESTION = "no question was asked"
_NO_TOKEN = "no right answer has a token"
_UNEDITED = "no edit: 0"


def _share(parts: Parts, w: Array, name: str) -> Array:
    return ratio(w @ parts[name], w @ parts["n"], _NO_QUESTION)


def _change(parts: Parts, w: Array, name: str) -> Array:
    return ratio(w @ (parts[name] - parts[f"{name}_clean"]), w @ parts["n"], _NO_QUESTION)


@metric(
    unit="1",
    direction="up",
    formula="answer_acc = right answers / questions",
    needs=("n", "right"),
    tracks=EDITED,
    within_model=True,
    source=f"{_LM_EVAL}, acc of choices and exact_match of what is written",
    null="of K choices: 1 / K; of what is written: 0",
    share="right",
)
def answer_acc(parts: Parts, w: Array) -> Array:
    """Share of questions that the model answers rightly under the edit."""
    return _share(parts, w, "right")


@metric(
    unit="1",
    direction="up",
    formula="d_acc = answer_acc − answer_acc of the model as it is, on the same questions",
    needs=("n", "right", "right_clean"),
    tracks=EDITED,
    within_model=True,
    source="ours; a paired difference",
    null=_UNEDITED,
    change=("right", "right_clean"),
)
def d_acc(parts: Parts, w: Array) -> Array:
    """How much accuracy the edit adds; below 0 where it takes some. Paired over questions."""
    return _change(parts, w, "right")


@metric(
    unit="1",
    direction="up",
    formula="answer_em = answers whose words are those of a right answer / questions, as SQuAD normalises them",
    needs=("n", "exact"),
    tracks=ANSWERS,
    within_model=True,
    share="exact",
    source=_SQUAD,
    null="an empty answer: 0",
)
def answer_em(parts: Parts, w: Array) -> Array:
    """Share of answers that match a right one exactly, but for case, punctuation and articles."""
    return _share(parts, w, "exact")


@metric(
    unit="1",
    direction="up",
    formula="answer_f1 = mean over questions of max over right answers of 2 |shared words| / (|words| + |words|)",
    needs=("n", "f1"),
    tracks=ANSWERS,
    within_model=True,
    source=_SQUAD,
    null="an empty answer: 0",
)
def answer_f1(parts: Parts, w: Array) -> Array:
    """How many words an answer shares with the right one it is nearest to, as SQuAD counts them."""
    return _share(parts, w, "f1")


@metric(
    unit="1",
    direction="up",
    formula="d_f1 = answer_f1 − answer_f1 of the model as it is, on the same questions",
    needs=("n", "f1", "f1_clean"),
    tracks=ANSWERS,
    within_model=True,
    source="ours; a paired difference",
    null=_UNEDITED,
)
def d_f1(parts: Parts, w: Array) -> Array:
    """How much F1 the edit adds; below 0 where it takes some. Paired over questions."""
    return _change(parts, w, "f1")


@metric(
    unit="nats/token",
    direction="up",
    formula="gold_loglik = Σ ln p(right answer | question) / Σ tokens of right answers",
    needs=("gold_logp", "gold_tokens"),
    tracks=EDITED,
    within_model=True,
    source=f"{_LM_EVAL}, loglikelihood; here a mean over the tokens of all right answers",
    null="every token equally likely: −ln of the vocabulary's size",
)
def gold_loglik(parts: Parts, w: Array) -> Array:
    """Log-likelihood of the right answers under the edit, per token; it moves where accuracy is at its floor."""
    return ratio(w @ parts["gold_logp"], w @ parts["gold_tokens"], _NO_TOKEN)


@metric(
    unit="nats/token",
    direction="up",
    formula="d_gold_loglik = gold_loglik − gold_loglik of the model as it is, on the same questions",
    needs=("gold_logp", "gold_logp_clean", "gold_tokens"),
    tracks=EDITED,
    within_model=True,
    source="ours; a paired difference",
    null=_UNEDITED,
)
def d_gold_loglik(parts: Parts, w: Array) -> Array:
    """How much likelier the edit makes the right answers, per token. Paired over questions."""
    return ratio(w @ (parts["gold_logp"] - parts["gold_logp_clean"]), w @ parts["gold_tokens"], _NO_TOKEN)


@metric(
    unit="nats/question",
    direction="up",
    formula="choice_loglik = mean over questions of ln (p(right choice) / Σ p(choice))",
    needs=("n", "choice_logp"),
    tracks=ANSWERS,
    within_model=True,
    source="ours; the choices' log-likelihoods as lm-eval's multiple_choice has them",
    null="K choices equally likely: −ln K",
)
def choice_loglik(parts: Parts, w: Array) -> Array:
    """Log-likelihood of the right choice among the choices, per question.

    Unlike ``gold_loglik`` it does not rise where an edit makes every choice likelier beside all else one could say.
    """
    return _share(parts, w, "choice_logp")


@metric(
    unit="nats/question",
    direction="up",
    formula="d_choice_loglik = choice_loglik − choice_loglik of the model as it is, on the same questions",
    needs=("n", "choice_logp", "choice_logp_clean"),
    tracks=ANSWERS,
    within_model=True,
    source="ours; a paired difference",
    null=_UNEDITED,
)
def d_choice_loglik(parts: Parts, w: Array) -> Array:
    """How much likelier the edit makes the right choice among the choices. Paired over questions."""
    return _change(parts, w, "choice_logp")
