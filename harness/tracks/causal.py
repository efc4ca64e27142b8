"""What happens to answers when the features that tell errors are ablated: the causal entry of error probes.

In every outer fold the features of one block with the largest |Cohen's d| on the other folds are ablated together on
answers of this fold: ``x' = x - sum (f_i - a_i) direction_i`` at the position each was read at, everything else kept
(the error of a dictionary too). ``a_i`` is the mean over **right** answers of the other folds, so that the edit takes
away what wrong answers have and leaves right ones where they are; with the mean over all both would move.

One block, that whose features tell most: what is taken out of the stream at one block is missing at the next, and would
be taken out there once more. Random features of the same block and positions, scaled to the same norm at every answer
and position, say what an edit of that size does anyway. The last token of an answer decides nothing after it, so
features read there are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import Features
from harness.metrics.causal import WHY
from harness.stats.many_effects import each_d
from harness.tracks.ablation import Edits, changes
from harness.tracks.answer_reader import AnswerReader, Tokens
from harness.tracks.folds import Judged

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = NDArray[np.bool_]
# Features whose effect sizes are computed at once, so that memory does not grow with a dictionary's size.
COLUMNS = 4096
NO_DIRECTION, NO_TOKEN, FEW_FEATURES, NO_ANSWER = range(1, len(WHY))


@dataclass(frozen=True)
class Bounds:
    """What an ablation may cost.

    Attributes:
        top: features ablated together.
        draws: sets of as many random features.
        answers: of each class and fold at most; the model runs over each ``2 + draws`` times from the block on.
    """

    top: int = 16
    draws: int = 5
    answers: int = 10


BOUNDS = Bounds()


class Refused(Exception):
    """Nothing can be ablated; ``why`` is a number of ``harness.metrics.causal.WHY``."""

    def __init__(self, why: int) -> None:
        super().__init__(WHY[why])
        self.why = why


@dataclass(frozen=True)
class Chosen:
    """Features of one block.

    Attributes:
        block: which of the blocks that are read.
        index_Sk: int64 ``[1 + draws, k]``: the top features, then random ones, column by column at one position.
        at_k: position of each column.
    """

    block: int
    index_Sk: Ints
    at_k: Ints


def causal_parts(
    reader: AnswerReader, features: Features, items: Judged, fold: int, bounds: Bounds = BOUNDS
) -> dict[str, Floats]:
    """Return what one fold adds to the parts of ``harness.metrics.causal``; rows are named by ``causal_index``."""
    train_n = items.fold_n != fold
    try:
        later_nP = _later(reader.taken.sequences)
        chosen = choose(features, items.y_n, train_n, later_nP, bounds, fold)
        rows = _answers(items, ~train_n & later_nP[:, np.unique(chosen.at_k)].all(1), bounds.answers, fold)
    except Refused as refused:
        return _parts(items, np.zeros(0, dtype=np.int64), np.zeros((0, 1 + bounds.draws)), refused.why)
    a_F = features.value_nF[train_n & (items.y_n == 0)].mean(0, dtype=np.float64)
    block, used = reader.task.blocks[chosen.block], tuple(np.unique(chosen.at_k).tolist())
    delta_SmPD = deltas(features, chosen, rows, a_F, later_nP.shape[1])
    change_mS = changes(reader, rows, Edits(block, used, delta_SmPD))
    x_muD = reader.answers.activation_nLPD[rows, chosen.block][:, used]
    share = np.linalg.norm(delta_SmPD[0][:, used], axis=-1).mean() / np.linalg.norm(x_muD, axis=-1).mean()
    extra = {"causal_norm": np.array([share]), "causal_block": np.array([float(block)])}
    return _parts(items, rows, change_mS, 0) | extra


def _parts(items: Judged, rows: Ints, change_mS: Floats, why: int) -> dict[str, Floats]:
    return {
        "causal_index": rows.astype(np.float64),
        "causal_top": change_mS[:, 0],
        "causal_random": change_mS[:, 1:],
        "causal_y": items.y_n[rows].astype(np.float64),
        "causal_cluster": items.group_n[rows].astype(np.float64),
        "causal_why": np.array([float(why)]),
    }


ORDERED = ("causal_top", "causal_random", "causal_y", "causal_cluster")


def causal_details(folds: Sequence[dict[str, NDArray[Any]]]) -> dict[str, float]:
    """Return what a reader of the metrics wants beside them, by name; nothing where nothing was ablated."""
    if any("causal_norm" not in fold for fold in folds):
        return {}
    top, random, y = (np.concatenate([fold[name] for fold in folds]) for name in ORDERED[:3])
    found = {
        "ablated answers": float(len(y)),
        "ablation, share of |x|": float(np.mean([f["causal_norm"] for f in folds])),
    }
    for name, side in (("right", y == 0), ("wrong", y > 0)):
        found[f"ablation, {name} answers (nats/token)"] = float(top[side].mean())
        found[f"random ablation, {name} answers (nats/token)"] = float(random[side].mean())
    return found | {f"ablated block, fold {i + 1}": float(fold["causal_block"][0]) for i, fold in enumerate(folds)}


def _later(sequences: Sequence[Tokens]) -> Rows:
    """Return at which positions of which answers something follows ``[n, P]``, and no other position is the same."""
    at_nP = np.array([sequence.at for sequence in sequences])
    last_n = np.array([len(sequence.ids) for sequence in sequences]) - 1
    alone_nP = (at_nP[:, :, None] == at_nP[:, None, :]).sum(2) == 1
    return np.asarray((at_nP < last_n[:, None]) & alone_nP)


def choose(features: Features, y_n: Ints, train_n: Rows, later_nP: Rows, bounds: Bounds, seed: int) -> Chosen:
    """Return the block whose ``top`` features have the largest mean |d| on train answers, these, and random others.

    Positions after which nothing follows in most answers are left out. Random features vary on the train answers and
    are drawn, without the top ones, at the same positions.

    Raises:
        Refused: features have no direction, no position is left, or a block or position has too few features.
    """
    if features.direction is None or (features.block_F < 0).all():
        raise Refused(NO_DIRECTION)
    positions = later_nP.shape[1]
    use_F = (features.block_F >= 0) & (later_nP.mean(0) > 0.5)[features.block_F % positions]
    if not use_F.any():
        raise Refused(NO_TOKEN)
    size_F = np.where(use_F, _sizes(features.value_nF, y_n, train_n), 0.0)
    block_F = features.block_F // positions
    by_block = [_largest(size_F, block_F == block) for block in range(int(block_F.max()) + 1)]
    tops = [order[: bounds.top] for order in by_block if len(order) > bounds.top]
    if not tops:
        raise Refused(FEW_FEATURES)
    top = max(tops, key=lambda index_k: float(size_F[index_k].sum()))
    block = int(block_F[top[0]])
    rng = np.random.default_rng(seed)
    drawn = [_beside(top, by_block[block][bounds.top :], features.block_F, rng) for _ in range(bounds.draws)]
    return Chosen(block, np.stack([top, *drawn]), features.block_F[top] % positions)


def _largest(size_F: Floats, inside_F: Rows) -> Ints:
    """Return the features of a block that vary, the largest first."""
    order = np.flatnonzero(inside_F & (size_F > 0))
    return order[np.argsort(-size_F[order], kind="stable")]


def _beside(top: Ints, others: Ints, block_F: Ints, rng: np.random.Generator) -> Ints:
    """Return for each top feature another one of the same block and position, none twice."""
    found = np.zeros_like(top)
    for place in np.unique(block_F[top]):
        here = np.flatnonzero(block_F[top] == place)
        pool = others[block_F[others] == place]
        if len(pool) < len(here):
            raise Refused(FEW_FEATURES)
        found[here] = rng.choice(pool, len(here), replace=False)
    return found


def _sizes(x_nF: NDArray[Any], y_n: Ints, train_n: Rows) -> Floats:
    """Return |d| of every feature on the train answers, 0 where it does not vary."""
    found = []
    for start in range(0, x_nF.shape[1], COLUMNS):
        x = x_nF[train_n, start : start + COLUMNS]
        found.append(np.abs(np.nan_to_num(each_d(y_n[train_n][None], x)[0])))
    return np.concatenate(found)


def _answers(items: Judged, may_n: Rows, most: int, seed: int) -> Ints:
    """Return up to ``most`` answers of each class among those that may be edited, drawn at random."""
    rng = np.random.default_rng(seed)
    classes = [rng.permutation(np.flatnonzero(may_n & (items.y_n == side)))[:most] for side in (0, 1)]
    if not all(len(rows) for rows in classes):
        raise Refused(NO_ANSWER)
    return np.sort(np.concatenate(classes))


def deltas(features: Features, chosen: Chosen, rows: Ints, a_F: Floats, positions: int) -> NDArray[np.float32]:
    """Return the edits of some answers, ``[1 + draws, m, P, D]``; those of random features have the norms of the top.

    Raises:
        ValueError: directions are not ``[k, D]``, or not finite.
    """
    if features.direction is None:
        raise ValueError("specs let features without directions through")
    found = []
    for index_k in chosen.index_Sk:
        direction_kD = np.asarray(features.direction(index_k), dtype=np.float64)
        if direction_kD.ndim != 2 or len(direction_kD) != len(index_k) or not np.isfinite(direction_kD).all():
            raise ValueError(f"directions of {len(index_k)} features must be finite [k, D], got {direction_kD.shape}")
        over_mk = features.value_nF[np.ix_(rows, index_k)] - a_F[index_k]
        at_kP = np.eye(positions)[chosen.at_k]
        found.append(-np.einsum("mk,kp,kd->mpd", over_mk, at_kP, direction_kD, optimize=True))
    delta_SmPD = np.stack(found)
    norm_SmP1 = np.linalg.norm(delta_SmPD, axis=-1, keepdims=True)
    scale_SmP1 = norm_SmP1[:1] / np.where(norm_SmP1 > 0, norm_SmP1, np.inf)
    scale_SmP1[0] = 1.0
    return np.asarray(delta_SmPD * scale_SmP1, dtype=np.float32)
