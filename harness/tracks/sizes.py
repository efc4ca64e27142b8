"""How far apart wrong and right answers lie in every feature, beside what exchanged labels give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api import ErrorProbe, Features
from harness.stats.many_effects import BY_BLOCK, each_auroc, effect_sizes, fire_gap
from harness.tracks.contract import Contribution
from harness.tracks.folds import Judged
from harness.tracks.study import Found, Study

# One row for each feature.
COLUMNS = ("block", "cohens_d", "hedges_g", "auroc", "fire_gap")


class EffectSizes(Study):
    """Effect sizes of what a probe reads, on all answers at once: nothing is fitted."""

    @property
    def steps(self) -> tuple[str, ...]:
        """One."""
        return ("effect sizes",)

    def measure(self, step: int, probe: ErrorProbe, features: Features, items: Judged) -> Contribution:
        """Return the effect size of every feature, and what the largest come to under exchanged labels.

        Nothing of a null: it reads what its probe reads, and the labels are the same.
        """
        if probe.null:
            return {}
        value_nF, y_n = features.value_nF, items.y_n
        found = effect_sizes(value_nF, y_n, items.group_n)
        by_block = found.by_block(features.block_F, self.asked.places) if (features.block_F >= 0).any() else {}
        return {
            "block": features.block_F,
            "cohens_d": found.d,
            "hedges_g": found.g,
            "auroc": each_auroc(value_nF, y_n),
            "fire_gap": fire_gap(value_nF, y_n),
            "threshold": np.array([found.threshold]),
            "null": found.null,
            "top": np.array([np.abs(np.nan_to_num(found.d[found.top])).mean(), found.null_top.mean()]),
            **by_block,
        }

    def reduce(self, contributions: Sequence[Contribution]) -> Found:
        """Return the largest effect, how many lie above the threshold, and the table."""
        (sizes,) = contributions
        if not sizes:
            return Found({})
        size_F, threshold = np.abs(np.nan_to_num(sizes["cohens_d"])), float(sizes["threshold"][0])
        parts = {
            "d_max": np.array([size_F.max(initial=0.0)]),
            "d_null": sizes["null"],
            "d_above": np.array([float((size_F > threshold).sum())]),
            **{name: sizes[name] for name in BY_BLOCK if name in sizes},
        }
        details = {
            "features": float(len(size_F)),
            "threshold of |d|": threshold,
            "mean of the largest |d|": float(sizes["top"][0]),
            "mean of the largest |d|, labels exchanged": float(sizes["top"][1]),
        }
        return Found(parts, details, {name: sizes[name] for name in COLUMNS})
