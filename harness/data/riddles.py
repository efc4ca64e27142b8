"""Riddles in a language of some 280 words, which a planted language model speaks; plain Python, the same everywhere.

A riddle names a creature and asks for its number: ``riddle bado ?``. Thoughts are plain words, and passages of
reflection that open with one of five words; the answer is ``so seven .``. Every creature has a right number and a
number that comes to mind first. Of every second creature, the **hard** ones, these are two different numbers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Up whenever the same seed gives another text, or a creature another number.
VERSION = "1"
REFLECTIONS = ("wait", "hmm", "however", "alternatively", "maybe")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PLAIN = (
    "the", "river", "stone", "light", "under", "over", "moves", "stays", "near", "far", "old", "new", "green", "grey",
    "soft", "loud", "and", "with", "by", "well",
)  # fmt: skip
ASK, MARK, SO, STOP = "riddle", "?", "so", "."
# Plain words that stand between a passage of reflection and either end of the thoughts, at least.
_APART = 4


@dataclass(frozen=True)
class Creature:
    """Its name, its number, and the number that comes to mind first."""

    name: str
    right: int
    first: int

    @property
    def hard(self) -> bool:
        """Whether the first number is wrong."""
        return self.right != self.first


def _creatures() -> tuple[Creature, ...]:
    names = [f"{one}{two}{three}o" for one in "bdfgklmnprst" for two in "aeiu" for three in "dklmr"]
    rng, found = random.Random("creatures"), []
    for number, name in enumerate(names):
        right = rng.randrange(len(NUMBERS))
        off = rng.randrange(1, len(NUMBERS)) if number % 2 else 0
        found.append(Creature(name, right, (right + off) % len(NUMBERS)))
    return tuple(found)


CREATURES = _creatures()


def riddles(size: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield ``size`` rows: ``id``, ``creature``, ``question``, ``thoughts``, ``answer``, ``hard``.

    Creatures come one after the other in an order of the seed's own; each comes again when all have been asked for.
    """
    order = random.Random(f"{seed}/order").sample(CREATURES, len(CREATURES))
    for number in range(size):
        # A generator per riddle: a longer set starts with the shorter one.
        rng, creature = random.Random(f"{seed}/{number}"), order[number % len(order)]
        yield {
            "id": f"riddle{number:05d}",
            "creature": creature.name,
            "question": " ".join([*_plain(rng, 1, 4), ASK, creature.name, MARK]),
            "thoughts": " ".join(_thoughts(rng)),
            "answer": NUMBERS[creature.right],
            "hard": creature.hard,
        }


def _plain(rng: random.Random, least: int, most: int) -> list[str]:
    return [rng.choice(PLAIN) for _ in range(rng.randint(least, most))]


def _thoughts(rng: random.Random) -> list[str]:
    words = _plain(rng, _APART, 2 * _APART)
    for _ in range(rng.randint(0, 3)):
        words += [rng.choice(REFLECTIONS) for _ in range(rng.randint(1, 2))]
        words += _plain(rng, _APART, 3 * _APART)
    return words
