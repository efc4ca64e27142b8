"""What ``planted-reflection`` does under a push along ``r``, in closed form. numpy only; no weight is looked at.

A push changes activations where it is made, and the first block reads none that it changes: what follows a token
depends on its state, on ``r`` there (``ρ + δ``: of the text, and pushed), and behind ``so`` on the creature. With the
logits ``l`` of ``log_odds`` and the final norm, which divides by the length of a stream that the push made longer,

    logit(word) = s (l(word) + sway (ρ + δ) [word of reflection] + spoken f(word) / recalled),  s = N / |x|

where ``f`` is what the creature's numbers have behind ``so`` and 0 elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.data.riddles import CREATURES, NUMBERS, REFLECTIONS
from harness.lm.reflective_design import DESIGN, WORDS, Design, State, log_odds, state_of

_CREATURES = {creature.name: creature for creature in CREATURES}


@dataclass(frozen=True)
class Position:
    """What is known of a text up to a token: its state, ``ρ``, and the creature's first and right number."""

    state: State
    reflection: float
    numbers: tuple[int, int] | None = None


def positions(words: Sequence[str], design: Design = DESIGN) -> list[Position]:
    """Return what is known at every word of a text."""
    found: list[Position] = []
    numbers: tuple[int, int] | None = None
    for place, word in enumerate(words):
        if word in _CREATURES:
            numbers = (_CREATURES[word].first, _CREATURES[word].right)
        weights = [math.exp(-design.fades * back) for back in range(place + 1)]
        words_of = [weight for weight, one in zip(weights, words[place::-1], strict=True) if one in REFLECTIONS]
        rho, state = design.most * sum(words_of) / sum(weights), state_of(word)
        found.append(Position(state, rho, numbers if state == "answering" else None))
    return found


def log_reflects(position: Position, dose: float, *, late: bool = False, design: Design = DESIGN) -> float:
    """Return the log-probability that a word of reflection comes next, nats.

    Args:
        position: what is known of the text so far.
        dose: length of the push along ``r``, in the units of the residual stream.
        late: whether it is made behind the second block, and not before it.
        design: what the model is made of.
    """
    logits = _logits(position, dose, late, design)
    top = max(logits.values())
    every = {word: math.exp(value - top) for word, value in logits.items()}
    return math.log(sum(every[word] for word in REFLECTIONS)) - math.log(sum(every.values()))


def answer(position: Position, dose: float, *, late: bool = False, design: Design = DESIGN) -> int:
    """Return the likeliest number behind ``so``; as ``log_reflects``."""
    logits = _logits(position, dose, late, design)
    return max(range(len(NUMBERS)), key=lambda number: logits[NUMBERS[number]])


def _logits(position: Position, dose: float, late: bool, design: Design) -> dict[str, float]:
    pushed = position.reflection + dose
    said = _spoken(position, position.reflection if late else pushed, design)
    # The right number's component stays beside the one that is said.
    own = design.norm**2 + pushed**2 + sum(value**2 for value in said.values())
    own += design.recalled**2 if position.numbers else 0.0
    shrunk = design.norm / math.sqrt(own)
    odds = log_odds(design, position.state)
    logits = {word: odds.get(word, 0.0) for word in WORDS}
    for word in REFLECTIONS:
        logits[word] += design.sway * pushed
    for number, value in said.items():
        logits[NUMBERS[number]] += design.spoken * value / design.recalled
    return {word: shrunk * value for word, value in logits.items()}


def _spoken(position: Position, reflection: float, design: Design) -> dict[int, float]:
    """Return the component of every number that has one behind ``so``, as the second block leaves them."""
    if position.numbers is None:
        return {}
    first, right = position.numbers
    own = design.norm**2 + reflection**2 + 2 * design.recalled**2
    shrunk = design.norm / math.sqrt(own)
    found = {first: design.recalled}
    for number in range(len(NUMBERS)):
        over = reflection - design.threshold - (0.0 if number == right else design.recalled)
        step = min(max(design.sharp * over, 0.0), 1.0)
        if step > 0:
            found[number] = found.get(number, 0.0) + design.corrected * shrunk**2 * step
    return found
