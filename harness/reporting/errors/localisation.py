"""Where errors can be told: a probe on each place alone, and without it, beside the same under exchanged labels.

A place is a block of the model at one position. The parts hold what a probe said that was fitted on its features alone
(``alone_p``) and on all others (``removed_p``), ``[answers, places]``, and the same for exchanged labels. The whole
probe may have been fitted once more beside these, with settings like theirs (``whole_p``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.board.pool import Entry
from harness.metrics.contract import Array, Metric, NotComputableError, Parts, get_metric
from harness.reporting.contract import Measure, measure
from harness.reporting.errors.findings import Block, Localisation, Shown
from harness.reporting.errors.places import layers, positions
from harness.reporting.errors.summary import RANKED, family_level, together
from harness.stats.memo import remembered
from harness.stats.paired import difference
from harness.stats.summary import metric_pseudo_values, summarise
from harness.stats.ties import tie_groups

_OWN = ("item_y", "alone_p", "removed_p")
_NULL = ("item_p_null", "item_y_null", "alone_null_p", "removed_null_p")


@dataclass(frozen=True)
class _Side:
    """Parts as ``RANKED`` reads them: of the whole probe, and for every place alone and without it."""

    whole: Parts
    alone: tuple[Parts, ...]
    removed: tuple[Parts, ...]


def localisation(entry: Entry) -> Localisation:
    """Return the table of one row, from its first seed; with a reason and no blocks where it was not measured."""
    parts = next(iter(entry.measured.values()))
    at, names = layers(entry.head), positions(entry.head)
    count = len(at) * len(names)
    whole = "whole_p" if "whole_p" in parts else "item_p"
    own, null = _side(parts, (whole, *_OWN), count), _side(parts, _NULL, count)
    if own is None:
        reason = "no probe was fitted to single places, or the record does not say which places they are"
        return Localisation(entry.label, at, names, (), None, None, reason)
    metric = remembered(get_metric(RANKED))
    informative = _informative(metric, own)
    # Among places that tell nothing none leads.
    leading = _leading(metric, own) if informative else set()
    blocks = tuple(
        Block(
            layer=at[b // len(names)],
            position=names[b % len(names)],
            alone=Shown(_alone(metric, own, b), _alone(metric, null, b)),
            drop=Shown(_drop(metric, own, b), _drop(metric, null, b)),
            above=_counted(parts, "block_above", b),
            top=_counted(parts, "top_block", b),
            leads=None if leading is None else b in leading,
        )
        for b in range(count)
    )
    return Localisation(entry.label, at, names, blocks, informative, _informative(metric, null) if null else None)


def _side(parts: Parts, names: Sequence[str], count: int) -> _Side | None:
    if any(name not in parts for name in names) or count == 0:
        return None
    p_n, y_n, alone_nB, removed_nB = (parts[name] for name in names)
    if alone_nB.shape != (len(y_n), count) or removed_nB.shape != (len(y_n), count):
        return None

    def read(score_n: Array) -> Parts:
        return {**{name: parts[name] for name in ("n", "item_cluster", "item_fold")}, "item_y": y_n, "item_p": score_n}

    return _Side(read(p_n), tuple(map(read, alone_nB.T)), tuple(map(read, removed_nB.T)))


def _alone(metric: Metric, side: _Side | None, place: int) -> Measure:
    if side is None:
        return Measure(None, reason="not measured under exchanged labels")
    return measure(summarise(metric, [side.alone[place]]))


def _drop(metric: Metric, side: _Side | None, place: int) -> Measure:
    if side is None:
        return Measure(None, reason="not measured under exchanged labels")
    return measure(difference(metric, [side.whole], [side.removed[place]]))


def _counted(parts: Parts, name: str, place: int) -> Shown:
    def one(part: str) -> Measure:
        held = parts.get(part)
        if held is None or held.ndim != 1 or place >= len(held):
            return Measure(None, reason="not counted")
        return Measure(float(held[place]))

    return Shown(one(name), one(f"{name}_null"))


def _informative(metric: Metric, side: _Side) -> int:
    """Count the places that tell something, at the level at which all of their bounds hold together."""
    level = family_level(len(side.alone))
    found = [together(metric, summarise(metric, [parts]), [[parts]], level) for parts in side.alone]
    lower = [one.ends[0] for one in found]
    return sum(bound is not None and bound > 0.5 for bound in lower)


def _leading(metric: Metric, side: _Side) -> set[int] | None:
    """Return the places that share the first rank: none of the others is told to be better than they are."""
    try:
        pseudo = {str(place): metric_pseudo_values(metric, [parts]) for place, parts in enumerate(side.alone)}
        ranks = tie_groups(pseudo, "up").rank
    except (NotComputableError, ValueError):
        return None
    return {int(name) for name, rank in ranks.items() if rank == 1}
