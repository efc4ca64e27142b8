"""Whether an arm is said to steer: the rule that reads several numbers of it at once, and the margins it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.metrics.contract import Array, Parts, constant, metric
from harness.metrics.steering import LEXICAL_SHARE, STEERING
from harness.metrics.verdicts import Bounds, Rule, add_rule

_OUTCOMES = {"acc": "accuracy", "reflect": "words per 100 tokens"}


def _margin(parts: Parts, w: Array, what: str) -> Array:
    return constant(w, float(parts[f"margin_{what}"]))


def _add_margin(what: str, unit: str, said: str) -> None:
    def named(parts: Parts, w: Array) -> Array:
        return _margin(parts, w, what)

    named.__name__, named.__doc__ = f"steer_{what}_margin", f"The task's margin: a change of {said} below it is none."
    metric(
        unit=unit,
        direction="target",
        formula=f"steer_{what}_margin = stated by the task",
        needs=(f"margin_{what}",),
        tracks=STEERING,
        source="ours",
        null="0",
        interval="none",
    )(named)


def concluded(numbers: Mapping[str, Bounds]) -> tuple[str, str]:
    """Return the verdict on an arm and its reason.

    An effect is shown where its interval excludes 0 and does not lie within the task's margin. ``LEXICAL``: of every
    effect that is shown a bias on the words with the same divergence on neutral text is shown to bring about 80 % or
    more. ``STEERS``: a rise is shown to exceed that, and the dose–response to exceed that of every random direction;
    a fall is none, for whatever does damage makes accuracy fall. ``NO_EFFECT``: all intervals lie within the margins.
    Else ``INCONCLUSIVE``.
    """
    said = "; ".join(f"{name} changes by {numbers[f'd_{what}']}" for what, name in _OUTCOMES.items())
    large = [what for what in _OUTCOMES if not numbers[f"d_{what}"].within(numbers[f"steer_{what}_margin"].value)]
    shown = [what for what in large if numbers[f"d_{what}"].above or numbers[f"d_{what}"].below]
    if not large:
        return "NO_EFFECT", f"{said}; within the margins"
    if not shown:
        return "INCONCLUSIVE", f"{said}; no effect is shown"
    if all(_reproduced(numbers, what) for what in shown):
        return "LEXICAL", f"{said}; a bias on the words brings about {LEXICAL_SHARE:.0%} of it or more"
    return _beyond_words(numbers, shown, said)


def _beyond_words(numbers: Mapping[str, Bounds], shown: Sequence[str], said: str) -> tuple[str, str]:
    """Return the verdict where some effect that is shown is not shown to be that of a bias."""
    random = numbers["over_random"]
    apart = f"{said}; {random} times the largest of random directions"
    beyond = " and ".join(_OUTCOMES[what] for what in shown if _exceeds(numbers, what))
    if not beyond:
        return "INCONCLUSIVE", f"{apart}; no rise is shown to exceed a bias on the words, nor all effects to be one"
    if random.lo is not None and random.lo > 1:
        return "STEERS", f"{apart}; {beyond} beyond a bias"
    return "INCONCLUSIVE", f"{apart}; not shown to exceed random directions"


def _reproduced(numbers: Mapping[str, Bounds], what: str) -> bool:
    """Say whether an effect is shown, and a bias shown to bring about most of it."""
    effect, over = numbers[f"d_{what}"], numbers[f"d_{what}_over_bias"]
    return (effect.above and over.below) or (effect.below and over.above)


def _exceeds(numbers: Mapping[str, Bounds], what: str) -> bool:
    """Say whether a rise is shown, and most of it shown to be more than a bias brings about."""
    return numbers[f"d_{what}"].above and numbers[f"d_{what}_over_bias"].above


def _add_rule() -> None:
    effects = tuple(f"d_{what}{end}" for what in _OUTCOMES for end in ("", "_over_bias"))
    margins = tuple(f"steer_{what}_margin" for what in _OUTCOMES)
    # A random direction that is said to steer would say something of the harness.
    add_rule(Rule("steering", (*effects, "over_random", *margins), concluded, controls=True))


_add_margin("acc", "1", "accuracy")
_add_margin("reflect", "1/100 tokens", "the words' rate")
_add_rule()
