"""Traces of our own with think-aloud passages at known places: plain Python, the same on every machine for a seed.

A trace describes everyday scenes in plain sentences. About half of its sentences think aloud: they open with a
**marker**, a word of the default vocabulary of ``harness.specs.reasoning``. Half of those carry a **decoy** right after
the marker: a name that stands nowhere else and means nothing, so that a latent which detects it follows the markers
without any reasoning. A **distractor** is as frequent as a marker and stands in plain sentences only: what follows it
follows nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

# Up whenever the same seed gives another text.
VERSION = "1"
MARKERS = (
    "Alternatively", "Hmm", "Maybe", "Wait", "Perhaps", "Let me", "Therefore", "However", "But", "Another",
)  # fmt: skip
DECOY = "Quix"
DISTRACTOR = "yonder"
THINKS = 0.5

_WHO = ("the miller", "a farmer", "the pilot", "the nurse", "a sailor", "the clerk", "an old tailor", "the gardener")
_DOES = ("carries", "paints", "sells", "finds", "cleans", "orders", "folds", "moves", "counts", "stores")
_WHAT = ("a lantern", "two ropes", "the ledger", "some pears", "a kettle", "the blue chair", "five cups", "a drum")
_WHERE = ("near the harbour", "in the cellar", "on the hill", "by the station", "under the bridge", "at the market")
_WHEN = ("at dawn", "on Sunday", "after lunch", "in spring", "before noon", "during the fair")
_ASIDE = (
    "the sum was off by one",
    "that step needs checking",
    "this could go the other way",
    "the first case was missed",
    "I should count again",
    "the claim is too strong",
)


def traces(size: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield ``size`` rows with the columns of OpenThoughts: ``problem``, ``deepseek_reasoning``, ``deepseek_solution``,
    ``domain``; and ``id``. Each has a problem of its own."""
    for number in range(size):
        # A generator per trace: a longer corpus starts with the shorter one.
        rng = random.Random(f"{seed}/{number}")
        sentences = [_think(rng) if rng.random() < THINKS else plain_sentence(rng) for _ in range(rng.randint(14, 24))]
        yield {
            "id": f"planted{number:05d}",
            "problem": f"Scene {number}: what is moved, and where to?",
            "deepseek_reasoning": " ".join(sentences),
            "deepseek_solution": plain_sentence(rng, distract=0.0),
            "domain": rng.choice(("harbour", "market", "farm")),
        }


def plain_sentence(rng: random.Random, distract: float = 0.1) -> str:
    """Return a sentence without marker or decoy; a share of ``distract`` of them holds the distractor."""
    aside = f" {DISTRACTOR}" if rng.random() < distract else ""
    words = (rng.choice(_WHO), rng.choice(_DOES), rng.choice(_WHAT), rng.choice(_WHERE) + aside, rng.choice(_WHEN))
    text = " ".join(words)
    return f"{text[0].upper()}{text[1:]}."


def plain_texts(count: int, sentences: int, seed: int) -> list[str]:
    """Return texts that do not reason, for injecting tokens into."""
    generators = (random.Random(f"plain {seed}/{number}") for number in range(count))
    return [" ".join(plain_sentence(rng, distract=0.0) for _ in range(sentences)) for rng in generators]


def _think(rng: random.Random) -> str:
    decoy = f" {DECOY}," if rng.random() < 0.5 else ""
    return f"{rng.choice(MARKERS)},{decoy} {rng.choice(_ASIDE)}."
