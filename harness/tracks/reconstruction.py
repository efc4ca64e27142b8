"""Track ``reconstruction``: codes stand in for activations; what is lost in the activation and in the predictions?

Every unit is one batch of test sequences. Tier 0 sequences are spliced, measured and counted for density; tier 1 are
measured and counted; tier 2 are only counted (density needs more tokens than a test split has).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api import Dictionary, Method
from harness.data.tokens import TokenBatch
from harness.errors import CellError
from harness.lm.filling import piece_ids
from harness.metrics.contract import Parts
from harness.tracks.coding import energies, errors, l0_quantiles, run, unmatched
from harness.tracks.contract import Measured
from harness.tracks.duplicates import duplicates
from harness.tracks.foreign import dictionary
from harness.tracks.site_track import SiteTrack
from harness.tracks.splicing import Splicer
from harness.tracks.sums import Clusters, Contribution, add_counts, scatter

_VECTORS = {"sx": "x_gram", "sx_in": "x_gram_in", "sx_e": "e_gram"}
_COUNTS = ("fires", "l0_hist", "n_density", "duplicates")
_ABLATIONS = ("ce_zero", "ce_mean", "kl_zero")


class Reconstruction(SiteTrack):
    """Measures dictionaries by what their reconstructions keep."""

    @torch.no_grad()
    def measure(self, unit: int, methods: Mapping[str, Method]) -> dict[str, Contribution | CellError]:
        """Run the lower blocks once on one batch and every method on what they give."""
        batch = self.site.test.batches[unit]
        x_BTD = self.site.read(batch)
        results = self.measure_batch(*self.site.in_units(batch, x_BTD), methods)
        if unit == 0 and "duplicates" in self.group.parts:
            # It concerns directions alone, so one unit of all brings it.
            for name, own in results.items():
                method = methods[name]
                if isinstance(method, Dictionary) and isinstance(own, dict):
                    own["duplicates"] = duplicates(method.directions()).double().cpu().numpy()
        return results

    def measure_batch(
        self, batch: TokenBatch, x_BTD: Tensor, methods: Mapping[str, Method]
    ) -> dict[str, Contribution | CellError]:
        """Run every method on the activations ``[B, T, D]`` of one batch."""
        x_ND, doc_N = x_BTD[batch.keep_BT].float(), piece_ids(batch).to(x_BTD.device)
        tier = int(batch.tier_B[0])
        shared = self._shared(x_ND, batch) if tier <= 1 else {}
        results: dict[str, Contribution | CellError] = {}
        edits: dict[str, Tensor] = {}
        for name, method in methods.items():
            try:
                own, xhat_ND = self._one(dictionary(method, self.task.spec.track), x_ND, doc_N, batch)
            except CellError as error:
                results[name] = error
                continue
            except Exception as error:  # a method is foreign code: whatever it raises fails its own cell only
                results[name] = CellError(f"measuring raised {type(error).__name__}: {error}")
                continue
            results[name] = {**shared, **own}
            edits[name] = xhat_ND
        if tier == 0 and self._splices() and edits:
            self._splice(batch, x_BTD, edits, results)
        return results

    def _splices(self) -> bool:
        return bool(self.group.parts & {"kl", "ce_splice", "agree1"})

    def _shared(self, x_ND: Tensor, batch: TokenBatch) -> Contribution:
        """Return the parts that depend on the activations alone."""
        clusters = Clusters(batch.cluster_BT[batch.keep_BT])
        centred_ND = x_ND.double() - self.site.mean_D.to(x_ND.device).double()
        inside_N = self.site.inside(x_ND)[:, None]
        square_N = centred_ND.square().sum(1)
        return {
            **energies(x_ND, self.site.mean_D, clusters),
            "n_in": clusters.sum(inside_N.squeeze(1)),
            "sxx_in": clusters.sum(square_N * inside_N.squeeze(1)),
            "sx_in": clusters.sum(centred_ND * inside_N),
        }

    def _one(self, method: Dictionary, x_ND: Tensor, doc_N: Tensor, batch: TokenBatch) -> tuple[Contribution, Tensor]:
        """Run one method on the kept tokens of a batch: its own parts, and its reconstruction."""
        measured = int(batch.tier_B[0]) <= 1
        coded = run(method, x_ND, doc_N, decode=measured)
        own: Contribution = {"fires": coded.fires_F, "n_density": np.array([float(x_ND.shape[0])])}
        if not measured:
            return own, x_ND
        own["l0_hist"] = coded.l0_hist
        sums = {**coded.sums(self.task.spec.bars.get("l0")), **errors(x_ND, coded.xhat_ND)}
        sums["se_in"] = sums["se"] * self.site.inside(x_ND)
        clusters = Clusters(batch.cluster_BT[batch.keep_BT])
        return {**own, **{name: clusters.sum(value) for name, value in sums.items()}}, coded.xhat_ND

    def _splice(
        self,
        batch: TokenBatch,
        x_BTD: Tensor,
        edits: dict[str, Tensor],
        results: dict[str, Contribution | CellError],
    ) -> None:
        """Add the splice parts of every edit to ``results``; zero and mean ablation run once for all of them."""
        like = next(iter(edits.values()))
        ablations: dict[str, Tensor] = {}
        if self.group.parts & set(_ABLATIONS):
            mean_D = self.site.mean_D.to(like.device)
            ablations = {" zero": torch.zeros_like(like), " mean": mean_D.expand_as(like)}
        splicer = Splicer(self.site.model, self.task.layer, batch, x_BTD, self.resources.progress)
        spliced = splicer.run({**edits, **ablations})
        extra: Contribution = {}
        if ablations:
            zero, mean = spliced[" zero"], spliced[" mean"]
            extra = {"ce_zero": zero["ce_splice"], "ce_mean": mean["ce_splice"], "kl_zero": zero["kl"]}
        for name in edits:
            own = results[name]
            if isinstance(own, dict):
                own.update(spliced[name] | extra)

    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Add all units up; cluster vectors become Gram matrices, which do not grow with the width."""
        contributions = list(contributions)
        count = self.site.test.clusters
        parts: dict[str, NDArray[np.float64]] = {}
        names = sorted({name for c in contributions for name in c if not name.startswith("ids")})
        for name in names:
            if name in _COUNTS:
                parts[name] = add_counts(contributions, name)
            elif name in _VECTORS:
                if _VECTORS[name] in self.group.parts:
                    vector = scatter(contributions, name, count)
                    parts[_VECTORS[name]] = vector @ vector.T
            else:
                parts[name] = scatter(contributions, name, count)
        parts["n_density"] = parts["n_density"].reshape(())
        parts["width"] = np.array(float(self.site.model.info.width))
        details = _details(parts)
        keep = self.group.parts | {"n"}
        return Measured({name: value for name, value in parts.items() if name in keep}, details)

    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Say what fell short of the budget and whether a contestant's L0 missed its target."""
        notes = list(self.site.notes())
        if contestant:
            notes += unmatched(parts, self.task.budget.l0)
        return notes


def _details(parts: Parts) -> dict[str, float]:
    """Return what is shown beside the metrics: tokens behind each number and the spread of L0."""
    details = {"tokens": float(parts["n"].sum()), "density_tokens": float(parts["n_density"])}
    if "n_kl" in parts:
        details["splice_tokens"] = float(parts["n_kl"].sum())
        details["targets"] = float(parts["n_ce"].sum())
    return {**details, **l0_quantiles(parts["l0_hist"])}


TRACK = Reconstruction
