"""From the codes of the test split to parts, details and the table of latents.

The table (``RECORD.latents.npz``, read by ``StoredRecord.latents``) has one row per latent and these columns. ``F``
latents, ``R`` words that were kept, ``T`` top tokens. NaN (or an empty text) stands where a number does not exist.

====================== ========= =====================================================================================
``latent``             int32     its number in the dictionary
``density``            float32   share of test tokens on which it fires
``tokens``             int64     how many tokens that is
``prompts``            int64     in how many documents (sequences) it fires
``scored``             bool      fires often enough to be tested and ranked (``min_firings``, ``min_density``)
``selected``           bool      among the ``top_n`` by ReasonScore on the validation split
``reasonscore``        float32   ReasonScore on the test split
``random_reasonscore`` float32   its mean under the frequency-matched random vocabularies
``z``                  float32   ReasonScore against the circular shifts, in their standard deviations
``p``, ``q``           float32   one-sided p-value of the shifts; adjusted for the false discovery rate
``p_max``              float32   adjusted for the family-wise error, studentised step-down max-T
``passed``             bool      ``p_max`` below the task's level
``mean_inside``        float32   mean folded code over the windows of all words
``mean_outside``       float32   over all other tokens
``word_means``         [F, R]    mean folded code over the windows of each word, float32
``rs_ratio``           float32   keyword mean over overall mean
``rs_topk``            float32   mean over prompts that it leads, where there are ``min_prompts``
``rs_topk_prompts``    int64     prompts that it leads
``injection_d``        float32   Cohen's d of injected against plain texts; NaN where it was not tested
``injection_se``       float32   standard error of d
``injection_p``        float32   p-value of the difference
``injection_class``    text      a class of ``harness.tracks.injection``; empty where it was not tested
``top_token_ids``      [F, T]    tokens with the largest mean folded code, int64, -1 where there are fewer
``top_token_means``    [F, T]    those means, float32
``top_tokens``         [F, T]    those tokens as text
``words``              [R]       the words, in the order of ``word_means`` (not a row per latent)
====================== ========= =====================================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import Progress
from harness.metrics.contract import Array
from harness.specs.reasoning import Reasoning
from harness.stats.effects import Effect
from harness.stats.nulls import Tested, against_null
from harness.tracks.contract import Measured
from harness.tracks.injection import SURVIVES, classify, strongest, undecided
from harness.tracks.marks import Ints
from harness.tracks.scoring import (
    Firings,
    Leads,
    Reasoned,
    keyword_ratio,
    per_cluster,
    prompt_leads,
    reasoned,
    top_tokens,
)
from harness.tracks.selection import Selection, Split
from harness.tracks.shifts import null_scores
from harness.tracks.sums import Contribution

# Characters of a top token's text that are kept.
_LONGEST = 24


def outcome(
    test: Split,
    chosen: Selection,
    injected: Sequence[Contribution],
    options: Reasoning,
    clusters: int,
    decode: Callable[[list[int]], str],
    progress: Progress,
) -> Measured:
    """Return everything that is known of a cell."""
    return _Outcome(test, chosen, options, clusters, progress).measured(injected, decode)


class _Outcome:
    """One cell on its way from codes to numbers."""

    def __init__(self, test: Split, chosen: Selection, options: Reasoning, clusters: int, progress: Progress) -> None:
        self.test, self.chosen, self.options, self.clusters = test, chosen, options, clusters
        self.progress = progress
        self.text, self.codes, self.words = test.text, test.codes, test.words[0]
        self.firings = Firings.of(self.codes, self.text)
        self.cluster_N = self.text.cluster_S[self.text.stretch_N]
        least = max(options.min_firings, options.min_density * self.text.ids_N.size)
        self.scored_F = self.firings.tokens_F >= least

    def measured(self, injected: Sequence[Contribution], decode: Callable[[list[int]], str]) -> Measured:
        """Score, test, and collect."""
        base = {"n": self._per_cluster(np.ones(self.cluster_N.size)), "l0": self._per_cluster(self.firings.l0_N)}
        if not self.words.names:
            return Measured(base, {"words": 0.0})
        ours = reasoned(self.codes, self.text, self.words, self.options.alpha)
        tested = self._tested(ours)
        passed_F = np.nan_to_num(tested.p_max, nan=1.0) < self.options.level
        largest = max(self.options.top_k, *self.options.top_ks) if self.options.top_ks else self.options.top_k
        leads = prompt_leads(self.codes, self.text, self.test.keywords, largest)
        effects = _effects(injected)
        parts = {**base, **self._score_parts(), **self._variant_parts(leads), **_verdicts(effects, passed_F)}
        details = {**self._details(tested, effects, passed_F), **self._sweeps(leads)}
        table = {**self._table(ours, tested, passed_F, leads), **_injection_columns(effects, self.codes.latents)}
        return Measured(parts, details, {**table, **self._tokens(decode)})

    def _per_cluster(self, value_N: NDArray[Any]) -> Array:
        return np.bincount(self.cluster_N, value_N, minlength=self.clusters).astype(np.float64)

    def _tested(self, ours: Reasoned) -> Tested:
        options = self.options
        null_SF = null_scores(
            self.codes, self.text, self.words, options.alpha, options.shifts, options.seed, self.progress
        )
        return against_null(ours.score_F, null_SF, self.scored_F)

    def _score_parts(self) -> dict[str, Array]:
        """Return the sums per cluster that ReasonScore of the selected latents is made of, under every vocabulary."""
        found = [self._sums(v) for v in range(len(self.test.words))]
        parts = {f"rs_{name}": value[:, None] for name, value in found[0].items()}
        # A random vocabulary that ran out of tokens has fewer words than the others, and none is compared then.
        if all(sums["word"].shape == found[0]["word"].shape for sums in found) and len(found) > 1:
            parts |= {f"rv_{name}": np.stack([sums[name] for sums in found[1:]], axis=1) for name in found[0]}
        return {**parts, "alpha": np.array(self.options.alpha)}

    def _sums(self, vocabulary: int) -> dict[str, Array]:
        words, latents = self.test.words[vocabulary], self.chosen.score[vocabulary]
        union, everything = words.union(), np.arange(self.text.ids_N.size)
        rows = (*words.position_R, union, everything)
        sums, counts = per_cluster(self.codes, self.text, rows, latents, self.clusters)
        total_N = self._total_N
        inside_C = np.bincount(self.cluster_N[union], total_N[union], minlength=self.clusters)
        return {
            "word": sums[:, :-2],
            "word_n": counts[:, :-2],
            "in": sums[:, -2],
            "out": np.maximum(sums[:, -1] - sums[:, -2], 0.0),
            "in_all": inside_C,
            "out_all": np.maximum(self._per_cluster(total_N) - inside_C, 0.0),
        }

    @property
    def _total_N(self) -> Array:
        """Folded codes of each token, over the whole dictionary."""
        return np.concatenate([chunk.sum(axis=1, dtype=np.float64) for _, chunk in self.codes.chunks()])

    def _variant_parts(self, leads: Leads) -> dict[str, Array]:
        keywords, everything = self.test.keywords, np.arange(self.text.ids_N.size)
        sums, counts = per_cluster(self.codes, self.text, (keywords, everything), self.chosen.ratio, self.clusters)
        first = leads.among(self.options.top_k)
        shape = (self.clusters, self.chosen.topk.size)
        total, count = np.zeros(shape), np.zeros(shape)
        column = {int(latent): i for i, latent in enumerate(self.chosen.topk)}
        for prompt, latent, ratio in zip(first.prompt_E, first.latent_E, first.ratio_E, strict=True):
            if int(latent) in column:
                place = self.text.cluster_S[prompt], column[int(latent)]
                total[place] += ratio
                count[place] += 1
        variants = {"rr_in": sums[:, 0], "rr_all": sums[:, 1], "rr_in_n": counts[:, 0]}
        return {**variants, "rk_sum": total, "rk_count": count}

    def _details(self, tested: Tested, effects: dict[int, Effect], passed_F: NDArray[np.bool_]) -> dict[str, float]:
        classes = Counter(classify(effect) for effect in effects.values())
        found = {
            "words": len(self.words.names),
            "window_share": self.words.union().size / self.text.ids_N.size,
            "keyword_tokens": self.test.keywords.size,
            "scored": self.scored_F.sum(),
            "passed_fdr": (np.nan_to_num(tested.q, nan=1.0) < self.options.level).sum(),
            "passed_selected": passed_F[self.chosen.score[0]].sum(),
            "injected": len(effects),
            **{f"injected_{name}": count for name, count in classes.items()},
            "injected_undecided": sum(undecided(effect) for effect in effects.values()),
            **{f"occurrences of {w}": n for w, n in zip(self.words.names, self.words.count_R, strict=True)},
        }
        return {name: float(value) for name, value in found.items()}

    def _sweeps(self, leads: Leads) -> dict[str, float]:
        """Return the sweeps a task asks for: the selected latents on shorter documents, and ``rs_topk`` at other k."""
        found: dict[str, float] = {}
        for length in self.options.lengths:
            short = reasoned(self.codes, self.text, self.words, self.options.alpha, first=length)
            found[f"reasonscore at length {length}"] = float(short.score_F[self.chosen.score[0]].mean())
        for k in self.options.top_ks:
            mean_F, _ = leads.among(k).mean(self.codes.latents)
            held = mean_F[self.chosen.topk]
            if np.isfinite(held).any():
                found[f"rs_topk at k {k}"] = float(held[np.isfinite(held)].mean())
        return found

    def _table(
        self, ours: Reasoned, tested: Tested, passed_F: NDArray[np.bool_], leads: Leads
    ) -> dict[str, NDArray[Any]]:
        tokens, inside = self.text.ids_N.size, max(self.words.union().size, 1)
        random = [
            reasoned(self.codes, self.text, w, self.options.alpha).score_F for w in self.test.words[1:] if w.names
        ]
        topk_F, prompts_F = leads.among(self.options.top_k).mean(self.codes.latents)
        numbers: dict[str, Array] = {
            "density": self.firings.tokens_F / tokens,
            "reasonscore": ours.score_F,
            "random_reasonscore": np.mean(random, axis=0) if random else np.full(self.codes.latents, np.nan),
            "z": tested.z,
            "p": tested.p,
            "q": tested.q,
            "p_max": tested.p_max,
            "mean_inside": ours.inside_F / inside,
            "mean_outside": ours.outside_F / max(tokens - inside, 1),
            "word_means": ours.word_mean_RF.T,
            "rs_ratio": np.where(self.scored_F, keyword_ratio(self.codes, self.text, self.test.keywords), np.nan),
            "rs_topk": np.where(prompts_F >= self.options.min_prompts, topk_F, np.nan),
        }
        return {
            "latent": np.arange(self.codes.latents, dtype=np.int32),
            "tokens": self.firings.tokens_F,
            "prompts": self.firings.prompts_F,
            "scored": self.scored_F,
            "selected": np.isin(np.arange(self.codes.latents), self.chosen.score[0]),
            "passed": passed_F,
            "rs_topk_prompts": prompts_F,
            "words": np.array(self.words.names),
            **{name: value.astype(np.float32) for name, value in numbers.items()},
        }

    def _tokens(self, decode: Callable[[list[int]], str]) -> dict[str, NDArray[Any]]:
        plan, latents = self.options.injection, np.arange(self.codes.latents)
        ids, means = top_tokens(self.codes, self.text, latents, plan.top_tokens, plan.min_occurrences)
        names = {int(i): decode([int(i)])[:_LONGEST] if i >= 0 else "" for i in np.unique(ids)}
        texts = np.array([[names[int(i)] for i in row] for row in ids], dtype=f"U{_LONGEST}")
        return {"top_token_ids": ids, "top_token_means": means, "top_tokens": texts}


def _effects(injected: Sequence[Contribution]) -> dict[int, Effect]:
    """Return the effect of injecting, by latent; only of latents that have top tokens."""
    tried = [one for one in injected if int(one["latent"]) >= 0]
    return {int(one["latent"]): strongest(one["plain"], one["injected"]) for one in tried}


def _verdicts(effects: dict[int, Effect], passed_F: NDArray[np.bool_]) -> dict[str, Array]:
    passed = np.array([passed_F[latent] for latent in effects], dtype=np.float64)
    survived = np.array([classify(effect) == SURVIVES for effect in effects.values()], dtype=np.float64)
    return {"passed": passed_F.astype(np.float64), "tested_passed": passed, "tested_survived": passed * survived}


def _injection_columns(effects: dict[int, Effect], latents: int) -> dict[str, NDArray[Any]]:
    held: Ints = np.array(list(effects), dtype=np.int64)
    columns: dict[str, NDArray[Any]] = {}
    for name in ("d", "se", "p"):
        columns[f"injection_{name}"] = np.full(latents, np.nan, np.float32)
        columns[f"injection_{name}"][held] = [getattr(effect, name) for effect in effects.values()]
    columns["injection_class"] = np.full(latents, "", dtype="U24")
    columns["injection_class"][held] = [classify(effect) for effect in effects.values()]
    return columns
