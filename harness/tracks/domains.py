"""Track ``domains``: does the code of a document tell its class, the ``label`` of the task?

Beside everything that ``reconstruction`` measures, each document leaves its shared code (where the dictionary has one,
as it stands at the last token), the mean of its token codes, and the mean of its activations. Linear probes on them are
fitted and tested across groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api import Dictionary, Method, Train
from harness.data.splits import Document
from harness.data.tokens import TokenBatch
from harness.errors import CellError, UserError
from harness.lm.filling import piece_ids
from harness.metrics.contract import Parts
from harness.tracks.coding import codes
from harness.tracks.contract import Measured
from harness.tracks.linear_probes import FEWEST_GROUPS, Labelled, class_scores, labelled, permuted, regression_errors
from harness.tracks.reconstruction import Reconstruction
from harness.tracks.sums import Contribution

Floats = NDArray[np.float64]
OWN = "doc_"


class Domains(Reconstruction):
    """Measures dictionaries by what their codes of whole documents tell."""

    def train(self) -> Train:
        """Return what methods are fitted on; raises ``UserError`` where the test documents have too few classes."""
        classes, _ = self._classes([d.label for d in self._documents], [d.group for d in self._documents])
        if len(classes) < 2:
            raise UserError(
                f"task '{self.task.spec.task}': track 'domains' needs a 'label' with two classes of at least "
                f"{FEWEST_GROUPS} groups in the test split, got {', '.join(classes) or 'none'}."
            )
        return super().train()

    @property
    def _documents(self) -> Sequence[Document]:
        return self.group.corpus.splits["test"]

    def measure_batch(
        self, batch: TokenBatch, x_BTD: Tensor, methods: Mapping[str, Method]
    ) -> dict[str, Contribution | CellError]:
        """Add to the parts of ``reconstruction`` what each document of the batch leaves behind."""
        results = super().measure_batch(batch, x_BTD, methods)
        if int(batch.tier_B[0]) > 1:
            return results
        x_ND, doc_N = x_BTD[batch.keep_BT].float(), piece_ids(batch).to(x_BTD.device)
        of_document = _Pooled(doc_N)
        shared = {
            f"{OWN}id": of_document.last(batch.doc_BT[batch.keep_BT]),
            f"{OWN}cluster": of_document.last(batch.cluster_BT[batch.keep_BT]),
            f"{OWN}raw": of_document.mean(x_ND),
        }
        for name, method in methods.items():
            own = results[name]
            if isinstance(method, Dictionary) and isinstance(own, dict):
                own.update(shared)
                for rows, z_NF in codes(method, x_ND, doc_N):
                    pooled = _Pooled(doc_N[rows])
                    for key, value in (
                        (f"{OWN}shared", pooled.last(z_NF[:, : method.shared])),
                        (f"{OWN}unique", pooled.mean(z_NF[:, method.shared :])),
                    ):
                        own[key] = np.concatenate([own[key], value]) if key in own else value
        return results

    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Add the parts of ``reconstruction`` up, and probe the documents."""
        contributions = list(contributions)
        rest = [{name: part for name, part in c.items() if not name.startswith(OWN)} for c in contributions]
        measured = super().reduce(rest)
        mine = [c for c in contributions if f"{OWN}id" in c]
        of = {name: np.concatenate([c[name] for c in mine]) for name in mine[0] if name.startswith(OWN)}
        documents = [self._documents[i] for i in of[f"{OWN}id"]]
        classes, label_n = self._classes([d.label for d in documents], [d.group for d in documents])
        keep_n = label_n >= 0
        of = {name: part[keep_n] for name, part in of.items()}
        counts = np.bincount(label_n[keep_n], minlength=len(classes))
        details = {f"documents of {name}": float(count) for name, count in zip(classes, counts, strict=True)}
        clusters = len(measured.parts["n"])
        probes = self._probes(of, labelled(label_n[keep_n], of[f"{OWN}cluster"]), clusters) if len(classes) > 1 else {}
        return replace(measured, parts=measured.parts | probes, details=measured.details | details)

    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Say too which classes have too few groups to be told apart."""
        documents = [d for d in self._documents if d.label is not None]
        classes, _ = self._classes([d.label for d in documents], [d.group for d in documents])
        absent = sorted({str(d.label) for d in documents} - set(classes))
        few = f"left out for fewer than {FEWEST_GROUPS} groups among the test documents: {', '.join(absent)}"
        return [*super().warnings(parts, contestant), *([few] if absent else [])]

    def _probes(self, of: Mapping[str, NDArray[np.float64]], items: Labelled, clusters: int) -> dict[str, Floats]:
        """Return the parts of every probe; a dictionary without a shared code is probed by its mean token code."""
        unique, shared = of[f"{OWN}unique"].astype(np.float64), of[f"{OWN}shared"].astype(np.float64)
        null = permuted(items)
        unique_scores = class_scores(unique, items, self._progress("mean token codes"))
        found = {"unique_scores": unique_scores, "code_scores": unique_scores}
        if shared.shape[1]:
            found["shared_scores"] = found["code_scores"] = class_scores(shared, items, self._progress("shared codes"))
        code = shared if shared.shape[1] else unique
        error_n, total_n = regression_errors(unique, of[f"{OWN}raw"].astype(np.float64), items)
        return {
            **found,
            "exchanged_scores": class_scores(code, null, self._progress("permuted labels")),
            "exchanged_label": null.label_n.astype(np.float64),
            "doc_label": items.label_n.astype(np.float64),
            "doc_fold": items.fold_n.astype(np.float64),
            "doc_cluster": of[f"{OWN}cluster"].astype(np.float64),
            "doc_map": flat_map(code),
            "leak_se": _per_cluster(error_n, items.group_n, clusters),
            "leak_total": _per_cluster(total_n, items.group_n, clusters),
        }

    def _progress(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.resources.progress(f"probing {what}", done, total)

    def _classes(self, labels: Sequence[str | None], groups: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
        """Return the classes of enough groups, sorted, and the class of each document, -1 where it has none of them."""
        groups_of: dict[str, set[str]] = defaultdict(set)
        for label, group in zip(labels, groups, strict=True):
            if label is not None:
                groups_of[label].add(group)
        classes = sorted(label for label, own in groups_of.items() if len(own) >= FEWEST_GROUPS)
        number = {label: i for i, label in enumerate(classes)}
        return classes, np.array([-1 if label is None else number.get(label, -1) for label in labels], dtype=np.int64)


def _per_cluster(value_n: Floats, cluster_n: NDArray[np.int64], clusters: int) -> Floats:
    return np.bincount(cluster_n, value_n, clusters).astype(np.float64)


class _Pooled:
    """Pools rows by document; the rows of one are adjacent."""

    def __init__(self, doc_N: Tensor) -> None:
        _, self.length_C = torch.unique_consecutive(doc_N, return_counts=True)

    def mean(self, value_NX: Tensor) -> NDArray[np.float32]:
        """Return the mean over the rows of each document, float32 ``[C, X]``."""
        mean_CX = torch.segment_reduce(value_NX.double(), "mean", lengths=self.length_C.to(value_NX.device))
        result: NDArray[np.float32] = mean_CX.float().cpu().numpy()
        return result

    def last(self, value_N: Tensor) -> NDArray[np.float32]:
        """Return the last row of each document."""
        result: NDArray[np.float32] = value_N[(self.length_C.cumsum(0) - 1).to(value_N.device)].cpu().numpy()
        return result


def flat_map(code_nF: Floats) -> Floats:
    """Return the codes on their first two principal axes, features at equal variance, ``[n, 2]``."""
    spread_F = code_nF.std(0)
    alive_F = spread_F > 1e-9 * max(float(spread_F.max(initial=0.0)), 1e-300)
    scaled = (code_nF[:, alive_F] - code_nF[:, alive_F].mean(0)) / spread_F[alive_F]
    if scaled.shape[1] < 2:
        return np.pad(scaled, ((0, 0), (0, 2 - scaled.shape[1])))
    left, size, _ = np.linalg.svd(scaled, full_matrices=False)
    axes = left[:, :2] * size[:2]
    # an axis's sign is arbitrary: its largest entry is made positive
    return np.asarray(axes * np.sign(axes[np.abs(axes).argmax(0), [0, 1]]), dtype=np.float64)


TRACK = Domains
