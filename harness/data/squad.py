"""How SQuAD judges an answer: exact match and F1 of words, with the best of several right answers.

Source: the data set's own script (Rajpurkar et al. 2016, arXiv 1606.05250, section 6.1; ``evaluate-v2.0.py``). Letters
become small; ASCII punctuation and the words *a*, *an* and *the* go; words are what spaces part.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> list[str]:
    """Return the words of an answer that count."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def squad_scores(answer: str, right: Sequence[str]) -> tuple[float, float]:
    """Return exact match (0 or 1) and F1, each with the right answer it is best with.

    An answer without a word that counts is right only where a right answer has none either; F1 is then its exact match.

    Raises:
        ValueError: there is no right answer.
    """
    if not right:
        raise ValueError("an answer cannot be judged without a right one")
    given, known = normalised(answer), [normalised(one) for one in right]
    return max(float(given == one) for one in known), max(_f1(given, one) for one in known)


def _f1(given: list[str], right: list[str]) -> float:
    if not given or not right:
        return float(given == right)
    # 2 P R / (P + R) with P = shared / given and R = shared / right.
    return 2 * (Counter(given) & Counter(right)).total() / (len(given) + len(right))
