"""Intervals of a difference of two shares of right answers to the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.metrics.contract import Array, Parts
from harness.stats.crossed import crossed_se, pseudo_values, t_interval
from harness.stats.estimate import Estimate, Plan


def share_change(parts_by_seed: Sequence[Parts], names: tuple[str, str], plan: Plan | None = None) -> Estimate:
    """Return ``(after - before) / n``, the mean over seeds, with an interval that holds where few answers change.

    Resampling cannot draw a change that was not seen: of 100 questions that lose 3 points, one in five samples shows
    one change or none, and its interval says that fewer than 3 points are lost. So two clusters more are counted for
    the interval, of mean size, in one of which every answer turns right and in the other wrong (Bonett and Price
    2012, Journal of Educational and Behavioral Statistics 37, who add one item to each kind of change). It then is the
    crossed t interval over seeds and clusters, cut at -1 and 1.

    Args:
        parts_by_seed: parts of each seed, all on the same clusters; ``n`` counts items.
        names: the parts that count right answers after and before.
        plan: its level is used.
    """
    plan = plan or Plan()
    after_SC, before_SC, n_SC = (np.stack([parts[name] for parts in parts_by_seed]) for name in (*names, "n"))
    size_S1 = n_SC.mean(1, keepdims=True)
    change_SC, n_SC = np.hstack([after_SC - before_SC, size_S1, -size_S1]), np.hstack([n_SC, size_S1, size_S1])

    def of_seeds(w: Array) -> Array:
        # w [..., C] to [S, ...]
        return np.asarray(np.moveaxis((w @ change_SC.T) / (w @ n_SC.T), -1, 0), dtype=np.float64)

    clusters = n_SC.shape[1]
    pseudo_SC = pseudo_values(of_seeds, clusters)
    found = t_interval(float(of_seeds(np.ones(clusters)).mean()), *crossed_se(pseudo_SC), pseudo_SC, plan)
    seen_S = (after_SC - before_SC).sum(1) / n_SC[:, :-2].sum(1)
    value, seeds = float(seen_S.mean()), len(seen_S)
    return replace(
        found,
        value=value,
        lo=None if found.lo is None else max(-1.0, min(found.lo, value)),
        hi=None if found.hi is None else min(1.0, max(found.hi, value)),
        how="adjusted-t",
        clusters=clusters - 2,
        seed_sd=float(seen_S.std(ddof=1)) if seeds > 1 else None,
    )
