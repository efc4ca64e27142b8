"""Texts in steps: which tokens of a sequence make up one step of a reasoning trace."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

OPEN, CLOSE = "<think>", "</think>"
SHORTEST = 3

Span = tuple[int, int]


def step_spans(tokens: Sequence[str], ending: str) -> list[Span]:
    """Return the steps of a text as spans ``[start, end)`` of its tokens, which tile what is thought.

    A step ends with a token that holds ``ending``. One of fewer than 3 tokens goes to the step before it, the first
    to the one behind it.

    Args:
        tokens: the text of each token; joined, they are the whole text.
        ending: what ends a step, such as a line break.
    """
    start, end = thought(tokens)
    cuts = [i + 1 for i in range(start, end) if ending in tokens[i]]
    edges = sorted({start, *cuts, end})
    spans: list[Span] = []
    for first, last in pairwise(edges):
        if spans and last - first < SHORTEST:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    if len(spans) > 1 and spans[0][1] - spans[0][0] < SHORTEST:
        spans[:2] = [(spans[0][0], spans[1][1])]
    return spans


def thought(tokens: Sequence[str]) -> Span:
    """Return the tokens between ``<think>`` and ``</think>``: all of them where the first is absent, and up to the end
    where the second is."""
    text, ends, length = "".join(tokens), [], 0
    for token in tokens:
        length += len(token)
        ends.append(length)
    opened = text.find(OPEN)
    if opened < 0:
        return 0, len(tokens)
    closed = text.find(CLOSE, opened)
    inside = opened + len(OPEN)
    # a token that reaches over an edge holds part of the mark
    start = next((i for i, end in enumerate(ends) if end - len(tokens[i]) >= inside), len(tokens))
    stop = len(tokens) if closed < 0 else sum(end <= closed for end in ends)
    return start, max(start, stop)
