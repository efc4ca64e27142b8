"""The autoencoder most dictionaries here are: one hidden layer, fitted on scaled activations, speaking raw units.

Units. Inputs are multiplied by ``scale`` so that their mean norm is ``sqrt(D)``; weights and codes
live at that scale, so coefficients and thresholds mean the same on every model. ``decode`` divides by ``scale`` and
``directions`` returns ``W_dec / scale``: raw model units per unit of code, so ``code * ||direction||`` is in raw units.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, normalize

from harness.api import Activations, Dictionary, Setting, Train
from harness.checkpoints.card import Activation, OneLayer
from harness.training.active import Active, Select, count_above
from harness.training.kernel import Encoder, Scratch, decode, encode
from harness.training.loop import Moment, Optim, Rule, descend, steps_of, stream

SAMPLE_ROWS = 4096
L0_ROWS = 2048
CHUNK_ROWS = 2048


class Autoencoder(Dictionary):
    """``f = code((s x - b_dec) W_enc^T + b_enc)``, ``xhat = (f W_dec + b_dec) / s``.

    Attributes:
        W_enc: encoder rows ``[F, D]``.
        b_enc: encoder bias ``[F]``.
        W_dec: decoder rows ``[F, D]``, the directions.
        b_dec: decoder bias ``[D]``; it is subtracted before encoding.
        scale: ``s``, a scalar.
        spread: root mean squared distance of scaled activations from ``b_dec``, known once a fit has begun.
        found: what ``summary`` returns.
    """

    scale: Tensor

    def __init__(self, setting: Setting, optim: Optim) -> None:
        super().__init__()
        self.setting = setting
        self.optim = optim
        generator = torch.Generator().manual_seed(stream(setting.seed, "weights"))
        row_FD = normalize(torch.randn(setting.latents, setting.width, generator=generator), dim=1)
        self.W_enc = nn.Parameter(row_FD.clone())
        self.b_enc = nn.Parameter(torch.zeros(setting.latents))
        self.W_dec = nn.Parameter(row_FD)
        self.b_dec = nn.Parameter(torch.zeros(setting.width))
        self.register_buffer("scale", torch.ones(()))
        self.found: dict[str, float] = {}
        self.spread = math.nan
        self._scratch = Scratch()

    @abstractmethod
    def code(self, pre_NF: Tensor) -> Tensor:
        """Return the codes that stand for pre-activations when the dictionary is used."""

    @abstractmethod
    def loss(self, x_BD: Tensor, moment: Moment) -> Tensor:
        """Return the objective on a scaled batch."""

    @abstractmethod
    def begin(self, train: Train) -> Sequence[Rule]:
        """Prepare for training, weights being initialised; return what happens at each step besides descent."""

    @abstractmethod
    def finish(self, train: Train) -> None:
        """Set what is chosen after the last step, from ``train.val``; add to ``found`` what is worth recording."""

    @final
    def fit(self, train: Train) -> None:
        """Scale, initialise, descend, finish, and measure L0 and FVU on the validation split."""
        self.to(train.device)
        self._initialise(train)
        rules = self.begin(train)
        if self.trained:
            self._descend(rules, train)
        with torch.no_grad():
            self.finish(train)
            self.found |= self.measure(train.val)

    @property
    def trained(self) -> bool:
        """Whether any parameter asks for a gradient; where none does, the initial weights stay."""
        return any(parameter.requires_grad for parameter in self.parameters())

    @final
    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return codes ``[N, F]`` in the units of scaled activations."""
        return self.code(self.pre_activations(x_ND))

    @final
    def decode(self, z_NF: Tensor) -> Tensor:
        """Return reconstructions ``[N, D]`` in raw model units."""
        return torch.addmm(self.b_dec, z_NF, self.W_dec) / self.scale

    @final
    def directions(self) -> Tensor:
        """Return ``W_dec / scale``, ``[F, D]``: raw model units per unit of code."""
        return self.W_dec.detach() / self.scale

    @final
    def summary(self) -> dict[str, float]:
        """Return what the fit found; empty where the weights were loaded."""
        return dict(self.found)

    @final
    def pre_activations(self, x_ND: Tensor) -> Tensor:
        """Return pre-activations ``[N, F]`` of raw activations."""
        encoder = self.encoder()
        return torch.addmm(encoder.bias_F, encoder.inputs(x_ND * self.scale), encoder.W_FD.T)

    @final
    def one_layer(self, activation: Activation, k: int | None = None, threshold: Tensor | None = None) -> OneLayer:
        """Return the fitted weights in raw units, for ``portable`` of the methods whose code has a name elsewhere."""
        s = self.scale
        W_enc, W_dec, b_dec = self.W_enc.detach() * s, self.W_dec.detach() / s, self.b_dec.detach() / s
        return OneLayer(activation, True, W_enc, self.b_enc.detach(), W_dec, b_dec, k, threshold)

    @final
    def encoder(self) -> Encoder:
        """Return the encoder's weights for the kernel."""
        return Encoder(self.W_enc, self.b_enc, self.b_dec)

    @final
    def reconstruct(self, x_BD: Tensor, select: Select) -> tuple[Active, Tensor, Tensor]:
        """Return active entries, their ReLU codes ``[E]`` and the scaled reconstruction ``[B, D]``; differentiable."""
        active, pre_E = encode(self.encoder(), x_BD, select, self._scratch)
        value_E = pre_E.relu()
        return active, value_E, decode(active, value_E, self.W_dec, self.b_dec)

    @final
    def pre_activation_chunks(self, x: Activations) -> Iterator[Tensor]:
        """Yield the pre-activations of all rows, about ``CHUNK_ROWS`` at a time (or one document, if longer)."""
        for x_ND, _ in x.documents(CHUNK_ROWS):
            yield self.pre_activations(x_ND.to(self.scale.device))

    @final
    def measure(self, x: Activations) -> dict[str, float]:
        """Return mean L0, FVU and the share of latents that never fire on ``x``, coded as at inference."""
        mean_D = x.mean().to(self.scale.device)
        fired_F = torch.zeros(self.setting.latents, dtype=torch.bool, device=self.scale.device)
        l0 = error = variance = 0.0
        for x_ND, doc_N in x.documents(CHUNK_ROWS):
            x_ND = x_ND.to(self.scale.device)
            z_NF = self.encode(x_ND, doc_N)
            fired_F |= (z_NF != 0).any(0)
            l0 += float((z_NF != 0).sum())
            error += float((self.decode(z_NF) - x_ND).square().sum(dtype=torch.float64))
            variance += float((x_ND - mean_D).square().sum(dtype=torch.float64))
        silent = 1.0 - float(fired_F.float().mean())
        return {"val_l0": l0 / len(x), "val_fvu": error / max(variance, 1e-30), "val_silent": silent}

    @final
    def l0_on(self, x: Activations) -> Callable[[], float]:
        """Return a function that measures mean L0, as at inference, on a fixed sample of ``x``."""
        generator = torch.Generator().manual_seed(stream(self.setting.seed, "l0"))
        index_N = torch.randperm(len(x), generator=generator)[:L0_ROWS]
        sample_ND = x.take(index_N).to(self.scale.device)

        @torch.no_grad()
        def measure() -> float:
            return count_above(self.code(self.pre_activations(sample_ND)), 0.0) / len(sample_ND)

        return measure

    def _descend(self, rules: Sequence[Rule], train: Train) -> None:
        steps = steps_of(train.x, self.optim.batch, train.passes)
        batches = train.x.batches(self.optim.batch, train.passes, stream(self.setting.seed, "order"))
        scaled = (x_BD.to(train.device).mul(self.scale) for x_BD in batches)
        self.found["final_loss"] = descend(self, rules, scaled, steps, self.optim, train.progress)
        self.found["steps"] = steps
        self._scratch = Scratch()

    def _initialise(self, train: Train) -> None:
        """Set the scale, and the decoder's bias to the geometric median of a sample; measure the spread about it."""
        generator = torch.Generator().manual_seed(stream(self.setting.seed, "sample"))
        index_N = torch.randperm(len(train.x), generator=generator)[:SAMPLE_ROWS]
        with torch.no_grad():
            self.scale.fill_(train.x.scale())
            sample_ND = train.x.take(index_N).to(train.device) * self.scale
            self.b_dec.copy_(geometric_median(sample_ND))
            self.spread = float((sample_ND - self.b_dec).square().sum(1).mean().sqrt())


def squared_error(x_BD: Tensor, xhat_BD: Tensor) -> Tensor:
    """Return the squared error summed over the width, averaged over the batch."""
    return mse_loss(xhat_BD, x_BD, reduction="sum") / x_BD.shape[0]


def geometric_median(x_ND: Tensor, iterations: int = 50) -> Tensor:
    """Return the point of least summed distance to the rows, ``[D]`` (Weiszfeld's iteration from the mean)."""
    point_D = x_ND.mean(0)
    for _ in range(iterations):
        weight_N = 1.0 / (x_ND - point_D).norm(dim=1).clamp_min(1e-6)
        point_D = weight_N @ x_ND / weight_N.sum()
    return point_D
