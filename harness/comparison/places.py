"""Where each side of a comparison wins: which clusters, and which classes of documents."""

from __future__ import annotations

import numpy as np
from scipy import stats

from harness.board.documents import COUNT
from harness.board.pairs import Pair
from harness.comparison.findings import ClassGap, ClusterGap, Count, Gap, Places
from harness.metrics.contract import Array, Parts
from harness.stats.resample import ROUNDING

# How many clusters are named for each side.
NAMED = 5


def places(pair: Pair, difference_C: Array, sign: int) -> Places:
    """Return where each side wins.

    Args:
        pair: the two rows; the first seed of A tells tokens and classes.
        difference_C: what each cluster adds to ``A - B``, averaged over seeds.
        sign: +1 where more is better, else -1.
    """
    parts = next(iter(pair.a.measured.values()))
    gain_C = sign * np.where(np.abs(difference_C) > _noise(difference_C), difference_C, 0.0)
    order = np.argsort(-gain_C, kind="stable")
    named = [ClusterGap(int(c), float(difference_C[c]), float(parts["n"][c])) for c in order]
    return Places(
        count=count(gain_C),
        for_a=tuple(gap for gap in named[:NAMED] if gain_C[gap.cluster] > 0),
        for_b=tuple(gap for gap in reversed(named[-NAMED:]) if gain_C[gap.cluster] < 0),
        classes=_classes(pair, parts, difference_C, gain_C),
    )


def _noise(difference_C: Array) -> float:
    return ROUNDING * float(np.abs(difference_C).max(initial=0.0))


def count(gain_C: Array) -> Count:
    """Return in how many clusters the gain of A is positive, negative and 0."""
    return Count(int((gain_C > 0).sum()), int((gain_C < 0).sum()), int((gain_C == 0).sum()))


def _classes(pair: Pair, parts: Parts, difference_C: Array, gain_C: Array) -> tuple[ClassGap, ...]:
    """Return one line per class; a cluster counts for the class of most of its documents."""
    names = sorted(name.removeprefix(COUNT) for name in pair.a.head.details if name.startswith(COUNT))
    class_C = _class_of_clusters(parts, len(names), difference_C.size)
    found = []
    for number, name in enumerate(names):
        own = class_C == number
        if own.any():
            found.append(ClassGap(name, count(gain_C[own]), _mean(difference_C[own])))
    return tuple(found)


def _class_of_clusters(parts: Parts, classes: int, clusters: int) -> Array:
    """Return the class of each cluster, -1 where it has no document of any."""
    if classes == 0 or "doc_label" not in parts or "doc_cluster" not in parts:
        return np.full(clusters, -1.0)
    label_n, cluster_n = parts["doc_label"].astype(np.int64), parts["doc_cluster"].astype(np.int64)
    documents = np.zeros((clusters, classes))
    known = (label_n >= 0) & (label_n < classes) & (cluster_n >= 0) & (cluster_n < clusters)
    np.add.at(documents, (cluster_n[known], label_n[known]), 1)
    return np.asarray(np.where(documents.any(1), documents.argmax(1), -1), dtype=np.float64)


def _mean(difference_c: Array) -> Gap:
    value = float(difference_c.mean())
    if difference_c.size < 2:
        return Gap(value, None, None, "none", "one cluster has no spread")
    half = float(stats.t.isf(0.025, difference_c.size - 1) * difference_c.std(ddof=1)) / difference_c.size**0.5
    return Gap(value, value - half, value + half, "t")
