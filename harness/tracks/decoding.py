"""Track ``decoding``: how well is the model's next-token distribution predicted from one block of it?

One pass through the model gives what decoders read and what the model itself predicts; every decoder is held against
the same predictions, over the task's vocabulary. Every unit is one batch of test sequences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from harness.api import Method, Train
from harness.data.tokens import TokenBatch
from harness.errors import CellError
from harness.metrics.contract import SUBVOCAB, Parts
from harness.tracks.contract import Group, Measured, Resources
from harness.tracks.foreign import next_token
from harness.tracks.next_tokens import Predictions
from harness.tracks.predicted import COLUMNS, ModelSaid, Told, part_of, tell
from harness.tracks.site_track import SiteTrack
from harness.tracks.sums import Clusters, Contribution, scatter, whole_documents

# Arrays of the size of the predictions that are held at once, where documents are run together.
_ARRAYS = 8


class Decoding(SiteTrack):
    """Measures decoders against the model's own predictions."""

    def __init__(self, group: Group, resources: Resources) -> None:
        super().__init__(group, resources)
        self.predictions = Predictions(self.site)

    @property
    def vocabulary(self) -> int:
        """``V``."""
        return self.predictions.size

    @cached_property
    def _train(self) -> Train:
        return self.predictions.train()

    @torch.no_grad()
    def measure(self, unit: int, methods: Mapping[str, Method]) -> dict[str, Contribution | CellError]:
        """Run the model once on one batch, and every decoder on what it gave."""
        batch, read, last_ND = self.predictions.read(self.site.test.batches[unit])
        gold_N = self.predictions.gold(batch)
        told: dict[str, list[Told]] = {name: [] for name in methods}
        failed: dict[str, Contribution | CellError] = {}
        model: list[Tensor] = []
        for rows in whole_documents(read.doc_N, _ARRAYS * self.vocabulary):
            own = ModelSaid.of(self.predictions.unembedding.logp(last_ND[rows]), gold_N[rows])
            model.append(own.told())
            here = part_of(read, rows)
            for name in [name for name in methods if name not in failed]:
                try:
                    told[name].append(tell(next_token(methods[name], self.task.spec.track), here, own))
                except CellError as error:
                    failed[name] = error
                except Exception as error:  # a method is foreign code
                    failed[name] = CellError(f"measuring raised {type(error).__name__}: {error}")
        shared = self._shared(batch, torch.cat(model))
        return {name: failed.get(name) or {**shared, **self._own(batch, told[name])} for name in methods}

    def _shared(self, batch: TokenBatch, model_N2: Tensor) -> Contribution:
        """Return the sums per cluster that depend on the model alone."""
        keep_BT, suffix = batch.keep_BT, self._suffix
        clusters, targets, counts_N = _clusters(batch)
        return {
            "ids": clusters.ids_K.numpy(),
            "n": clusters.sum(torch.ones(int(keep_BT.sum()))),
            "n_kl": clusters.sum(torch.ones(int(keep_BT.sum()))),
            "n_gold": targets.sum(torch.ones(int(counts_N.sum()))),
            f"entropy_model{suffix}": clusters.sum(model_N2[:, 0]),
            f"gold_model{suffix}": targets.sum(model_N2[counts_N, 1]),
            **{f"ids_{name}": targets.ids_K.numpy() for name in ("n_gold", f"gold{suffix}", f"gold_model{suffix}")},
        }

    def _own(self, batch: TokenBatch, told: Sequence[Told]) -> Contribution:
        """Return the sums per cluster of one decoder."""
        clusters, targets, counts_N = _clusters(batch)
        value_NK = torch.cat([one.value_NK for one in told])
        found = {name: clusters.sum(value_NK[:, i]) for i, name in enumerate(COLUMNS)}
        found["gold"] = targets.sum(value_NK[counts_N, len(COLUMNS)])
        seconds = np.array([sum(one.seconds for one in told)])
        return {**{f"{name}{self._suffix}": value for name, value in found.items()}, "seconds": seconds}

    @property
    def _suffix(self) -> str:
        """What the names of parts end in, so that predictions over some tokens never pass for those over all."""
        return "" if self.task.fit.spec.vocab is None else SUBVOCAB

    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Add all units up."""
        contributions = list(contributions)
        names = sorted({n for c in contributions for n in c if not n.startswith("ids") and n != "seconds"})
        parts = {name: scatter(contributions, name, self.site.test.clusters) for name in names}
        tokens = float(parts["n"].sum())
        details = {
            "tokens": tokens,
            "targets": float(parts["n_gold"].sum()),
            "vocabulary": float(self.vocabulary),
            "tokens per second": tokens / max(sum(float(c["seconds"][0]) for c in contributions), 1e-9),
            "entropy of the model": float(parts[f"entropy_model{self._suffix}"].sum()) / tokens,
        }
        if self._suffix:
            details["share of OTHER"] = self._other
        keep = self.group.parts | {"n"}
        return Measured({name: value for name, value in parts.items() if name in keep}, details)

    @cached_property
    def _other(self) -> float:
        """Share of the text's next tokens that the task does not tell apart."""
        gold = torch.cat([self.predictions.gold(batch) for batch in self.site.test.batches])
        return float((gold[gold >= 0] == self.vocabulary - 1).double().mean())

    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Say what fell short of the budget."""
        return list(self.site.notes())


def _clusters(batch: TokenBatch) -> tuple[Clusters, Clusters, Tensor]:
    """Return the clusters of all tokens, those of tokens that text follows, and which those are."""
    cluster_N, counts_N = batch.cluster_BT[batch.keep_BT], batch.target_BT[batch.keep_BT]
    return Clusters(cluster_N), Clusters(cluster_N[counts_N]), counts_N


TRACK = Decoding
