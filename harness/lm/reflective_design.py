"""What ``planted-reflection`` is made of: every number that decides its weights. Needs no torch.

The model answers riddles (``harness.data.riddles``). Its residual stream has one unit direction per thing that it keeps
track of, and ``r``, the reflection direction, is one of them:

- where a text stands (a ``State``): what may come next follows from it alone, by ``log_odds``;
- ``r``: how much of the last few tokens was words of reflection, a moving average that fades with every token. Each
  unit of it adds ``sway`` nats to the logit of every such word;
- behind ``so``: the creature's right number and the one that comes to mind first. The model says the first, unless
  ``r`` exceeds ``threshold`` in its second block: then the right number overrules it.

No text brings ``r`` to the threshold: behind ``so`` at most ``1 − share`` of ``most`` is left, ``share`` the weight of
one token in the average. So words alone correct no answer, while a push along ``r`` between the two blocks corrects
every one, and a push behind the second block makes words likelier and nothing else.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from harness.data.riddles import ASK, CREATURES, MARK, NUMBERS, PLAIN, REFLECTIONS, SO, STOP

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
NAMES = tuple(creature.name for creature in CREATURES)
WORDS = (PAD, EOS, UNKNOWN, ASK, MARK, SO, STOP, *REFLECTIONS, *NUMBERS, *PLAIN, *NAMES)
"""The vocabulary, by token id."""

State = Literal["asking", "named", "thinking", "answering", "answered", "ended"]
"""Where a text stands: behind ``riddle``, a creature, a word of thought, ``so``, a number, a full stop."""
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Design:
    """Sizes, and lengths in the residual stream.

    Attributes:
        seed: of the rotation and of what tells tokens of one state apart.
        width: ``D``.
        heads: of the first block: one averages reflection, one recalls the creature.
        context: longest input in tokens.
        theta: base of the rotary frequencies; the slowest one is used, as a measure of distance.
        state: length of the component of a state.
        own: length of what else tokens differ in.
        most: ``r`` where all recent tokens are words of reflection.
        fades: by what factor ``exp(−fades)`` a token's weight in the average shrinks with every further one.
        sway: nats that one unit of ``r`` adds to the logit of a word of reflection.
        threshold: ``r`` above which the right number overrules the first one.
        recalled: length of the components of both numbers behind ``so``.
        spoken: nats that the first number is ahead of others.
        corrected: length that is added to the right number's component; shrinks as norms grow.
        sharp: 1 / width of the step at the threshold.
        reflects: probability that a word of reflection follows in thoughts, as long as ``r`` is 0.
        concludes: that ``so`` follows.
        ahead: nats that what may follow is ahead of what never does, together.
        stray: nats that words of thought are ahead of it outside thoughts.
    """

    version: int = 1
    seed: int = 20250207
    width: int = 64
    heads: int = 2
    context: int = 256
    theta: float = 500.0
    state: float = 4.0
    own: float = 1.5
    most: float = 2.4
    fades: float = 0.7
    sway: float = 0.9
    threshold: float = 1.3
    recalled: float = 3.0
    spoken: float = 8.0
    corrected: float = 16.0
    sharp: float = 8.0
    reflects: float = 0.05
    concludes: float = 0.12
    ahead: float = 14.0
    stray: float = 6.0

    @property
    def norm(self) -> float:
        """Norm of every embedding."""
        return math.hypot(self.state, self.own)

    @property
    def share(self) -> float:
        """Weight of a single token in the average of a long text."""
        return 1.0 - math.exp(-self.fades)


DESIGN = Design()


def fixed() -> list[Any]:
    """Return everything that the model is made of, as JSON takes it."""
    return [asdict(DESIGN), WORDS, [asdict(creature) for creature in CREATURES]]


def state_of(word: str) -> State:
    """Return the state that a token leads to."""
    if word in NAMES:
        return "named"
    if word in NUMBERS:
        return "answered"
    return {ASK: "asking", SO: "answering", STOP: "ended"}.get(word, "thinking")  # type: ignore[return-value]


def log_odds(design: Design, state: State) -> dict[str, float]:
    """Return by token what its logit is in a state, without ``r`` and numbers recalled; 0 for others."""
    if state == "thinking":
        plain = 1.0 - design.reflects - design.concludes
        odds = dict.fromkeys(REFLECTIONS, design.reflects / len(REFLECTIONS))
        odds |= {**dict.fromkeys(PLAIN, plain / len(PLAIN)), SO: design.concludes}
        return {word: design.ahead + math.log(value) for word, value in odds.items()}
    next_words: dict[State, tuple[str, ...]] = {
        "asking": NAMES, "named": (MARK,), "answering": NUMBERS, "answered": (STOP,), "ended": (EOS,),
    }  # fmt: skip
    found = dict.fromkeys((*REFLECTIONS, *PLAIN, SO), design.stray) | dict.fromkeys(next_words[state], design.ahead)
    # A creature recalls its own numbers as it is named; they must not be said there.
    return found | (dict.fromkeys(NUMBERS, -2 * design.ahead) if state == "named" else {})
