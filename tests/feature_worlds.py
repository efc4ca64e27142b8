"""Texts and codes whose latents are planted, for the tests of feature pages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.data.splits import Document
from harness.data.tokens import TokenBatch
from harness.features.gather import Gatherer
from harness.features.sizes import Sizes
from harness.features.stream import Chunk
from harness.features.text import Text, read_text

WORDS = [*(str(d) for d in range(10)), *(f" {a}{b}" for a in "abcdefghij" for b in "abcdefghijklmnopqrs")]


def batch(rows: list[list[int]], docs: list[int]) -> TokenBatch:
    """Return sequences of one document each, padded on the right."""
    width = max(map(len, rows))
    ids, doc = torch.zeros(len(rows), width, dtype=torch.int64), torch.full((len(rows), width), -1)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        doc[i, : len(row)] = docs[i]
    mask = doc >= 0
    keep = mask.clone()
    keep[:, 0] = False
    return TokenBatch(ids, mask, keep, keep, doc, doc, torch.zeros(len(rows), dtype=torch.int64), f"batch {docs}")


def documents(count: int, groups: int) -> list[Document]:
    return [Document(f"d{i}", f"g{i % groups}", None, "") for i in range(count)]


@dataclass
class World:
    """A text with planted codes ``[M, F]``."""

    text: Text
    z_MF: Tensor
    words: list[str]
    sizes: Sizes

    def gatherer(self, pieces: int = 3, thorough: bool = False) -> Gatherer:
        """Return what is gathered when the text streams by, so many pieces at a time."""
        made = Gatherer(self.text, self.sizes, self.z_MF.shape[1], thorough)
        for first in range(0, self.text.doc_P.size, pieces):
            run = range(first, min(first + pieces, self.text.doc_P.size))
            rows = slice(int(self.text.first_P[run.start]), int(self.text.first_P[run.stop]))
            made.add(Chunk(run, self.z_MF[rows], np.ones(rows.stop - rows.start, dtype=bool)))
        return made


def random_text(count: int = 80, length: int = 256, groups: int = 40, seed: int = 0) -> Text:
    """Return documents of random words, a token in fifty a digit."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        digit = rng.random(length) < 0.02
        row = np.where(digit, rng.integers(0, 10, length), rng.integers(10, len(WORDS), length))
        rows.append(row.tolist())
    batches = [batch(rows[i : i + 8], list(range(i, min(i + 8, count)))) for i in range(0, count, 8)]
    return read_text(batches, documents(count, groups), 32, 16)


def digits_and_noise(noise: int = 40, seed: int = 0) -> World:
    """Return a latent that fires on digits, and latents that fire on tokens drawn at random."""
    text = random_text(seed=seed)
    words = [WORDS[int(i)] for i in text.types_V]
    generator = torch.Generator().manual_seed(seed)
    size = text.type_M.size
    is_digit_M = torch.tensor([words[t].isdigit() for t in text.type_M])
    strength = 1 + torch.rand(size, noise + 1, generator=generator)
    fires = torch.rand(size, noise + 1, generator=generator) < 0.02
    fires[:, 0] = is_digit_M
    return World(text, strength * fires, words, Sizes())
