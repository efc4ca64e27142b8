"""Who is ranked, and how: only matched methods with enough seeds, and only as far as the evidence separates them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.board.pool import Entry
from harness.metrics.contract import Array, Metric, NotComputableError
from harness.metrics.sparsity import l0
from harness.stats.summary import metric_pseudo_values, obstacle
from harness.stats.ties import TieGroups, grouped, tie_groups, welch_holm

# A trained method varies between seeds by as much as methods differ; below this its mean is not worth a rank.
SEEDS = 3
# Reconstruction is compared at equal sparsity.
L0_BAND = 0.05


def unranked(entry: Entry, target: float | None) -> str | None:
    """Return why no metric ranks the entry, or None where it is matched and has its seeds."""
    return seeds_missing(entry) or _l0_unmatched(entry, target)


def seeds_missing(entry: Entry) -> str | None:
    """Return why the seeds of an entry are no ground for a rank, or None where they are."""
    failed = [seed.seed for seed in entry.seeds if seed.status == "failed"]
    if failed:
        # A mean over the seeds that survived would flatter a method that is unstable.
        return f"seed {', '.join(map(str, failed))} failed"
    count = len(entry.measured)
    if (entry.head.method.seeded or entry.role == "derived") and count < SEEDS:
        return f"{count} of the {SEEDS} seeds a rank needs"
    return None


def _l0_unmatched(entry: Entry, target: float | None) -> str | None:
    measured = list(entry.measured.values())
    if any("l0" not in parts for parts in measured):
        return None  # a track that has no codes
    if target is None:
        return "the task sets no L0 to match"
    try:
        found = float(np.mean([l0(parts, np.ones(parts["n"].size)) for parts in measured]))
    except NotComputableError as error:
        return f"its L0 has no value: {error}"
    if abs(found - target) <= L0_BAND * target * (1 + 1e-12):
        return None
    side = "above" if found > target else "below"
    off = 100 * abs(found - target) / target
    return f"L0 {found:.3g} is {off:.0f} % {side} the target of {target:g}; ranks need 5 %"


def ranks(metric: Metric, entries: Sequence[Entry]) -> dict[tuple[str, str, str], int]:
    """Return the rank of each entry that can be ranked under a metric; entries that cannot be told apart share one."""
    if metric.direction == "target" or metric.interval == "none":
        return {}
    found = _by_seeds(metric, entries) if metric.interval == "seeds" else _by_clusters(metric, entries)
    keys = {str(number): entry.key for number, entry in enumerate(entries)}
    return {keys[name]: rank for name, rank in found.rank.items()}


def _by_clusters(metric: Metric, entries: Sequence[Entry]) -> TieGroups:
    pseudo: dict[str, Array] = {}
    for number, entry in enumerate(entries):
        measured = list(entry.measured.values())
        if obstacle(metric, measured) is not None:
            continue  # parts that this entry does not have, for one
        try:
            values = metric_pseudo_values(metric, measured)
        except (NotComputableError, ValueError):
            continue  # the score says why it has no value; with one cluster nothing can be told apart
        if np.isfinite(values).all():
            pseudo[str(number)] = values
    return tie_groups(pseudo, "up" if metric.sign > 0 else "down")


def _by_seeds(metric: Metric, entries: Sequence[Entry]) -> TieGroups:
    values: dict[str, Array] = {}
    for number, entry in enumerate(entries):
        points = [metric.point(parts)[0] for parts in entry.measured.values()]
        if all(point is not None for point in points):
            values[str(number)] = np.array(points, dtype=np.float64)
    means = np.array([metric.sign * float(value.mean()) for value in values.values()])
    return grouped(list(values), means, welch_holm(list(values.values())))
