"""The explanation in words of a method that has none of its own: the latents of largest effect."""

from __future__ import annotations

from torch import Tensor

from harness.api import Named, Sentence

NAMED = 5


def of_effects(effect_F: Tensor, active_m: Tensor) -> Sentence:
    """Return a sentence that names at most ``NAMED`` active latents, those of largest absolute effect."""
    order_m = active_m[effect_F[active_m].abs().argsort(descending=True, stable=True)]
    chosen = [index for index in order_m[:NAMED].tolist() if float(effect_F[index]) != 0]
    towards = [Named(index, True) for index in chosen if float(effect_F[index]) > 0]
    against = [Named(index, False) for index in chosen if float(effect_F[index]) < 0]
    if not chosen:
        return ("No active latent has an effect on this prediction.",)
    sentence: list[str | Named] = []
    if towards:
        sentence += ["It predicts this mainly because of ", *_listed(towards)]
    if against:
        sentence += ["; against it speak " if towards else "Against it speak ", *_listed(against)]
    return (*sentence, ".")


def _listed(named: list[Named]) -> list[str | Named]:
    found: list[str | Named] = []
    for place, one in enumerate(named):
        if place:
            found.append(" and " if place == len(named) - 1 else ", ")
        found.append(one)
    return found
