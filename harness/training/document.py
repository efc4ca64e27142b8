"""Dictionaries that code a document as well as its tokens: a shared code of its mean, a sparse code of each token.

Units are those of ``harness.training.autoencoder``: weights and codes live at the scale where the mean norm of an
activation is ``sqrt(D)``; ``decode`` and ``directions`` are in raw model units.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from harness.api import Activations, Dictionary, Setting, Train
from harness.errors import CellError
from harness.training.active import Active, batch_top_k
from harness.training.autoencoder import CHUNK_ROWS, SAMPLE_ROWS, geometric_median, squared_error
from harness.training.dead import AuxK, Revival
from harness.training.kernel import Encoder, Scratch, decode, encode
from harness.training.loop import Moment, Optim, Rule, descend, stream
from harness.training.rules import UnitRows
from harness.training.threshold import MovingThreshold, calibrate, checked

Pool = Literal["document", "running"]
# Below this a document's mean is nearly its tokens themselves.
SHORTEST = 4


@dataclass(frozen=True)
class Coding:
    """What every dictionary with a code per document has in common."""

    pool: Pool
    """document: the mean over all its tokens, later ones included; running: over those up to and with this one"""
    optim: Optim
    """optimiser"""
    aux: AuxK
    """revival of dead unique latents"""


class Means(NamedTuple):
    """Means of documents: ``mean_KD``, and for each row the number of its mean, int64 ``[N]``."""

    mean_KD: Tensor
    of_N: Tensor


class Batch(NamedTuple):
    """Scaled activations and the scaled mean that belongs to each, both ``[B, D]``."""

    x_BD: Tensor
    mean_BD: Tensor


def pooled(x_ND: Tensor, doc_N: Tensor, pool: Pool) -> Means:
    """Return the means of documents, whose rows are adjacent; accumulated in float64."""
    _, of_N, length_C = torch.unique_consecutive(doc_N, return_inverse=True, return_counts=True)
    of_N, length_C = of_N.to(x_ND.device), length_C.to(x_ND.device)
    if pool == "document":
        mean_CD = torch.segment_reduce(x_ND.double(), "mean", lengths=length_C)
        return Means(mean_CD.to(x_ND.dtype), of_N)
    total_ND = x_ND.double().cumsum(0)
    start_N = (length_C.cumsum(0) - length_C)[of_N]
    before_ND = torch.cat([torch.zeros_like(total_ND[:1]), total_ND])[start_N]
    row_N = torch.arange(len(x_ND), device=x_ND.device)
    mean_ND = (total_ND - before_ND) / (row_N - start_N + 1)[:, None]
    return Means(mean_ND.to(x_ND.dtype), row_N)


class DocumentAutoencoder(Dictionary):
    """``z = (share(mean), BatchTopK(inputs))``, ``xhat = (z_shared D_shared + z_unique W_dec + b_dec) / s``.

    Training keeps the ``l0 * B`` largest unique pre-activations of a batch of shuffled tokens; inference those above a
    threshold, set on ``val``. The means of the train split are kept in memory while fitting: one row for each document,
    or one for each token where they run.

    Attributes:
        shared: number of leading latents that code the document.
        W_enc: encoder rows of the unique latents ``[F - shared, D]``.
        b_enc: their bias.
        W_dec: their decoder rows, of norm 1.
        b_dec: decoder bias ``[D]``.
        scale: ``s``.
        found: what ``summary`` returns.
    """

    scale: Tensor
    threshold: Tensor

    def __init__(self, setting: Setting, coding: Coding, shared: int, unique: int) -> None:
        super().__init__()
        if unique < 1:
            raise ValueError(f"{shared} shared latents leave none of {setting.latents} for tokens")
        self.setting, self.coding, self.shared = setting, coding, shared
        generator = torch.Generator().manual_seed(stream(setting.seed, "weights"))
        row_FD = normalize(torch.randn(unique, setting.width, generator=generator), dim=1)
        self.W_enc = nn.Parameter(row_FD.clone())
        self.b_enc = nn.Parameter(torch.zeros(unique))
        self.W_dec = nn.Parameter(row_FD)
        self.b_dec = nn.Parameter(torch.zeros(setting.width))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("threshold", torch.tensor(torch.nan))
        self.moving = MovingThreshold()
        self.found: dict[str, float] = {}
        self._scratch = Scratch()

    @abstractmethod
    def share(self, mean_ND: Tensor) -> Tensor:
        """Return the shared code ``[N, R]`` of scaled means."""

    @abstractmethod
    def shared_rows(self) -> Tensor:
        """Return the decoder rows of the shared latents, ``[R, D]``."""

    @abstractmethod
    def inputs(self, x_ND: Tensor, part_ND: Tensor) -> Tensor:
        """Return what the unique encoder reads, given scaled activations and what the shared code makes of them."""

    @abstractmethod
    def begin(self, mean_KD: Tensor) -> Sequence[Rule]:
        """Prepare the shared part from the scaled means of train documents; return what happens at each step."""

    @abstractmethod
    def penalty(self, z_BR: Tensor) -> Tensor:
        """Return what the objective charges for the shared code, a scalar."""

    @final
    def fit(self, train: Train) -> None:
        """Scale, pool, initialise, descend; set the threshold, and measure L0 and FVU on the validation split."""
        self.to(train.device)
        with torch.no_grad():
            self.scale.fill_(train.x.scale())
        rows_M, means = self._documents(train)
        rules = self._initialise(train, rows_M, means)
        optim = self.coding.optim
        steps = train.passes * max(len(rows_M) // optim.batch, 1)
        batches = self._batches(train, rows_M, means)
        self.found["final_loss"] = descend(self, rules, batches, steps, optim, train.progress)
        self.found |= {"steps": steps, **self.revival.summary()}
        self._scratch = Scratch()
        with torch.no_grad():
            self.threshold.fill_(calibrate(self._chunks(train.val), self.setting.l0, len(train.val)))
            self.found |= {"threshold": float(self.threshold), "threshold_in_training": self.moving.value}
            self.found |= self._measure(train.val)

    @final
    def loss(self, batch: Batch, moment: Moment) -> Tensor:
        """Return squared error plus the shared code's penalty."""
        z_BR = self.share(batch.mean_BD)
        part_BD = z_BR @ self.shared_rows()
        inputs_BD = self.inputs(batch.x_BD, part_BD)
        active, pre_E = encode(self.encoder(), inputs_BD, self._select, self._scratch)
        value_E = pre_E.relu()
        own_BD = decode(active, value_E, self.W_dec, self.b_dec)
        self.moving.see(float(value_E.detach().min()), moment.steps)
        # Dead latents read the unique encoder's inputs and learn what both parts together leave over.
        left_BD = (batch.x_BD - part_BD - own_BD).detach()
        self.revival.see(active, value_E, inputs_BD.detach(), inputs_BD.detach() - left_BD)
        return squared_error(batch.x_BD, part_BD + own_BD) + self.penalty(z_BR)

    @final
    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return codes ``[N, F]``, the shared ones first."""
        z_NR, pre_NF = self._codes(x_ND, doc_N)
        return torch.cat([z_NR, torch.where(pre_NF > checked(self.threshold), pre_NF, 0.0)], dim=1)

    @final
    def decode(self, z_NF: Tensor) -> Tensor:
        """Return reconstructions ``[N, D]`` in raw model units."""
        own_ND = torch.addmm(self.b_dec, z_NF[:, self.shared :], self.W_dec)
        return torch.addmm(own_ND, z_NF[:, : self.shared], self.shared_rows()) / self.scale

    @final
    def directions(self) -> Tensor:
        """Return decoder rows ``[F, D]``, the shared ones first: raw model units per unit of code."""
        return torch.cat([self.shared_rows(), self.W_dec]).detach() / self.scale

    @final
    def summary(self) -> dict[str, float]:
        """Return what the fit found; empty where the weights were loaded."""
        return dict(self.found)

    @final
    def encoder(self) -> Encoder:
        """Return the unique encoder's weights for the kernel."""
        return Encoder(self.W_enc, self.b_enc, self.b_dec)

    def _select(self, pre_BF: Tensor) -> Active:
        return batch_top_k(pre_BF, self.setting.l0, guess=self.moving.last)

    def _codes(self, x_ND: Tensor, doc_N: Tensor) -> tuple[Tensor, Tensor]:
        """Return shared codes and unique pre-activations of raw activations."""
        x_ND = x_ND * self.scale
        means = pooled(x_ND, doc_N, self.coding.pool)
        z_NR = self.share(means.mean_KD)[means.of_N]
        encoder = self.encoder()
        inputs_ND = self.inputs(x_ND, z_NR @ self.shared_rows())
        return z_NR, torch.addmm(encoder.bias_F, encoder.inputs(inputs_ND), encoder.W_FD.T)

    def _documents(self, train: Train) -> tuple[Tensor, Means]:
        """Return the train rows in documents that are long enough, and the scaled means by row of the split."""
        kept, means, of, first = [], [], [], 0
        for x_ND, doc_N in train.x.documents(CHUNK_ROWS):
            found = pooled(x_ND, doc_N, self.coding.pool)
            _, of_N, length_C = torch.unique_consecutive(doc_N, return_inverse=True, return_counts=True)
            kept.append(length_C[of_N] >= SHORTEST)
            of.append(found.of_N + first)
            means.append(found.mean_KD)
            first += len(found.mean_KD)
        rows_M = torch.nonzero(torch.cat(kept)).flatten()
        if len(rows_M) == 0:
            raise CellError(
                f"no document of the train split has {SHORTEST} tokens, so its mean says nothing of its own"
            )
        return rows_M, Means(torch.cat(means) * self.scale.cpu(), torch.cat(of))

    @torch.no_grad()
    def _initialise(self, train: Train, rows_M: Tensor, means: Means) -> list[Rule]:
        """Prepare the shared part, and set the decoder's bias to the geometric median of what is left of a sample."""
        used_K = torch.unique(means.of_N[rows_M])
        rules = self.begin(means.mean_KD[used_K].to(train.device))
        generator = torch.Generator().manual_seed(stream(self.setting.seed, "sample"))
        index_N = rows_M[torch.randperm(len(rows_M), generator=generator)[:SAMPLE_ROWS]]
        sample = self._take(train, index_N, means)
        part_ND = self.share(sample.mean_BD) @ self.shared_rows()
        self.b_dec.copy_(geometric_median(self.inputs(sample.x_BD, part_ND)))
        self.revival = Revival(self.coding.aux, self)
        return [self.revival, UnitRows(self.W_dec), *rules]

    def _take(self, train: Train, index_N: Tensor, means: Means) -> Batch:
        x_BD = train.x.take(index_N).to(train.device) * self.scale
        return Batch(x_BD, means.mean_KD[means.of_N[index_N]].to(train.device))

    def _batches(self, train: Train, rows_M: Tensor, means: Means) -> Iterator[Batch]:
        """Yield shuffled batches; the tail of a pass is dropped, as in ``Activations.batches``."""
        generator = torch.Generator().manual_seed(stream(self.setting.seed, "order"))
        size = self.coding.optim.batch
        for _ in range(train.passes):
            order_M = rows_M[torch.randperm(len(rows_M), generator=generator)]
            for start in range(0, max(len(order_M) - size, 0) + 1, size):
                yield self._take(train, order_M[start : start + size], means)

    def _chunks(self, x: Activations) -> Iterator[Tensor]:
        for x_ND, doc_N in x.documents(CHUNK_ROWS):
            yield self._codes(x_ND.to(self.scale.device), doc_N)[1]

    def _measure(self, x: Activations) -> dict[str, float]:
        """Return mean L0 of the unique code, FVU, and FVU without the unique code, on ``x``."""
        mean_D = x.mean().to(self.scale.device)
        l0 = error = shared_error = variance = 0.0
        for raw_ND, doc_N in x.documents(CHUNK_ROWS):
            x_ND = raw_ND.to(self.scale.device)
            z_NF = self.encode(x_ND, doc_N)
            l0 += float((z_NF[:, self.shared :] != 0).sum())
            error += float((self.decode(z_NF) - x_ND).square().sum(dtype=torch.float64))
            z_NF[:, self.shared :] = 0.0
            shared_error += float((self.decode(z_NF) - x_ND).square().sum(dtype=torch.float64))
            variance += float((x_ND - mean_D).square().sum(dtype=torch.float64))
        scale = max(variance, 1e-30)
        return {"val_l0": l0 / len(x), "val_fvu": error / scale, "val_fvu_shared_alone": shared_error / scale}
