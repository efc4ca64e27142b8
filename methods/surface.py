"""What the text shows without any model: length, numbers, words, and who wrote the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer

from harness.api import Answers, Features, Setting
from harness.training.probe import LogisticProbe

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Surface(LogisticProbe):
    """Logistic regression on lengths, operand sizes, words of problem and answer, and the author."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``surface``; their defaults stand in its YAML."""

        words: int
        """hashed word features of the problem, and as many of the answer"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.params = params

    def features(self, answers: Answers) -> Features:
        """Return the features; nothing is fitted, so words are hashed."""
        authors = sorted({author for author in answers.author if author is not None})
        pieces = [
            _numbers(answers.prompt),
            _numbers(answers.answer),
            self._words(answers.prompt),
            self._words(answers.answer),
            np.array([[author == one for one in authors] for author in answers.author], dtype=np.float64),
        ]
        value_nF = np.concatenate([piece for piece in pieces if piece.shape[1]], 1)
        return Features(value_nF, np.full(value_nF.shape[1], -1, dtype=np.int64))

    def _words(self, texts: Sequence[str]) -> NDArray[np.float64]:
        hashed = HashingVectorizer(n_features=self.params.words, alternate_sign=False, norm=None).transform(texts)
        return np.asarray(np.log1p(hashed.toarray()), dtype=np.float64)


def _numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return of each text log length, how many numbers it holds, and the logarithms of the largest and the sum."""
    rows = []
    for text in texts:
        found = [float(word) for word in _NUMBER.findall(text)]
        sizes = (max(found, default=0.0), sum(found))
        rows.append([np.log1p(len(text)), float(len(found)), *(np.log1p(min(size, 1e300)) for size in sizes)])
    return np.array(rows, dtype=np.float64)
