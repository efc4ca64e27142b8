"""At which blocks and positions a probe reads what it tells, beside the same under exchanged labels.

A *place* is a block and a position, ``block * P + position``. A probe is fitted once on what it reads at one place
alone, and once on what it reads at all the others; features that are left out are held at 0, so that any probe can do
it. The same is done after groups have exchanged their labels: what the largest of ``B`` places reaches there is what
looking at ``B`` of them gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import ErrorProbe, Features
from harness.metrics.contract import NotComputableError
from harness.metrics.items import auroc_in_folds
from harness.stats.nulls import exchanged
from harness.tracks.contract import Contribution
from harness.tracks.folds import Floats, Ints, Judged, Rows
from harness.tracks.study import Found, Study
from harness.training.logistic import INNER, OUTER, folds

# Parts that only these fits give, and what they are called under exchanged labels.
PARTS = {"alone_p": "alone_null_p", "removed_p": "removed_null_p", "whole_p": "item_p_null", "place": "place_null"}
# One step for each outer fold, on the labels and on exchanged ones.
STEPS = 2 * OUTER
# The exchange that stands beside the labels; those of the effect sizes are others.
SEED = 1000


class Places(Study):
    """Fits every probe on what it reads at single places, and at all the others, in each outer fold."""

    @property
    def steps(self) -> tuple[str, ...]:
        """One for each fold and for each fold under exchanged labels, where a metric asks for them."""
        return tuple(f"place {step}" for step in range(STEPS)) if self.asked.wanted & PARTS.keys() else ()

    def measure(self, step: int, probe: ErrorProbe, features: Features, items: Judged) -> Contribution:
        """Return what single places tell of one fold's answers."""
        return localised(probe, features, items, step, self.asked.places)

    def reduce(self, contributions: Sequence[Contribution]) -> Found:
        """Put the folds' answers back into order."""
        return Found(local_parts(contributions, self.asked.items))


def exchanged_items(items: Judged) -> Judged:
    """Return the answers after groups have exchanged their labels, in the same folds."""
    return replace(items, y_n=exchanged(items.y_n, items.group_n, SEED))


def localised(probe: ErrorProbe, features: Features, items: Judged, step: int, places: int) -> dict[str, NDArray[Any]]:
    """Return what one step adds: a fold's answers judged by the whole probe, by each place alone, and without each.

    Nothing where the probe is a null, or reads at no place. The whole probe chooses its settings anew, and so
    does each place alone, which has fewer features; without a place the settings are those of the whole.
    """
    if probe.null or not (features.block_F >= 0).any():
        return {}
    null, fold = divmod(step, OUTER)
    items = exchanged_items(items) if null else items
    test_n = items.fold_n == fold
    whole_n = _judged(probe, features.value_nF, items, ~test_n)
    removed = [
        _judged(probe, _without(features, features.block_F == place), items, ~test_n, again=True)
        for place in range(places)
    ]
    alone = [_judged(probe, _without(features, features.block_F != place), items, ~test_n) for place in range(places)]
    return {
        "index": np.flatnonzero(test_n).astype(np.float64),
        "whole_p": whole_n,
        "removed_p": np.stack(removed, 1),
        "alone_p": np.stack(alone, 1),
        "place": np.array([float(chosen_place(features, items, ~test_n, places))]),
    }


def _without(features: Features, left_out_F: Rows) -> NDArray[Any]:
    value_nF = features.value_nF.copy()
    value_nF[:, left_out_F] = 0
    return value_nF


def _judged(probe: ErrorProbe, x_nF: NDArray[Any], items: Judged, train_n: Rows, again: bool = False) -> Floats:
    """Return the probability that each answer outside ``train_n`` is wrong."""
    fit = probe.refit if again else probe.fit
    fit(x_nF[train_n], items.y_n[train_n], items.group_n[train_n])
    return np.asarray(probe.predict(x_nF[~train_n], 2)[:, 1], dtype=np.float64)


def chosen_place(features: Features, items: Judged, train_n: Rows, places: int) -> int:
    """Return the place that tells most about the answers of ``train_n``, without a look at the others.

    By AUROC over grouped inner folds, along the difference of the class means of what is read there, features
    standardised: a rule that is the same for every probe, and costs no fit.
    """
    x_nF, y_n, group_n = features.value_nF[train_n], items.y_n[train_n], items.group_n[train_n]
    inner_n = folds(y_n, group_n, INNER)
    score_nB = np.zeros((len(y_n), places))
    for inner in range(INNER):
        held_n = inner_n == inner
        if len(np.unique(y_n[~held_n])) == 2:
            score_nB[held_n] = _along_means(x_nF, y_n, held_n, features.block_F, places)
    return int(np.argmax([_auroc(score_n, y_n, inner_n) for score_n in score_nB.T]))


def _auroc(score_n: Floats, y_n: Ints, fold_n: Ints) -> float:
    try:
        return float(auroc_in_folds(score_n, y_n > 0, fold_n.astype(np.float64), np.ones(len(y_n)), "one class"))
    except NotComputableError:
        # no answers tell places apart
        return 0.5


def _along_means(x_nF: NDArray[Any], y_n: Ints, held_n: Rows, block_F: Ints, places: int) -> Floats:
    """Return the scores ``[held, B]`` of held rows on the direction of each place, from the rows that are not held."""
    spread_F = x_nF[~held_n].std(0, dtype=np.float64)
    sides = [x_nF[~held_n & (y_n == side)].mean(0, dtype=np.float64) for side in (0, 1)]
    alive_F = spread_F > 1e-9 * max(float(spread_F.max(initial=0.0)), 1e-300)
    slope_F = np.where(alive_F, (sides[1] - sides[0]) / np.where(alive_F, spread_F, 1.0) ** 2, 0.0)
    own = [block_F == place for place in range(places)]
    return np.stack([x_nF[held_n][:, rows] @ slope_F[rows] for rows in own], 1)


def local_parts(steps: Sequence[Mapping[str, NDArray[Any]]], items: Judged) -> dict[str, Floats]:
    """Put the steps' answers back into order; nothing where the probe gave none."""
    if not steps or not steps[0]:
        return {}
    parts = {"item_y_null": exchanged_items(items).y_n.astype(np.float64)}
    for null, own in enumerate((steps[:OUTER], steps[OUTER:])):
        order = np.argsort(np.concatenate([step["index"] for step in own]))
        for name, under_exchange in PARTS.items():
            # one number for each fold, or a row for each answer of it
            found = np.concatenate([step[name] for step in own])
            parts[under_exchange if null else name] = found if name == "place" else found[order]
    return parts
