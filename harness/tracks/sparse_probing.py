"""Track ``sparse_probing``: codes averaged over a document, and a logistic regression on the few that tell its label.

Every unit is one batch of test sequences; what is kept of it are sums per document. Probes are fitted when all units
are there, by grouped folds over the test documents, so the split that dictionaries are fitted on is not used twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api import Dictionary, Method, Train
from harness.data.tokens import TokenBatch
from harness.errors import CellError, UserError
from harness.lm.filling import piece_ids
from harness.metrics.contract import Parts
from harness.tracks.coding import codes, unmatched
from harness.tracks.contract import Group, Measured, Resources
from harness.tracks.foreign import dictionary, each
from harness.tracks.site_track import SiteTrack
from harness.tracks.sparse_probes import FOLDS, Floats, Labelled, counts, permuted, probe
from harness.tracks.sums import Clusters, Contribution

KS = (1, 2, 5)
# Labels are exchanged this often, and each time probed with the largest k.
PERMUTATIONS = 10


class SparseProbing(SiteTrack):
    """Measures dictionaries by what few of their latents say about a document."""

    def __init__(self, group: Group, resources: Resources) -> None:
        super().__init__(group, resources)
        self._raw: dict[str, Floats] | None = None

    def train(self) -> Train:
        """Return activations of the train and validation splits; raises ``UserError`` where labels leave no choice."""
        if len(self._labels[0]) < 2:
            found = ", ".join(f"{label} in {n}" for label, n in self._labels[1].items()) or "none"
            raise UserError(
                f"task '{self.task.spec.task}': two values of its label must occur in {FOLDS} groups of the test "
                f"documents each; found: {found}."
            )
        return super().train()

    @cached_property
    def _labels(self) -> tuple[dict[str, int], Counter[str]]:
        """The labels that occur in enough groups, numbered, and in how many groups each label occurs."""
        documents = self.group.corpus.splits["test"]
        measured = {doc for batch in self.site.test.batches for doc in batch.doc_BT[batch.keep_BT].tolist()}
        pairs = {(d.label, d.group) for i, d in enumerate(documents) if i in measured and d.label is not None}
        groups = Counter(label for label, _ in sorted(pairs))
        return {label: i for i, label in enumerate(sorted(x for x, n in groups.items() if n >= FOLDS))}, groups

    @torch.no_grad()
    def measure(self, unit: int, methods: Mapping[str, Method]) -> dict[str, Contribution | CellError]:
        """Run the lower blocks once on one batch, and every method on what they give."""
        batch = self.site.test.batches[unit]
        x_BTD = self.site.read(batch)
        batch = self.site.mask(batch, x_BTD)
        x_ND = x_BTD[batch.keep_BT].float()
        shared = self._shared(x_ND, batch)
        return each(
            methods, dictionary, self.task.spec.track, lambda _, method: {**shared, **_codes(method, x_ND, batch)}
        )

    def _shared(self, x_ND: Tensor, batch: TokenBatch) -> Contribution:
        """Return tokens per cluster, and tokens, cluster and summed activation of each document."""
        documents, cluster_N = Clusters(batch.doc_BT[batch.keep_BT]), batch.cluster_BT[batch.keep_BT]
        clusters = Clusters(cluster_N)
        tokens_K = documents.sum(torch.ones(x_ND.shape[0]))
        return {
            "ids": clusters.ids_K.numpy(),
            "n": clusters.sum(torch.ones(x_ND.shape[0])),
            "doc": documents.ids_K.numpy(),
            "doc_n": tokens_K,
            # Every token of a document is of one cluster.
            "doc_cluster": np.rint(documents.sum(cluster_N) / tokens_K).astype(np.int64),
            "doc_x": documents.sum(x_ND).astype(np.float32),
        }

    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Average over documents, probe, and count what was right per cluster."""
        clusters = self.site.test.clusters
        parts = {name: np.zeros(clusters) for name in ("n", "l0")}
        contributions = list(contributions)
        for c in contributions:
            for name, total in parts.items():
                np.add.at(total, c["ids"], c[name])
        data, kept, pooled = self._documents(contributions, clusters)
        hits = probe(pooled["doc_z"], data, KS)
        parts |= {f"probe_{k}": hits[k] for k in KS} | {"probe_n": counts(data)} | self._null(pooled["doc_z"], data)
        if self._raw is None:
            # The same for every method of the group.
            raw = probe(pooled["doc_x"], data, (*KS, None))
            self._raw = {f"raw_{'all' if k is None else k}": value for k, value in raw.items()}
        parts |= self._raw
        details = {"tokens": float(parts["n"].sum()), "documents": float(kept.sum()), "labels": float(data.classes)}
        return Measured(parts, details)

    def _null(self, z_nF: Floats, data: Labelled) -> dict[str, Floats]:
        drawn = [permuted(data, seed) for seed in range(PERMUTATIONS)]
        hits = sum((probe(z_nF, one, KS[-1:])[KS[-1]] for one in drawn[1:]), probe(z_nF, drawn[0], KS[-1:])[KS[-1]])
        return {"null_hits": hits, "null_n": sum((counts(one) for one in drawn[1:]), counts(drawn[0]))}

    def _documents(
        self, contributions: Sequence[Contribution], clusters: int
    ) -> tuple[Labelled, NDArray[np.bool_], dict[str, Floats]]:
        """Return labels, which documents have one, and per document the mean code and activation of those that do."""
        documents, (label_of, _) = self.group.corpus.splits["test"], self._labels
        tokens_n, cluster_n = np.zeros(len(documents)), np.zeros(len(documents), dtype=np.int64)
        for c in contributions:
            np.add.at(tokens_n, c["doc"], c["doc_n"])
            cluster_n[c["doc"]] = c["doc_cluster"]
        y_n = np.array([label_of.get(d.label, -1) if d.label is not None else -1 for d in documents])
        kept = (y_n >= 0) & (tokens_n > 0)
        row_n = np.cumsum(kept) - 1
        pooled = {}
        for name in ("doc_z", "doc_x"):
            total = np.zeros((int(kept.sum()), contributions[0][name].shape[1]))
            for c in contributions:
                inside = kept[c["doc"]]
                np.add.at(total, row_n[c["doc"][inside]], c[name][inside])
            pooled[name] = total / tokens_n[kept, None]
        return Labelled(y_n[kept], cluster_n[kept], len(label_of), clusters), kept, pooled

    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Say what fell short of the budget, which labels are too rare to probe, and whether L0 missed its target."""
        numbered, groups = self._labels
        rare = sorted(set(groups) - set(numbered))
        notes = [f"labels in fewer than {FOLDS} groups are left out: {', '.join(rare)}"] if rare else []
        return [*self.site.notes(), *notes, *(unmatched(parts, self.task.budget.l0) if contestant else [])]


def _codes(method: Dictionary, x_ND: Tensor, batch: TokenBatch) -> Contribution:
    """Return summed folded codes of each document, and active latents per cluster (shared ones left out)."""
    doc_N = piece_ids(batch).to(x_ND.device)
    norm_F = method.directions().norm(dim=1).to(x_ND.device)
    kept_N = batch.doc_BT[batch.keep_BT]
    ids_K = Clusters(kept_N).ids_K
    total_KF, l0 = np.zeros((len(ids_K), len(norm_F))), []
    for rows, z_NF in codes(method, x_ND, doc_N):
        documents = Clusters(kept_N[rows])
        total_KF[torch.searchsorted(ids_K, documents.ids_K).numpy()] += documents.sum(z_NF * norm_F)
        l0.append((z_NF[:, method.shared :] != 0).sum(1))
    clusters = Clusters(batch.cluster_BT[batch.keep_BT])
    return {"doc_z": total_KF.astype(np.float32), "l0": clusters.sum(torch.cat(l0))}


TRACK = SparseProbing
