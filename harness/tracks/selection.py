"""Latents chosen on the validation split, so that what is measured on the test split is not flattered by the choice."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from harness.specs.reasoning import Reasoning
from harness.tracks.codes import Codes
from harness.tracks.marks import Ints, Text, Words
from harness.tracks.scoring import Firings, keyword_ratio, prompt_leads, reasoned, top_tokens
from harness.tracks.sums import Contribution


@dataclass(frozen=True)
class Split:
    """A split with its codes, its words (the vocabulary first, then the random ones) and its keyword tokens."""

    text: Text
    codes: Codes
    words: tuple[Words, ...]
    keywords: Ints


@dataclass(frozen=True)
class Selection:
    """The latents with the largest scores, best first.

    Attributes:
        score: by ReasonScore, one row per vocabulary, ``[1 + V, n]``.
        ratio: by ``rs_ratio``.
        topk: by ``rs_topk``.
        tested: the first of ``score`` under the vocabulary, to be tested by injection, ``[L]``.
        tokens: their top tokens, ``[L, top_tokens]``, -1 where there are fewer.
    """

    score: Ints
    ratio: Ints
    topk: Ints
    tested: Ints
    tokens: Ints

    @classmethod
    def nothing(cls, options: Reasoning) -> Selection:
        """Return the selection where no word is frequent enough."""
        none, rows = np.zeros(0, np.int64), np.zeros((1 + options.random_vocabularies, 0), np.int64)
        return cls(rows, none, none, none, np.zeros((0, options.injection.top_tokens), np.int64))

    @classmethod
    def of(cls, contribution: Contribution) -> Selection:
        """Return what ``contribution`` stored."""
        return cls(*(contribution[field.name] for field in fields(cls)))

    def contribution(self) -> Contribution:
        """Return the arrays to keep."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tokens_of(self, rank: int) -> list[int]:
        """Return the top tokens of the latent of a rank; none where there is no such latent or nothing fires it."""
        return [t for t in self.tokens[rank].tolist() if t >= 0] if rank < len(self.tokens) else []


def select(split: Split, options: Reasoning, share: float) -> Selection:
    """Select latents; ``share`` is the size of the split over that of the test split, and scales the firings asked."""
    text, codes, latents = split.text, split.codes, split.codes.latents
    count = min(options.top_n or max(20, round(0.003 * latents)), latents)
    firings = Firings.of(codes, text)
    least = max(options.min_density * text.ids_N.size, options.min_firings * share, 1)
    often_F = firings.tokens_F >= least
    scores = [np.where(often_F, reasoned(codes, text, w, options.alpha).score_F, np.nan) for w in split.words]
    ratio_F = keyword_ratio(codes, text, split.keywords)
    mean_F, prompts_F = prompt_leads(codes, text, split.keywords, options.top_k).mean(latents)
    topk_F = np.where(prompts_F >= max(math.ceil(options.min_prompts * share), 1), mean_F, np.nan)
    tested = _best(scores[0], options.injection.latents)
    tokens, _ = top_tokens(codes, text, tested, options.injection.top_tokens, options.injection.min_occurrences)
    # Exactly so many under each vocabulary, even where few latents fire often: they form one array.
    score = np.stack([_best(score_F, count, fill=True) for score_F in scores])
    ratio = _best(np.where(often_F, ratio_F, np.nan), count)
    return Selection(score, ratio, _best(topk_F, count), tested, tokens)


def _best(score_F: np.ndarray[tuple[int, ...], np.dtype[np.float64]], count: int, fill: bool = False) -> Ints:
    """Return the latents of largest score, best first; NaN is left out, or last where ``fill`` wants so many."""
    order = np.argsort(-np.nan_to_num(score_F, nan=-np.inf), kind="stable")
    return order[:count] if fill else order[: min(count, int(np.isfinite(score_F).sum()))]
