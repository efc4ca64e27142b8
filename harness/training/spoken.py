"""Steering by words alone, without touching an activation: the token ids of a task's words, kept with the fit."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.api import Setting, Steerer, Train
from harness.training.directions import behaviour_of

# Forms of words, and tokens of each, at most; what is not used is -1.
_MOST = (512, 16)


class Spoken(Steerer):
    """Knows the words of the task."""

    ids: Tensor

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.register_buffer("ids", torch.full(_MOST, -1, dtype=torch.int64))

    def fit(self, train: Train) -> None:
        """Take note of the words; raises ``ValueError`` where they are too many or too long."""
        self.to(train.device)
        sequences = behaviour_of(train).sequences
        if len(sequences) > _MOST[0] or max(map(len, sequences)) > _MOST[1]:
            raise ValueError(f"at most {_MOST[0]} forms of words, of at most {_MOST[1]} tokens each")
        self.ids.fill_(-1)
        for row, sequence in enumerate(sequences):
            self.ids[row, : len(sequence)] = torch.tensor(sequence)

    @property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """Token ids of every form of every word."""
        return tuple(tuple(id_ for id_ in row if id_ >= 0) for row in self.ids.tolist() if row[0] >= 0)

    @property
    def first(self) -> tuple[int, ...]:
        """The tokens that a word may begin with, each once."""
        return tuple(sorted({sequence[0] for sequence in self.sequences}))

    def summary(self) -> dict[str, float]:
        """Return how many forms there are."""
        return {"forms": float(len(self.sequences))}
