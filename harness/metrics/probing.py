"""What is read off few latents, as balanced accuracy: the mean over both sides of each problem, so chance is one half.

Parts are ``[C, P, 2]``: documents per cluster, problem (a class against the rest) and side.
"""

from __future__ import annotations

from harness.metrics.contract import Array, NotComputableError, Parts, metric, ratio

PROBING = ("sparse_probing",)
SOURCE = "sae-probes and SAEBench sparse_probing (arXiv 2503.09532), with grouped folds and balanced accuracy"
CHANCE = "labels that say nothing: .5"


def _balanced(parts: Parts, w: Array, hits: str, counted: str) -> Array:
    """Return the mean over problems and sides of the share that was right. ``w [..., C] -> [...]``."""
    right, total = (w @ parts[name].reshape(parts[name].shape[0], -1) for name in (hits, counted))
    if w.ndim == 1 and not total.all():
        raise NotComputableError("a side of a problem has no document")
    result: Array = ratio(right, total).mean(-1)
    return result


@metric(
    unit="1",
    direction="up",
    formula="mean over problems and their two sides of the share told right, from 1 latent",
    needs=("probe_1", "probe_n"),
    tracks=PROBING,
    source=SOURCE,
    null=CHANCE,
)
def sparse_probe_1(parts: Parts, w: Array) -> Array:
    """Balanced accuracy of a logistic regression on the one latent whose means differ most."""
    return _balanced(parts, w, "probe_1", "probe_n")


@metric(
    unit="1",
    direction="up",
    formula="mean over problems and their two sides of the share told right, from 2 latents",
    needs=("probe_2", "probe_n"),
    tracks=PROBING,
    source=SOURCE,
    null=CHANCE,
)
def sparse_probe_2(parts: Parts, w: Array) -> Array:
    """Balanced accuracy of a logistic regression on the two latents whose means differ most."""
    return _balanced(parts, w, "probe_2", "probe_n")


@metric(
    unit="1",
    direction="up",
    formula="mean over problems and their two sides of the share told right, from 5 latents",
    needs=("probe_5", "probe_n"),
    tracks=PROBING,
    source=SOURCE,
    null=CHANCE,
)
def sparse_probe_5(parts: Parts, w: Array) -> Array:
    """Balanced accuracy of a logistic regression on the five latents whose means differ most."""
    return _balanced(parts, w, "probe_5", "probe_n")


@metric(
    unit="1",
    direction="target",
    formula="mean over problems and their two sides of the share told right, from 1 raw dimension",
    needs=("raw_1", "probe_n"),
    tracks=PROBING,
    source=SOURCE,
    null=CHANCE,
)
def raw_probe_1(parts: Parts, w: Array) -> Array:
    """What ``sparse_probe_1`` is on raw dimensions of the activation; the same for every method."""
    return _balanced(parts, w, "raw_1", "probe_n")


@metric(
    unit="1",
    direction="target",
    formula="mean over problems and their two sides of the share told right, from 2 raw dimensions",
    needs=("raw_2", "probe_n"),
    tracks=PROBING,
    source=SOURCE,
    null=CHANCE,
)
def raw_probe_2(parts: Parts, w: Array) -> Array:
    """What ``sparse_probe_2`` is on raw dimensions of the activation; the same for every method."""
    return _balanced(parts, w, "raw_2", "probe_n")


@metric(
    unit="1",
    direction="target",
    formula="mean over problems and their two sides of the share told right, from 5 raw dimensions",
    needs=("raw_5", "probe_n"),
    tracks=PROBING,
    source=SOURCE,
    null=CHANCE,
)
def raw_probe_5(parts: Parts, w: Array) -> Array:
    """What ``sparse_probe_5`` is on raw dimensions of the activation; the same for every method."""
    return _balanced(parts, w, "raw_5", "probe_n")


@metric(
    unit="1",
    direction="target",
    formula="mean over problems and their two sides of the share told right, from all dimensions",
    needs=("raw_all", "probe_n"),
    tracks=PROBING,
    source=SOURCE,
    null=CHANCE,
)
def full_probe(parts: Parts, w: Array) -> Array:
    """Balanced accuracy of a logistic regression on the whole activation: the ceiling; the same for every method."""
    return _balanced(parts, w, "raw_all", "probe_n")


@metric(
    unit="1",
    direction="target",
    formula="as sparse_probe_5, with the labels of groups exchanged",
    needs=("null_hits", "null_n"),
    tracks=PROBING,
    source="ours",
    null=CHANCE,
    # What moves it is which labels are exchanged, not which clusters are drawn.
    interval="none",
)
def probe_null(parts: Parts, w: Array) -> Array:
    """What ``sparse_probe_5`` is where groups have exchanged their labels; away from .5 the track is at fault."""
    return _balanced(parts, w, "null_hits", "null_n")
