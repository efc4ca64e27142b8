"""What every track of dictionaries does: run one on tokens, and turn what it gives into numbers per token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api import Dictionary
from harness.metrics.contract import Parts
from harness.specs.task import Bar
from harness.tracks.sums import Clusters, Contribution, check_output, whole_documents


def codes(method: Dictionary, x_ND: Tensor, doc_N: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows and their codes ``[n, F]``, checked; whole documents, about ``CODES`` numbers at a time."""
    latents = method.directions().shape[0]
    for rows in whole_documents(doc_N, latents):
        z_NF = method.encode(x_ND[rows], doc_N[rows])
        check_output("encode", z_NF, (rows.stop - rows.start, latents))
        yield rows, z_NF


@dataclass
class Coded:
    """A dictionary's output on some tokens, gathered chunk by chunk.

    Attributes:
        norm_F: length of each direction, which folds codes.
        fires: tokens on which each latent is active.
        l0, sent, l1, xhat: pieces of what is per token; ``l1`` and ``xhat`` only where codes were decoded.
        shared: leading latents that code the document; they do not count in L0, and ``sent`` says when they change.
    """

    norm_F: Tensor
    fires: Tensor
    shared: int
    l0: list[Tensor] = field(default_factory=list)
    sent: list[Tensor] = field(default_factory=list)
    l1: list[Tensor] = field(default_factory=list)
    xhat: list[Tensor] = field(default_factory=list)

    @classmethod
    def of(cls, method: Dictionary, device: torch.device) -> Coded:
        """Return an empty one for a method."""
        norm_F = method.directions().norm(dim=1).to(device)
        return cls(norm_F, torch.zeros(norm_F.shape[0], dtype=torch.int64, device=device), method.shared)

    def see(self, z_NF: Tensor, doc_N: Tensor) -> None:
        """Count codes."""
        active_NF = z_NF != 0
        self.fires += active_NF.sum(0, dtype=torch.int64)
        self.l0.append(active_NF[:, self.shared :].sum(1))
        self.sent.append(numbers_sent(z_NF[:, : self.shared], doc_N))

    def decode(self, method: Dictionary, z_NF: Tensor, width: int) -> None:
        """Decode codes, and add them up folded."""
        self.l1.append(z_NF.abs() @ self.norm_F)
        self.xhat.append(method.decode(z_NF))
        check_output("decode", self.xhat[-1], (z_NF.shape[0], width))

    @property
    def xhat_ND(self) -> Tensor:
        """Reconstructions."""
        return torch.cat(self.xhat)

    @property
    def fires_F(self) -> NDArray[np.float64]:
        """Tokens on which each latent is active."""
        counts: NDArray[np.float64] = self.fires.double().cpu().numpy()
        return counts

    @property
    def l0_hist(self) -> NDArray[np.float64]:
        """Tokens by number of active latents, from 0."""
        return np.bincount(torch.cat(self.l0).cpu().numpy()).astype(np.float64)

    def sums(self, band: Bar | None) -> dict[str, Tensor]:
        """Return per token: L0, whether it lies in the task's band, L1, and the numbers of a new shared code."""
        low = band.min if band and band.min is not None else 50
        high = band.max if band and band.max is not None else 100
        l0_N = torch.cat(self.l0)
        return {
            "l1": torch.cat(self.l1),
            "l0": l0_N,
            "l0_in_band": (l0_N >= low) & (l0_N <= high),
            "shared_sent": torch.cat(self.sent),
        }


def run(method: Dictionary, x_ND: Tensor, doc_N: Tensor, *, decode: bool) -> Coded:
    """Encode tokens and, where asked, decode them; raises ``CellError`` on a wrong shape or numbers not finite."""
    coded = Coded.of(method, x_ND.device)
    for rows, z_NF in codes(method, x_ND, doc_N):
        coded.see(z_NF, doc_N[rows])
        if decode:
            coded.decode(method, z_NF, x_ND.shape[1])
    return coded


def numbers_sent(z_NR: Tensor, doc_N: Tensor) -> Tensor:
    """Return how many numbers of the shared code each token brings, ``[N]``: all where it changed, else none."""
    changed_N = torch.ones(len(doc_N), dtype=torch.bool, device=z_NR.device)
    changed_N[1:] = (z_NR[1:] != z_NR[:-1]).any(1) | (doc_N[1:] != doc_N[:-1]).to(z_NR.device)
    return changed_N * z_NR.shape[1]


def energies(x_ND: Tensor, mean_D: Tensor, clusters: Clusters) -> Contribution:
    """Return the sums per cluster that depend on the activations alone; ``mean_D`` keeps them from cancelling."""
    centred_ND = x_ND.double() - mean_D.to(x_ND.device).double()
    return {
        "ids": clusters.ids_K.numpy(),
        "n": clusters.sum(torch.ones(x_ND.shape[0])),
        "x2": clusters.sum(x_ND.double().square().sum(1)),
        "sxx": clusters.sum(centred_ND.square().sum(1)),
        "sx": clusters.sum(centred_ND),
    }


def errors(x_ND: Tensor, xhat_ND: Tensor) -> dict[str, Tensor]:
    """Return the per-token numbers that compare a reconstruction with its activation, in float64."""
    x_ND, xhat_ND = x_ND.double(), xhat_ND.double()
    error_ND = x_ND - xhat_ND
    inner_N = (x_ND * xhat_ND).sum(1)
    norms_N = x_ND.norm(dim=1).clamp(min=1e-8) * xhat_ND.norm(dim=1).clamp(min=1e-8)
    return {
        "se": error_ND.square().sum(1),
        "sx_e": error_ND,
        "cos": inner_N / norms_N,
        "xhat2": xhat_ND.square().sum(1),
        "xxhat": inner_N,
    }


def unmatched(parts: Parts, target: int | None) -> list[str]:
    """Return a warning where the mean L0 missed the task's target by more than 5 %."""
    l0 = parts.get("l0")
    if not target or l0 is None:
        return []
    reached = float(l0.sum() / parts["n"].sum())
    if abs(reached - target) <= 0.05 * target:
        return []
    return [f"L0 is {reached:.1f}, more than 5 % from the task's {target}: compare at matched L0 only"]


def l0_quantiles(l0_hist: NDArray[np.float64]) -> dict[str, float]:
    """Return the 5th, 50th and 95th percentile of L0."""
    cumulative = np.cumsum(l0_hist) / l0_hist.sum()
    return {f"l0_p{share}": float(np.searchsorted(cumulative, share / 100)) for share in (5, 50, 95)}
