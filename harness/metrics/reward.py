"""What a reward did, and what the same training did with something else in the reward's place.

Every change is of a held-out divergence between model and decoder, in nats per token: below 0 the decoder came nearer.
There are two, and both are judged: ``KL(p‖π)``, by which decoders are ranked, and ``KL(π‖p)`` (``_reverse``), which is
what rewards on samples push: a policy that learns to follow the model where it goes itself may leave out more of what
the model does. Each exists twice: without a penalty, and with one that keeps the policy near the decoder it starts from
(``_anchored``); and each of these over all tokens and over a task's vocabulary (``_subvocab``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial

from harness.metrics.contract import SUBVOCAB, Array, Parts, constant, metric, ratio
from harness.metrics.verdicts import Bounds, Rule, add_rule

REWARD = ("reward_control",)
ANCHORED = "_anchored"
REVERSE = "_reverse"
# By what the names of metrics carry: what those of their parts begin with, and what it is.
DIVERGENCES = {"": ("kl", "KL(p‖π)"), REVERSE: ("klr", "KL(π‖p)")}
ARM_MEANINGS = {
    "true": "the reward itself",
    "random": "rewards drawn at random from those of all samples",
    "shuffled": "the rewards of other samples",
    "zero": "no reward",
    "sup_cont": "as many further steps of supervision",
    "exact_pg": "the policy gradient without sampling",
}
_CONTROLS = ("random", "shuffled")
_FEWEST_SEEDS = 3
# Random rewards that bring this share of what the reward brings have to be explained before the reward is believed.
_SHARE = 0.25
_NO_TOKENS = "no tokens were measured"


def _change(parts: Parts, w: Array, after: str, before: str) -> Array:
    return ratio(w @ parts[after] - w @ parts[before], w @ parts["n"], _NO_TOKENS)


def _least(parts: Parts, w: Array, names: tuple[str, ...]) -> Array:
    return constant(w, min(float(parts[name]) for name in names))


def _add(name: str, summary: str, formula: str, value: Callable[[Parts, Array], Array], needs: tuple[str, ...]) -> None:
    def named(parts: Parts, w: Array) -> Array:
        return value(parts, w)

    named.__name__, named.__doc__ = name, summary
    change = name.startswith("d_")
    metric(
        unit="nats/token" if change else "1",
        # What a control comes to is to be seen beside the reward; no method is better for it.
        direction="down" if name.startswith("d_true") and REVERSE not in name else "target",
        formula=f"{name} = {formula}",
        needs=needs,
        tracks=REWARD,
        source="ours",
        null="0",
        interval="clusters" if change else "none",
        within_model=change,
    )(named)


def _add_changes(direction: str, regime: str, vocabulary: str) -> None:
    kind, name = DIVERGENCES[direction]
    where = " with a penalty on leaving the start" if regime else ""
    where += ", over the task's vocabulary" if vocabulary else ""
    end, start = direction + regime + vocabulary, f"{kind}_start{vocabulary}"

    def add(what: str, said: tuple[str, str], after: str, before: str) -> None:
        _add(f"d_{what}{end}", *said, partial(_change, after=after, before=before), (after, before))

    for arm, what in ARM_MEANINGS.items():
        said = f"Change of the held-out {name} by {what}{where}.", f"{name} after arm {arm} − {name} of the start"
        add(arm, said, f"{kind}_{arm}{regime}{vocabulary}", start)
    for other in ("random", "shuffled", "zero", "sup_cont"):
        said = (
            f"How much nearer the reward brings the decoder, by {name}, than {ARM_MEANINGS[other]}{where}.",
            f"{name} after arm true − {name} after arm {other}",
        )
        after, before = (f"{kind}_{arm}{regime}{vocabulary}" for arm in ("true", other))
        add(f"true_minus_{other}", said, after, before)


def _add_working(regime: str) -> None:
    for what, summary in (
        ("moved", "Least norm of what rewards without meaning added to the weights; 0: the control is broken."),
        ("gradient", "Least norm of the policy gradient under rewards without meaning; 0: the control is broken."),
    ):
        needs = tuple(f"{what}_{arm}{regime}" for arm in _CONTROLS)
        formula = f"min over the arms {' and '.join(_CONTROLS)}"
        _add(f"control_{what}{regime}", summary, formula, partial(_least, names=needs), needs)
    needs = (f"spread_true{regime}",)
    summary = "Standard deviation of the reward over samples; 0: it is the same whatever is sampled."
    _add(f"reward_spread{regime}", summary, "SD over samples, mean over roll-outs", partial(_least, names=needs), needs)


def _add_margin() -> None:
    summary = "The task's margin: a change that is shown to be smaller counts as none."
    _add("reward_margin", summary, "stated by the task, nats/token", partial(_least, names=("margin",)), ("margin",))


def concluded(numbers: Mapping[str, Bounds], regime: str, vocabulary: str, direction: str = "") -> tuple[str, str]:
    """Return the verdict on a reward and its reason; the first that holds, in this order.

    ``BROKEN_CONTROL``, ``HARMFUL``, ``CONTROL_IMPROVES``, ``SIGNAL``, ``NO_SIGNAL`` (shown: an interval within the
    margin), ``INCONCLUSIVE``.
    """
    end = direction + regime + vocabulary
    true, drawn, apart = (numbers[f"d_{name}{end}"] for name in ("true", "random", "true_minus_random"))
    margin = numbers["reward_margin"].value
    name = DIVERGENCES[direction][1]
    said = f"the reward changes {name} by {true}, random rewards by {drawn}, the difference is {apart} nats/token"
    if numbers[f"reward_spread{regime}"].value == 0:
        return "NO_SIGNAL", f"the reward is the same whatever is sampled; {said}"
    for what, name in (("weights", "moved"), ("policy gradient", "gradient")):
        if numbers[f"control_{name}{regime}"].value == 0:
            return "BROKEN_CONTROL", f"random rewards leave the {what} at 0, so the control cannot fail"
    if true.seeds < _FEWEST_SEEDS:
        return "INCONCLUSIVE", f"{true.seeds} of at least {_FEWEST_SEEDS} seeds; {said}"
    if true.above:
        return "HARMFUL", said
    if drawn.below and abs(drawn.value) >= _SHARE * abs(true.value):
        return "CONTROL_IMPROVES", f"{said}; no reward at all: {numbers[f'd_zero{end}']}"
    if apart.below and true.below:
        return "SIGNAL", f"{said}; {_beside(true, drawn, numbers[f'd_true_minus_sup_cont{end}'])}"
    if true.within(margin) or apart.within(margin):
        return "NO_SIGNAL", f"{said}, within the margin of {margin:g}"
    return "INCONCLUSIVE", f"{said}; neither an effect nor one smaller than {margin:g} is shown"


def _beside(true: Bounds, drawn: Bounds, over: Bounds) -> str:
    """Say whether the two intervals overlap, and how the reward stands beside as much supervision."""
    overlap = true.hi is not None and drawn.lo is not None and true.hi >= drawn.lo
    loses = "as many further steps of supervision bring more" if over.above else "supervision is not shown to be better"
    gains = "the reward brings more than as many further steps of supervision" if over.below else loses
    return f"their intervals {'overlap' if overlap else 'do not overlap'}; {gains} (difference {over})"


def _add_rule(direction: str, regime: str, vocabulary: str) -> None:
    end = direction + regime + vocabulary
    changes = ("true", "random", "zero", "true_minus_random", "true_minus_sup_cont")
    needs = (
        *(f"d_{name}{end}" for name in changes),
        *(f"{name}{regime}" for name in ("reward_spread", "control_moved", "control_gradient")),
        "reward_margin",
    )
    name = "reward, kept near the start" if regime else "reward"
    name += f", by {DIVERGENCES[direction][1]}" + (" (task's vocabulary)" if vocabulary else "")
    add_rule(Rule(name, needs, partial(concluded, regime=regime, vocabulary=vocabulary, direction=direction)))


_add_margin()
for _regime in ("", ANCHORED):
    _add_working(_regime)
    for _direction, _vocabulary in itertools.product(DIVERGENCES, ("", SUBVOCAB)):
        _add_changes(_direction, _regime, _vocabulary)
        _add_rule(_direction, _regime, _vocabulary)
