"""Scores of every latent on one split: ReasonScore, rs_ratio, rs_topk, how often it fires, and its top tokens.

Plain numpy over sparse codes; ``F`` latents, ``R`` words, ``S`` stretches (a prompt is a stretch).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.metrics.reasoning import reason_scores, share
from harness.tracks.codes import Codes, Floats
from harness.tracks.marks import Ints, Text, Words, mask

_PROMPTS = 128
_COLUMNS = 512


@dataclass(frozen=True)
class Firings:
    """On how many tokens and in how many stretches a latent fires, and how many not shared a token has."""

    tokens_F: Ints
    prompts_F: Ints
    l0_N: Ints

    @classmethod
    def of(cls, codes: Codes, text: Text) -> Firings:
        """Count."""
        tokens_F, prompts_F = np.zeros(codes.latents, np.int64), np.zeros(codes.latents, np.int64)
        l0_N = np.zeros(text.ids_N.size, np.int64)
        for start, chunk in codes.chunks():
            tokens_F += np.bincount(chunk.indices, minlength=codes.latents)
            token_E = np.repeat(np.arange(start, start + chunk.shape[0]), np.diff(chunk.indptr))
            l0_N += np.bincount(token_E[chunk.indices >= codes.shared], minlength=l0_N.size)
            pairs = np.unique(text.stretch_N[token_E] * codes.latents + chunk.indices)
            # Chunks hold whole pieces, and no stretch spans two pieces.
            prompts_F += np.bincount(pairs % codes.latents, minlength=codes.latents)
        return cls(tokens_F, prompts_F, l0_N)


@dataclass(frozen=True)
class Reasoned:
    """ReasonScore of every latent with what it is made of: sums inside and outside windows, means a word ``[R, F]``."""

    score_F: Floats
    inside_F: Floats
    outside_F: Floats
    word_mean_RF: Floats


def reasoned(codes: Codes, text: Text, words: Words, alpha: float, first: int | None = None) -> Reasoned:
    """Score every latent; ``first`` keeps only so many tokens of each stretch."""
    place_N = text.place_N
    kept_N = np.ones(place_N.size, dtype=bool) if first is None else place_N < first
    rows = [p[kept_N[p]] for p in (*words.position_R, words.union(), np.arange(place_N.size))]
    sums = codes.weighted(mask(rows, place_N.size))
    word_mean_RF = share(sums[:-2], np.array([[p.size] for p in rows[:-2]], dtype=np.float64))
    inside_F, outside_F = sums[-2], np.maximum(sums[-1] - sums[-2], 0.0)
    return Reasoned(reason_scores(inside_F, outside_F, word_mean_RF, alpha), inside_F, outside_F, word_mean_RF)


def keyword_ratio(codes: Codes, text: Text, keywords: Ints) -> Floats:
    """Return ``mu(i, keyword tokens) / max(mu(i, all), 1e-6)``, NaN where there is no keyword."""
    if keywords.size == 0:
        return np.full(codes.latents, np.nan)
    tokens = text.ids_N.size
    inside_F, all_F = codes.weighted(mask([keywords, np.arange(tokens)], tokens))
    return np.asarray((inside_F / keywords.size) / np.maximum(all_F / tokens, 1e-6))


@dataclass(frozen=True)
class Leads:
    """The top latents of each prompt with a keyword: parallel arrays of prompt, place (from 0), latent and ratio."""

    prompt_E: Ints
    place_E: Ints
    latent_E: Ints
    ratio_E: Floats

    def among(self, k: int) -> Leads:
        """Return those among the first ``k`` of their prompt."""
        kept = self.place_E < k
        return Leads(self.prompt_E[kept], self.place_E[kept], self.latent_E[kept], self.ratio_E[kept])

    def mean(self, latents: int) -> tuple[Floats, Ints]:
        """Return the mean ratio of each latent, NaN where it leads no prompt, and the prompts it leads."""
        count_F = np.bincount(self.latent_E, minlength=latents)
        total_F = np.bincount(self.latent_E, self.ratio_E, minlength=latents)
        return np.where(count_F > 0, total_F / np.maximum(count_F, 1), np.nan), count_F


def prompt_leads(codes: Codes, text: Text, keywords: Ints, k: int) -> Leads:
    """Return for each prompt with a keyword its ``k`` latents of largest mean, with keyword mean over that mean."""
    stretch_P = text.stretch_N[keywords]
    prompts = np.unique(stretch_P)
    pieces = []
    for first in range(0, prompts.size, _PROMPTS):
        block = prompts[first : first + _PROMPTS]
        inside = [keywords[stretch_P == s] for s in block]
        whole = [np.arange(text.start_S[s], text.start_S[s] + text.length_S[s]) for s in block]
        sums = codes.weighted(mask([*inside, *whole], text.ids_N.size))
        size = np.array([[p.size] for p in (*inside, *whole)], dtype=np.float64)
        keyword_SF, mean_SF = np.split(sums / size, 2)
        order_SK = np.argsort(-mean_SF, axis=1, kind="stable")[:, :k]
        top_SK = np.take_along_axis(mean_SF, order_SK, axis=1)
        ratio_SK = share(np.take_along_axis(keyword_SF, order_SK, axis=1), top_SK)
        row, place = np.nonzero(top_SK > 0)
        pieces.append((block[row], place, order_SK[row, place], ratio_SK[row, place]))
    empty = (np.zeros(0, np.int64),) * 3 + (np.zeros(0),)
    joined = [np.concatenate(columns) for columns in zip(empty, *pieces, strict=True)]
    return Leads(joined[0], joined[1], joined[2], joined[3])


def top_tokens(
    codes: Codes, text: Text, latents: Ints, count: int, min_occurrences: int
) -> tuple[Ints, NDArray[np.float32]]:
    """Return the tokens on which each latent's mean folded code is largest, ``[n, count]``, and those means.

    Only tokens with ``min_occurrences``, and only means above 0: -1 and 0 fill what is left.
    """
    ids, inverse_N, counts = np.unique(text.ids_N, return_inverse=True, return_counts=True)
    frequent = np.flatnonzero(counts >= min_occurrences)
    place = np.full(ids.size, -1)
    place[frequent] = np.arange(frequent.size)
    token_N = np.flatnonzero(place[inverse_N] >= 0)
    row_N = place[inverse_N[token_N]]
    weight = 1.0 / counts[frequent][row_N]
    rows = sparse.csr_array((weight, (row_N, token_N)), shape=(frequent.size, text.ids_N.size))
    found_ids, found_means = np.full((latents.size, count), -1), np.zeros((latents.size, count), np.float32)
    for first in range(0, latents.size, _COLUMNS):
        columns = latents[first : first + _COLUMNS]
        mean_VF = codes.weighted(rows, columns)
        order_CF = np.argsort(-mean_VF, axis=0, kind="stable")[:count]
        top_CF = np.take_along_axis(mean_VF, order_CF, axis=0)
        part = slice(first, first + columns.size)
        found_ids[part, : len(order_CF)] = np.where(top_CF > 0, ids[frequent][order_CF], -1).T
        found_means[part, : len(order_CF)] = top_CF.T
    return found_ids, found_means


def per_cluster(
    codes: Codes, text: Text, position_R: tuple[Ints, ...], columns: Ints, clusters: int
) -> tuple[Floats, Floats]:
    """Return sums of some latents ``[C, R, n]`` and numbers of tokens ``[C, R]`` over each row's positions."""
    count = len(position_R)
    position = np.concatenate([*position_R, np.zeros(0, np.int64)])
    row = np.repeat(np.arange(count), [p.size for p in position_R])
    cell = text.cluster_S[text.stretch_N[position]] * count + row
    rows = sparse.csr_array((np.ones(cell.size), (cell, position)), shape=(clusters * count, text.ids_N.size))
    sums = codes.weighted(rows, columns).reshape(clusters, count, columns.size)
    return sums, np.bincount(cell, minlength=clusters * count).reshape(clusters, count).astype(np.float64)
