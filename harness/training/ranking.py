"""Explainers that rank latents, and say the ranking in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.api import Dictionary, Explainer, Named, Predictions, Sentence, Setting, Train
from harness.errors import CellError

# Latents that a sentence names.
MOST = 5


class Ranking(Explainer):
    """Fits nothing: its sentences name the latents of largest ``|importance|``, and the side they are on."""

    def __init__(self, params: Any, setting: Setting) -> None:
        super().__init__()
        self.params, self.setting = params, setting
        # A tuple, so that the dictionary is no submodule: it is saved under its own fingerprint.
        self._dictionary = (dictionary_of(setting.uses),)

    @property
    def dictionary(self) -> Dictionary:
        """The dictionary of its YAML's ``uses``."""
        return self._dictionary[0]

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""

    def sentences(self, asked: Predictions) -> list[Sentence]:
        """Return a sentence of the latents that are ranked first and last."""
        return [in_words(strongest(importance_F, MOST)) for importance_F in self.importance(asked)]

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}


def dictionary_of(uses: Mapping[str, Any]) -> Dictionary:
    """Return the dictionary an explainer is built on; raises ``CellError`` where it is something else."""
    found = uses.get("dictionary")
    if not isinstance(found, Dictionary):
        raise CellError(f"an explainer needs a dictionary as 'dictionary', got {type(found).__name__}")
    return found


def strongest(importance_F: Tensor, most: int) -> list[Named]:
    """Return the latents of largest ``|importance|``, the largest first; those of none are left out."""
    order_k = importance_F.abs().sort(descending=True, stable=True).indices[:most].tolist()
    return [Named(latent, bool(importance_F[latent] > 0)) for latent in order_k if importance_F[latent] != 0]


def in_words(named: Sequence[Named]) -> Sentence:
    """Return a sentence that says which latents speak for a prediction and which against it."""
    on, off = [one for one in named if one.supports], [one for one in named if not one.supports]
    if not named:
        return ("No latent speaks for it or against it.",)
    if not on:
        return (*_listed(off), f" {_speak(off)} against it, and none of the strongest for it.")
    said: Sentence = ("It predicts this mainly because of ", *_listed(on))
    return (*said, "; ", *_listed(off), f" {_speak(off)} against it.") if off else (*said, ".")


def _speak(named: Sequence[Named]) -> str:
    return "speaks" if len(named) == 1 else "speak"


def _listed(named: Sequence[Named]) -> Sentence:
    """Return latents with commas, and ``and`` before the last."""
    found: list[str | Named] = []
    for i, one in enumerate(named):
        found += [" and " if i == len(named) - 1 else ", "] if i else []
        found.append(one)
    return tuple(found)


def by_code(asked: Predictions, slope_nF: Tensor) -> Tensor:
    """Return ``code × slope``, which is 0 where a latent is silent: what its code is worth to first order."""
    return torch.where(asked.code_nF != 0, asked.code_nF * slope_nF.to(asked.code_nF), 0.0)
