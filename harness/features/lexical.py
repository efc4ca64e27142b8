"""Lexical explainability: can a few words tell when a latent fires? (``labelq_lex``)

A label is at most ten weighted items, made from windows of one half of the groups. It is tested on the other half: on
whole windows (detection) and on highlighted positions (fuzzing). That a label scores well says that tokens predict the
latent, and nothing about whether the latent means anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.features.items import Items
from harness.features.text import Ints, Text

Array = NDArray[np.float64]
# Strength of the Dirichlet prior, in positions: a quarter of the firing windows a label is made from.
PRIOR = 10.0
# An item enters a label when its log-odds are this many standard errors above the background, and it was seen twice.
STANDS_OUT = 2.0
SEEN = 2
# delphi's share of the largest activation above which a token is highlighted.
HIGHLIGHT = 0.3
COVERED = 0.7


@dataclass(frozen=True)
class Side:
    """Windows of one latent on one half of the groups.

    Attributes:
        fires: int64 ``[n]``, windows in which it fires.
        peak: int64 ``[n]``, place of the largest activation in the text.
        bits: int64 ``[n]``, bit ``i`` set where token ``i`` of the window is highlighted.
        active: int64 ``[n]``, tokens of the window on which it fires.
        silent: int64 ``[m]``, windows in which it does not fire.
    """

    fires: Ints
    peak: Ints
    bits: Ints
    active: Ints
    silent: Ints


@dataclass(frozen=True)
class Quality:
    """How well a label tells positives from negatives; ``lower`` is the lower end of the 95 % interval."""

    balanced: float
    lower: float
    auroc: float
    f1: float


@dataclass(frozen=True)
class Lexicon:
    """A label as it is used: items, weights, and the thresholds chosen on the windows it was made from."""

    items: Ints
    weights: Array
    detection: float
    fuzzing: float


class Explainer:
    """Makes and tests labels over one text."""

    def __init__(self, text: Text, items: Items, entries: int, seed: int) -> None:
        self.text, self.items, self.entries = text, items, entries
        width = int(text.length_W.max(initial=1))
        offset_T = np.arange(width)
        inside_WT = offset_T < text.length_W[:, None]
        # Places of every window, filled up with the row that has no items.
        self.places_WT = np.where(inside_WT, text.start_W[:, None] + offset_T, text.type_M.size)
        self._random = np.random.default_rng(seed)

    def label(self, train: Side) -> Lexicon:
        """Return the items that stand out where a latent peaks, with thresholds that separate ``train`` best."""
        items, weights = self._items(train.peak)
        weight_I = self._lookup(items, weights)
        return Lexicon(
            items,
            weights,
            best_threshold(*self._detection(weight_I, train)),
            best_threshold(*self._fuzzing(weight_I, train)),
        )

    def _items(self, peak_n: Ints) -> tuple[Ints, Array]:
        """Rank by the z-score of the log-odds with an informative Dirichlet prior (Monroe et al. 2008, eq. 16-22)."""
        seen_I = np.bincount(self.items.at_ML[peak_n].ravel(), minlength=self.items.count + 1)[: self.items.count]
        item = np.flatnonzero(seen_I >= SEEN)
        here, n = seen_I[item].astype(np.float64), float(peak_n.size)
        share = self.items.background[item].clip(1e-9, 1 - 1e-9)
        count = share * self.items.positions
        posterior = here + PRIOR * share
        odds = np.log(posterior / (n + PRIOR - posterior)) - np.log(share / (1 - share))
        spread = 1 / posterior + 1 / (n + PRIOR - posterior) + 1 / count + 1 / (self.items.positions - count)
        z = odds / np.sqrt(spread)
        order = np.lexsort((item, -z))[: self.entries]
        order = order[z[order] > STANDS_OUT]
        return item[order], z[order]

    def _lookup(self, items: Ints, weights: Array) -> Array:
        weight_I = np.zeros(self.items.count + 1)
        weight_I[items] = weights
        return weight_I

    def test(self, lexicon: Lexicon, side: Side) -> tuple[Quality, Quality]:
        """Return detection and fuzzing of a label on windows it was not made from."""
        weight_I = self._lookup(lexicon.items, lexicon.weights)
        found = []
        for (score, truth), threshold in (
            (self._detection(weight_I, side), lexicon.detection),
            (self._fuzzing(weight_I, side), lexicon.fuzzing),
        ):
            found.append(quality(score, truth, threshold, self._groups(side)))
        return found[0], found[1]

    def _groups(self, side: Side) -> Ints:
        """Return the group of every window, in the order of the scores."""
        group_n: Ints = self.text.group_P[self.text.piece_W[np.concatenate([side.fires, side.silent])]]
        return group_n

    def _detection(self, weight_I: Array, side: Side) -> tuple[Array, NDArray[np.bool_]]:
        """Score every window by the largest weight of an item in it."""
        windows = np.concatenate([side.fires, side.silent])
        score = weight_I[self.items.at_ML[self.places_WT[windows]]].max(axis=(1, 2))
        return score, np.arange(windows.size) < side.fires.size

    def _fuzzing(self, weight_I: Array, side: Side) -> tuple[Array, NDArray[np.bool_]]:
        """Score highlighted positions: the true ones of firing windows, random ones of silent windows (delphi)."""
        offset_T = np.arange(self.places_WT.shape[1])
        right_nT = (side.bits[:, None] >> offset_T) & 1 == 1
        wrong = int(np.ceil(side.active.mean())) if side.active.size else 1
        draw_mT = self._random.random((side.silent.size, offset_T.size))
        draw_mT[offset_T >= self.text.length_W[side.silent][:, None]] = np.inf
        wrong_mT = np.zeros(draw_mT.shape, dtype=bool)
        np.put_along_axis(wrong_mT, np.argsort(draw_mT, axis=1)[:, :wrong], True, axis=1)
        windows = np.concatenate([side.fires, side.silent])
        none = self.text.type_M.size
        places = np.where(np.vstack([right_nT, wrong_mT]), self.places_WT[windows], none)
        score = weight_I[self.items.at_ML[places]].max(axis=(1, 2))
        return score, np.arange(windows.size) < side.fires.size


def best_threshold(score: Array, truth: NDArray[np.bool_]) -> float:
    """Return the value above which balanced accuracy is best: halfway between two scores, the widest gap on ties."""
    edges = np.unique(score)
    middle = np.concatenate([(edges[1:] + edges[:-1]) / 2, [np.inf]])
    gap = np.concatenate([np.diff(edges), [0.0]])
    right_K = [((score > t)[truth].mean() + (score <= t)[~truth].mean()) / 2 for t in middle]
    return float(middle[max(range(middle.size), key=lambda k: (right_K[k], gap[k]))])


def quality(score: Array, truth: NDArray[np.bool_], threshold: float, group: Ints) -> Quality:
    """Return balanced accuracy, its lower bound, AUROC and F1 (positive: the latent fires).

    The bound combines the score intervals of both rates (MOVER, Zou and Donner 2008), each with the number of items
    that its windows are worth: windows of one group are not independent.
    """
    said = score > threshold
    right = said == truth
    rates = [float(right[part].mean()) for part in (truth, ~truth)]
    below = [score_lower(float(right[part].mean()), effective(right[part], group[part])) for part in (truth, ~truth)]
    gap = np.hypot(rates[0] - below[0], rates[1] - below[1])
    balanced = sum(rates) / 2
    f1 = 2 * int((said & truth).sum()) / max(int(said.sum()) + int(truth.sum()), 1)
    return Quality(balanced, balanced - float(gap) / 2, auroc(score, truth), f1)


def effective(right_n: NDArray[np.bool_], group_n: Ints) -> float:
    """Return how many independent items a share of right answers in groups is worth, with a penalty for few groups.

    The binomial variance over that of a ratio estimator over groups, at most the items themselves; a share of 0 or 1
    shows no variance, and is worth one item a group. Source: Korn and Graubard 1998.
    """
    _, slot_n = np.unique(group_n, return_inverse=True)
    groups, items, share = int(slot_n.max()) + 1, right_n.size, float(right_n.mean())
    if groups < 2:
        return 1.0
    worth = float(groups)
    if 0 < share < 1:
        excess_g = np.bincount(slot_n, right_n - share)
        variance = groups / (groups - 1) * float((excess_g**2).sum()) / items**2
        worth = min(share * (1 - share) / max(variance, 1e-12), items)
    few = stats.norm.ppf(0.975) / stats.t.ppf(0.975, groups - 1)
    return max(worth * float(few) ** 2, 1.0)


def score_lower(share: float, items: float) -> float:
    """Return the lower end of Wilson's 95 % score interval for a number of items that need not be whole."""
    z2 = float(stats.norm.ppf(0.975)) ** 2
    half = np.sqrt(z2 * (share * (1 - share) / items + z2 / (4 * items**2)))
    return float((share + z2 / (2 * items) - half) / (1 + z2 / items))


def auroc(score: Array, truth: NDArray[np.bool_]) -> float:
    """Return the share of pairs in which the positive scores higher, ties counting half (Mann-Whitney)."""
    rank = stats.rankdata(score)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    return float((rank[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def refusal(train: Side, test: Side, need: tuple[int, int]) -> str | None:
    """Return why a latent cannot be labelled, or None."""
    for side, wanted, purpose in ((train, need[0], "make a label from"), (test, need[1], "test it on")):
        for windows, what in ((side.fires, "in which it fires"), (side.silent, "in which it does not fire")):
            if windows.size < wanted:
                return f"{windows.size} windows {what} to {purpose}, {wanted} are needed"
    return None


def deciles(key: Array, count: int) -> Ints:
    """Return which of some values to take, so that each tenth of them gives as many (all, where there are too few)."""
    order = np.argsort(key, kind="stable")
    if order.size <= count:
        return order
    # Evenly spaced ranks: count / 10 from every decile, and the same from its parts.
    return order[((np.arange(count) + 0.5) * order.size / count).astype(np.int64)]


def as_dict(value: Quality) -> dict[str, Any]:
    """Return plain numbers, rounded to what 100 windows can tell."""
    return {name: round(number, 4) for name, number in vars(value).items()}
