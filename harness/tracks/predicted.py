"""One decoder's predictions held against the model's own, token by token."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import NextToken, Read
from harness.errors import CellError
from harness.tracks.sums import check_output

# Per token: KL(p || q), KL(q || p), equal favourites, Jaccard of the five favourites, entropy of q; p the model's own.
COLUMNS = ("kl_pq", "kl_qp", "agree1", "agree5", "entropy")
FAVOURITES = 5
# How far the logarithm of a prediction's sum may be from 0: float32 sums over 10^5 classes.
_SUM = 1e-3


@dataclass(frozen=True)
class Told:
    """What one decoder's predictions came to: ``COLUMNS`` and the hit on the text's token by row, and seconds."""

    value_NK: Tensor
    seconds: float


@dataclass(frozen=True)
class ModelSaid:
    """The model's own predictions at some positions: log-probabilities, probabilities, favourites; the text's token."""

    logp_NV: Tensor
    p_NV: Tensor
    top_N5: Tensor
    gold_N: Tensor

    @classmethod
    def of(cls, logp_NV: Tensor, gold_N: Tensor) -> ModelSaid:
        """Return them from log-probabilities."""
        return cls(logp_NV, logp_NV.exp(), favourites(logp_NV), gold_N.to(logp_NV.device))

    def told(self) -> Tensor:
        """Return the entropy, and whether the favourite is the text's token, float64 ``[N, 2]`` on the CPU."""
        hit_N = self.top_N5[:, 0] == self.gold_N
        return torch.stack([_entropy(self.logp_NV, self.p_NV), hit_N.double()], dim=1).cpu()

    def against(self, logq_NV: Tensor) -> Tensor:
        """Return ``COLUMNS`` and the hit on the text's token of other predictions, float64 ``[N, K]`` on the CPU."""
        q_NV, top_N5 = logq_NV.exp(), favourites(logq_NV)
        gap_NV = self.logp_NV - logq_NV
        columns = (
            _sum(self.p_NV, gap_NV),
            -_sum(q_NV, gap_NV),
            (self.top_N5[:, 0] == top_N5[:, 0]).double(),
            _jaccard(self.top_N5, top_N5),
            _entropy(logq_NV, q_NV),
            (top_N5[:, 0] == self.gold_N).double(),
        )
        return torch.stack(columns, dim=1).cpu()


def favourites(logp_NV: Tensor) -> Tensor:
    """Return the five most likely classes, int64 ``[N, 5]``, the likeliest first; of equal ones the lowest."""
    count = min(FAVOURITES, logp_NV.shape[1])
    # ``topk`` promises no order among equals; a stable sort of the few candidates gives them the lowest id.
    least_N1 = logp_NV.topk(count, dim=1).values[:, -1:]
    rank_NV = torch.where(logp_NV > least_N1, 2, (logp_NV == least_N1).long())
    tie_NV = (rank_NV == 1).cumsum(1)
    room_N1 = count - (rank_NV == 2).sum(1, keepdim=True)
    chosen_NV = (rank_NV == 2) | ((rank_NV == 1) & (tie_NV <= room_N1))
    id_NK = chosen_NV.nonzero()[:, 1].reshape(-1, count)
    order_NK = logp_NV.gather(1, id_NK).sort(dim=1, descending=True, stable=True).indices
    return id_NK.gather(1, order_NK)


def _jaccard(a_NK: Tensor, b_NK: Tensor) -> Tensor:
    """Return the shared share of two sets of as many different numbers each."""
    shared_N = (a_NK[:, :, None] == b_NK[:, None, :]).sum((1, 2)).double()
    return shared_N / (2 * a_NK.shape[1] - shared_N)


def _sum(weight_NV: Tensor, value_NV: Tensor) -> Tensor:
    return torch.einsum("nv,nv->n", weight_NV, value_NV).double()


def _entropy(logp_NV: Tensor, p_NV: Tensor) -> Tensor:
    return -_sum(p_NV, logp_NV)


def tell(method: NextToken, read: Read, model: ModelSaid) -> Told:
    """Run one decoder; raises ``CellError`` where what it returns is no distribution."""
    _wait(read)
    start = time.perf_counter()
    logq_NV = method.logp(read)
    _wait(read)
    seconds = time.perf_counter() - start
    check_output("logp", logq_NV, tuple(model.logp_NV.shape))
    logq_NV = logq_NV.to(model.logp_NV.device, torch.float32)
    check_sums(logq_NV)
    return Told(model.against(logq_NV), seconds)


def check_sums(logq_NV: Tensor) -> None:
    """Raise ``CellError`` where predictions are no distributions: where they sum to more, divergences are too low."""
    off = float(logq_NV.float().logsumexp(1).abs().max())
    if off > _SUM:
        raise CellError(f"logp returned probabilities whose sum is off 1 by {off:.2g} (logarithm)")


def _wait(read: Read) -> None:
    if read.x_ND.is_cuda:
        torch.cuda.synchronize(read.x_ND.device)


def part_of(read: Read, rows: slice) -> Read:
    """Return some rows of what decoders read."""
    return dataclasses.replace(read, x_ND=read.x_ND[rows], id_N=read.id_N[rows], doc_N=read.doc_N[rows])
