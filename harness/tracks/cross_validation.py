"""Whether a probe tells which answers are wrong: fitted on the other folds, it judges each fold in turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api import ErrorProbe, Features
from harness.metrics.contract import Parts
from harness.metrics.error_kinds import kind_recall
from harness.tracks.causal import ORDERED as CAUSAL
from harness.tracks.causal import causal_details, causal_parts
from harness.tracks.contract import Contribution
from harness.tracks.error_kinds import Kinds
from harness.tracks.folds import Floats, Judged, control_parts, fold_parts, joined_parts, leak_parts
from harness.tracks.study import Found, Study
from harness.training.logistic import OUTER

# Parts with a row for each answer, in the order of ``index``; of kinds and of confidence where they are asked for.
BY_ANSWER = (
    *("item_y", "item_p", "item_prior", "control_p", "control_prior"),
    *("kind_p", "kind_prior", "confidence_p", "joined_p"),
)
# Parts with a row for each answer that another index names.
BY_OTHERS = {"leak_index": ("leak_p", "leak_prior"), "causal_index": CAUSAL}
BY_FOLD = ("train_right", "train_n", "causal_why")


class CrossValidation(Study):
    """Fits every probe anew in each outer fold, groups whole."""

    @property
    def steps(self) -> tuple[str, ...]:
        """One for each fold."""
        return tuple(f"fold {fold}" for fold in range(OUTER))

    def measure(self, step: int, probe: ErrorProbe, features: Features, items: Judged) -> Contribution:
        """Return what the probe says of one fold's answers; what costs more fits, where it is asked for.

        Of a null the fold alone: selectivity, leaks and what confidence lacks are questions to its probe.
        """
        reader, wanted = self.asked.reader, self.asked.wanted
        parts: Contribution = {**fold_parts(probe, features, items, step)}
        if probe.null:
            return parts
        if "control_p" in wanted:
            parts |= control_parts(probe, features, items, step)
        if "leak_p" in wanted:
            parts |= leak_parts(probe, features, items, step)
        if "joined_p" in wanted:
            parts |= joined_parts(probe, features, reader.answers.confidence_nK, items, step, parts["item_p"])
        if "causal_top" in wanted:
            parts |= causal_parts(reader, features, items, step)
        return parts

    def reduce(self, contributions: Sequence[Contribution]) -> Found:
        """Put the folds' answers back into order."""
        items = self.asked.items
        parts = _ordered(contributions, "index", BY_ANSWER)
        for index, names in BY_OTHERS.items():
            parts |= _ordered(contributions, index, names)
        whole = [name for name in BY_FOLD if name in contributions[0]]
        parts |= {name: np.concatenate([c[name] for c in contributions]) for name in whole}
        parts |= {
            "n": np.bincount(items.group_n).astype(np.float64),
            "item_cluster": items.group_n.astype(np.float64),
            "item_fold": items.fold_n.astype(np.float64),
            "control_y": items.control_n.astype(np.float64),
            **self._authors(),
        }
        details = {"answers": float(len(items.y_n)), "wrong": float(parts["item_y"].sum())}
        details |= causal_details(contributions)
        if items.kinds is not None:
            parts["item_kind"] = items.kinds.kind_n.astype(np.float64)
            details |= _recalls(parts, items.kinds) if "kind_p" in parts else {}
        return Found(parts, details)

    def _authors(self) -> dict[str, Floats]:
        author_n = np.unique([str(author) for author in self.asked.reader.answers.author], return_inverse=True)[1]
        return {"item_author": author_n.astype(np.float64)}


def _ordered(contributions: Sequence[Contribution], index: str, names: Sequence[str]) -> dict[str, Floats]:
    """Return the named parts that there are, rows in the order of the answers."""
    there = [name for name in names if name in contributions[0]]
    if not there:
        return {}
    order = np.argsort(np.concatenate([c[index] for c in contributions]))
    return {name: np.concatenate([c[name] for c in contributions])[order] for name in there}


def _recalls(parts: Parts, kinds: Kinds) -> dict[str, float]:
    """Return the answers of each kind and the share of them that is told, by name, where the probe tells kinds."""
    return {
        f"{what} {name}": value
        for kind, name in enumerate(kinds.names)
        for what, value in (
            ("answers:", float((kinds.kind_n == kind).sum())),
            ("recall:", float(kind_recall(parts, np.ones(len(parts["n"])), kind))),
        )
    }
