"""What a lexical label can be made of: tokens at, before and after a position, bigrams, and classes of characters."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.features.text import Text

Array = NDArray[np.float64]

CLASSES = {
    "digit": re.compile(r"\d"),
    "operator": re.compile(r"[+\-*/=<>^%×÷−]"),
    "newline": re.compile(r"[\n\r]"),
    "capital": re.compile(r"^\W*[A-Z]"),
    "punctuation": re.compile(r"[.,;:!?'\"()\[\]{}…“”‘’—–]"),
}
FAMILIES = ("token", "before", "after", "bigram")


class Items:
    """Every item that occurs in a text, and which of them each position has.

    ``at_ML`` holds ``L`` item indices a position, ``count`` (no item) where a family gives none; one more row stands
    for no position at all. ``background`` is the share of positions that have the item, from ``counted_M``.
    """

    def __init__(self, text: Text, words: Sequence[str], counted_M: NDArray[np.bool_]) -> None:
        before_M, after_M, types = text.neighbour(-1), text.neighbour(1), text.types_V.size
        pair_M = np.where(before_M >= 0, before_M * types + text.type_M, -1)
        self._pairs, bigram_M = np.unique(pair_M, return_inverse=True)
        self._types, self._words = types, words
        starts = np.cumsum([0, types, types, types, self._pairs.size])
        self._starts, self.count = starts, int(starts[-1]) + len(CLASSES)
        none = self.count
        columns = [
            text.type_M,
            np.where(before_M >= 0, starts[1] + before_M, none),
            np.where(after_M >= 0, starts[2] + after_M, none),
            np.where(pair_M >= 0, starts[3] + bigram_M, none),
        ]
        for c, pattern in enumerate(CLASSES.values()):
            has_V = np.array([bool(pattern.search(word)) for word in words])
            columns.append(np.where(has_V[text.type_M], starts[4] + c, none))
        at_ML = np.stack(columns, axis=1).astype(np.int32)
        self.at_ML = np.vstack([at_ML, np.full((1, at_ML.shape[1]), none, dtype=np.int32)])
        counts = np.bincount(at_ML[counted_M].ravel(), minlength=none + 1)[:none]
        self.positions = int(counted_M.sum())
        self.background = counts / max(self.positions, 1)

    def describe(self, item: int) -> tuple[str, str]:
        """Return an item's kind and text: ``("token", " seven")``, ``("bigram", " =|7")``, ``("class", "digit")``."""
        family = int(np.searchsorted(self._starts, item, side="right")) - 1
        index = item - int(self._starts[family])
        if family == len(FAMILIES):
            return "class", list(CLASSES)[index]
        if FAMILIES[family] == "bigram":
            first, second = divmod(int(self._pairs[index]), self._types)
            return "bigram", f"{self._words[first]}|{self._words[second]}"
        return FAMILIES[family], self._words[index]
