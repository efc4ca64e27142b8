"""Where errors can be told: a probe on each block alone, and without it, beside the same under exchanged labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from harness.board.pool import Entry
from harness.metrics.contract import Array, NotComputableError, Parts, clusters
from harness.metrics.items import auroc_in_folds, item_weights
from harness.reporting.contract import Measure, measure
from harness.reporting.errors.findings import Block, Localisation, Shown
from harness.reporting.errors.places import layers, positions
from harness.reporting.errors.summary import family_level
from harness.stats.crossed import pseudo_values
from harness.stats.estimate import Plan
from harness.stats.resample import interval
from harness.stats.ties import tie_groups

_ONE_CLASS = "all answers are right, or all are wrong"
_SINGLE = ("alone_p", "removed_p")
Score = Callable[[Array], Array]


def localisation(entry: Entry) -> Localisation:
    """Return the table of one row, from its first seed; with a reason and no blocks where it was not measured."""
    parts = next(iter(entry.measured.values()))
    at, names = layers(entry.head), positions(entry.head)
    if any(name not in parts for name in _SINGLE):
        return _none(entry, at, names, "the task asks for no metric that fits a probe to each block alone")
    if parts["alone_p"].ndim != 2 or parts["alone_p"].shape[1] != len(at) * len(names):
        return _none(entry, at, names, "the record does not say which blocks and positions its columns are")
    blocks = range(len(at) * len(names))
    alone = [partial(_alone, parts, "", b) for b in blocks]
    leading = _leading(alone, clusters(parts))
    found = tuple(
        Block(
            at[b // len(names)], names[b % len(names)],
            Shown(_measured(parts, alone[b]), _null(parts, b, _alone)),
            Shown(_measured(parts, partial(_drop, parts, "", b)), _null(parts, b, _drop)),
            _counted(parts, "block_above", b), _counted(parts, "top_block", b),
            None if leading is None else b in leading,
        )
        for b in blocks
    )  # fmt: skip
    nulls = [partial(_alone, parts, "_null", b) for b in blocks] if _has_null(parts) else None
    informative_null = None if nulls is None else _informative(parts, nulls)
    return Localisation(entry.label, at, names, found, _informative(parts, alone), informative_null)


def _none(entry: Entry, at: tuple[str, ...], names: tuple[str, ...], reason: str) -> Localisation:
    return Localisation(entry.label, at, names, (), None, None, reason)


def _auroc(parts: Parts, score_n: Array, label: str, w: Array) -> Array:
    wrong_n = parts[label] > 0
    return auroc_in_folds(score_n, wrong_n, parts["item_fold"], item_weights(parts, w, "item_cluster"), _ONE_CLASS)


def _alone(parts: Parts, suffix: str, block: int, w: Array) -> Array:
    name = f"alone{suffix}_p"
    return _auroc(parts, parts[name][:, block], f"item_y{suffix}", w)


def _drop(parts: Parts, suffix: str, block: int, w: Array) -> Array:
    whole = _auroc(parts, parts[f"item_p{suffix}"], f"item_y{suffix}", w)
    return whole - _auroc(parts, parts[f"removed{suffix}_p"][:, block], f"item_y{suffix}", w)


def _has_null(parts: Parts) -> bool:
    return all(name in parts for name in ("alone_null_p", "removed_null_p", "item_p_null", "item_y_null"))


def _measured(parts: Parts, statistic: Score, level: float = 0.95) -> Measure:
    return measure(interval(statistic, clusters(parts), Plan(level=level)))


def _null(parts: Parts, block: int, score: Callable[[Parts, str, int, Array], Array]) -> Measure:
    if not _has_null(parts):
        return Measure(None, reason="not measured under exchanged labels")
    return _measured(parts, partial(score, parts, "_null", block))


def _counted(parts: Parts, name: str, block: int) -> Shown:
    def one(part: str) -> Measure:
        held = parts.get(part)
        if held is None or held.ndim != 1 or block >= len(held):
            return Measure(None, reason="not counted")
        return Measure(float(held[block]))

    return Shown(one(name), one(f"{name}_null"))


def _informative(parts: Parts, scores: Sequence[Score]) -> int:
    """Count the blocks that tell something, at the level at which all of their bounds hold together."""
    level = family_level(len(scores))
    found = [_measured(parts, score, level) for score in scores]
    return sum(one.lo is not None and one.lo > 0.5 for one in found)


def _leading(scores: Sequence[Score], count: int) -> set[int] | None:
    """Return the blocks that share the first rank: none of the others is told to be better than they are."""

    def of_seed(score: Score, w: Array) -> Array:
        return score(w)[None]

    try:
        pseudo = {str(b): pseudo_values(partial(of_seed, score), count) for b, score in enumerate(scores)}
        if not all(np.isfinite(values).all() for values in pseudo.values()):
            return None
    except (NotComputableError, ValueError):
        return None
    return {int(name) for name, rank in tie_groups(pseudo, "up").rank.items() if rank == 1}
