"""Where a probe reads what it tells: at one block and position, chosen without the answers that are judged.

Parts: ``alone_p`` and ``removed_p`` hold for each answer, ``[n, B]``, the probability that it is wrong from a probe
that reads at one of ``B`` places alone, or at all the others; ``whole_p`` that of the whole probe; ``place`` the place
that each fold's train answers choose. The largest of ``B`` is larger than it should be; the chosen one is not.
"""

from __future__ import annotations

import numpy as np

from harness.metrics.contract import Array, NotComputableError, Parts, metric
from harness.metrics.items import answers_auroc

ITEMS = ("item_cluster", "item_y", "item_fold")


def at_chosen(parts: Parts, score: str, place: str = "place") -> Array:
    """Return of ``parts[score]``, ``[n, B]``, the column of the place that each answer's fold chose, ``[n]``."""
    fold_n = parts["item_fold"].astype(np.int64)
    place_n = parts[place][fold_n].astype(np.int64)
    return np.asarray(parts[score][np.arange(len(fold_n)), place_n], dtype=np.float64)


def place_aurocs(parts: Parts, score: str, y: str = "item_y") -> Array:
    """Return the AUROC of every column of ``parts[score]``, ``[B]``: a table of places, for a page."""
    ones = np.ones(len(parts["n"]))
    return np.array([float(answers_auroc(parts, ones, score_n, parts[y])) for score_n in parts[score].T])


@metric(
    unit="1",
    direction="up",
    needs=(*ITEMS, "alone_p", "place"),
    tracks=("errors",),
    source="ours: the block and position are chosen on the train answers of each fold",
    null="0.5",
    derived=False,
    formula="P(p(wrong) > p(right)) + ½ P(equal), over pairs of one fold, p of the chosen place alone",
)
def local_auroc(parts: Parts, w: Array) -> Array:
    """AUROC of the probe fitted on one block and position alone, the one that the fold's train answers choose."""
    return answers_auroc(parts, w, at_chosen(parts, "alone_p"), parts["item_y"])


@metric(
    unit="1",
    direction="target",
    needs=(*ITEMS, "removed_p", "whole_p", "place"),
    tracks=("errors",),
    source="ours: the block and position are chosen on the train answers of each fold",
    null="0: the other places tell as much",
    derived=False,
    formula="auroc(whole) − auroc(without the chosen place)",
)
def local_drop(parts: Parts, w: Array) -> Array:
    """What the probe's AUROC loses where it may not read at the chosen block and position."""
    left = answers_auroc(parts, w, at_chosen(parts, "removed_p"), parts["item_y"])
    return np.asarray(answers_auroc(parts, w, parts["whole_p"], parts["item_y"]) - left, dtype=np.float64)


@metric(
    unit="1",
    direction="target",
    needs=(*ITEMS, "alone_p", "alone_null_p", "item_y_null"),
    tracks=("errors",),
    source="ours; the largest of as many places under one exchange of labels among groups",
    null="about 0",
    interval="none",
    derived=False,
    formula="max over places of auroc(alone) − the same where groups exchanged their labels",
)
def local_excess(parts: Parts, w: Array) -> Array:
    """Largest AUROC of a block and position alone, less the largest under exchanged labels."""
    if parts["alone_p"].shape[1] < 2:
        raise NotComputableError("the probe reads at one block and position")
    own, null = place_aurocs(parts, "alone_p"), place_aurocs(parts, "alone_null_p", "item_y_null")
    return np.full(w.shape[:-1], own.max() - null.max())
