"""What the language model predicts when a reconstruction stands in for an activation.

The forward pass continues from the edited block; the clean continuation is shared by every method; the vocabulary
projection runs over a few hundred positions at a time, so memory does not grow with the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from harness.api import Progress
from harness.data.tokens import TokenBatch
from harness.lm.model import LanguageModel
from harness.tracks.sums import Clusters, Contribution

POSITIONS = 512


@dataclass
class _Totals:
    """Per-position numbers of one edit, gathered over the chunks."""

    ce: list[Tensor] = field(default_factory=list)
    kl: list[Tensor] = field(default_factory=list)
    agree: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Splicer:
    """Continues one batch from block ``layer`` under several edits.

    ``x_BTD`` is the clean activation; edits replace it at kept positions only, the others stay as they are.
    """

    model: LanguageModel
    layer: int
    batch: TokenBatch
    x_BTD: Tensor
    progress: Progress

    def run(self, edits: Mapping[str, Tensor]) -> dict[str, Contribution]:
        """Return, per edit ``[N, D]`` (rows are the kept positions), sums per cluster of ce, kl and agree1."""
        keep_BT = self.batch.keep_BT
        hidden = {}
        for done, (name, x_ND) in enumerate(edits.items()):
            self.progress("continuing one batch under each edit", done, len(edits))
            hidden[name] = self._continue(x_ND)[keep_BT]
        self.progress("continuing one batch under each edit", len(edits), len(edits))
        clean_ND = self._continue(None)[keep_BT]
        next_BT = torch.roll(self.batch.ids_BT, -1, dims=1)
        target_N, counts_N = next_BT[keep_BT], self.batch.target_BT[keep_BT]
        clean_ce, totals = self._compare(clean_ND, hidden, target_N)
        clusters = Clusters(self.batch.cluster_BT[keep_BT])
        targets = Clusters(self.batch.cluster_BT[keep_BT][counts_N])
        shared = {
            "ids_kl": clusters.ids_K.numpy(),
            "ids_ce": targets.ids_K.numpy(),
            "n_kl": clusters.sum(torch.ones(int(keep_BT.sum()))),
            "n_ce": targets.sum(torch.ones(int(counts_N.sum()))),
            "ce_clean": targets.sum(clean_ce[counts_N]),
        }
        return {
            name: {
                **shared,
                "ce_splice": targets.sum(torch.cat(t.ce)[counts_N]),
                "kl": clusters.sum(torch.cat(t.kl)),
                "agree1": clusters.sum(torch.cat(t.agree)),
            }
            for name, t in totals.items()
        }

    def _continue(self, x_ND: Tensor | None) -> Tensor:
        edited_BTD = self.x_BTD
        if x_ND is not None:
            edited_BTD = self.x_BTD.clone()
            edited_BTD[self.batch.keep_BT] = x_ND.to(edited_BTD)
        return self.model.resume(self.batch.ids_BT, self.batch.mask_BT, self.layer, edited_BTD)

    def _compare(
        self, clean_ND: Tensor, hidden: Mapping[str, Tensor], target_N: Tensor
    ) -> tuple[Tensor, dict[str, _Totals]]:
        totals = {name: _Totals() for name in hidden}
        clean_ce = []
        for start in range(0, clean_ND.shape[0], POSITIONS):
            chunk = slice(start, start + POSITIONS)
            clean = _Clean.of(self.model.logits(clean_ND[chunk]), target_N[chunk])
            clean_ce.append(clean.ce_N.cpu())
            for name, h_ND in hidden.items():
                clean.against(self.model.logits(h_ND[chunk]), totals[name])
        return torch.cat(clean_ce), totals


@dataclass(frozen=True)
class _Clean:
    """The clean predictions at some positions: logits, their log-sum-exp, probabilities and favourites."""

    logits_NV: Tensor
    lse_N: Tensor
    p_NV: Tensor
    top_N: Tensor
    target_N: Tensor

    @classmethod
    def of(cls, logits_NV: Tensor, target_N: Tensor) -> _Clean:
        lse_N = torch.logsumexp(logits_NV, dim=1)
        p_NV = torch.exp(logits_NV - lse_N[:, None])
        return cls(logits_NV, lse_N, p_NV, logits_NV.argmax(1), target_N.to(logits_NV.device))

    @property
    def ce_N(self) -> Tensor:
        return _cross_entropy(self.logits_NV, self.lse_N, self.target_N)

    def against(self, logits_NV: Tensor, totals: _Totals) -> None:
        """Add KL(clean || edited), cross-entropy and agreement of the edited predictions."""
        lse_N = torch.logsumexp(logits_NV, dim=1)
        # sum p (z_p - z_q) + lse_q - lse_p: exactly 0 for equal logits, and no log of a vanished probability.
        gap_N = torch.einsum("nv,nv->n", self.p_NV, self.logits_NV - logits_NV)
        totals.kl.append((gap_N + lse_N - self.lse_N).cpu())
        totals.ce.append(_cross_entropy(logits_NV, lse_N, self.target_N).cpu())
        totals.agree.append((self.top_N == logits_NV.argmax(1)).cpu())


def _cross_entropy(logits_NV: Tensor, lse_N: Tensor, target_N: Tensor) -> Tensor:
    return lse_N - logits_NV.gather(1, target_N[:, None]).squeeze(1)


def kl_divergence(p_logits_NV: Tensor, q_logits_NV: Tensor) -> Tensor:
    """Return KL(p || q) in nats per row, from logits ``[N, V]``."""
    totals = _Totals()
    _Clean.of(p_logits_NV, torch.zeros(p_logits_NV.shape[0], dtype=torch.int64)).against(q_logits_NV, totals)
    return totals.kl[0]
