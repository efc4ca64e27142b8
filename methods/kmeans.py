"""K-means: one latent a token, its nearest centroid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from harness.api import Activations, Dictionary, Setting, Train
from harness.training.loop import steps_of, stream


class KMeans(Dictionary):
    """``f`` is 1 at the nearest of as many centroids as there are latents; L0 is 1, whatever the task's target."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``kmeans``."""

        batch: int
        """tokens a step of mini-batch k-means"""

    mean: Tensor
    centroids: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.params = params
        self.setting = setting
        self.register_buffer("mean", torch.zeros(setting.width))
        self.register_buffer("centroids", torch.zeros(setting.latents, setting.width))
        self.found: dict[str, float] = {}

    def fit(self, train: Train) -> None:
        """Run mini-batch k-means over the train split, ``passes`` times; centroids are about the train mean."""
        self.to(train.device)
        self.mean.copy_(train.x.mean())
        kept = min(self.setting.latents, len(train.x))
        peer = MiniBatchKMeans(kept, init="random", n_init=1, random_state=self._seed("centroids"))
        batch = max(self.params.batch, kept)  # scikit-learn draws the first centroids from the first batch
        steps = steps_of(train.x, batch, train.passes)
        for step, x_ND in enumerate(train.x.batches(batch, train.passes, stream(self.setting.seed, "order"))):
            peer.partial_fit(self._centred(x_ND.to(train.device)).cpu().numpy())
            train.progress("fit", step + 1, steps)
        self.centroids[:kept] = torch.from_numpy(peer.cluster_centers_)
        self.found = {"steps": steps, "unused": self._unused(train.x)}

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return one-hot codes ``[N, F]``."""
        nearest_N = self._nearest(x_ND)
        return x_ND.new_zeros(len(x_ND), len(self.centroids)).scatter_(1, nearest_N[:, None], 1.0)

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return mean plus weighted centroids, ``[N, D]``."""
        return torch.addmm(self.mean, z_NF, self.centroids)

    def directions(self) -> Tensor:
        """Return centroids less the mean, ``[F, D]``."""
        return self.centroids.clone()

    def summary(self) -> dict[str, float]:
        """Return the number of steps and the share of centroids that no train token is nearest to."""
        return dict(self.found)

    def _centred(self, x_ND: Tensor) -> Tensor:
        return x_ND - self.mean

    def _nearest(self, x_ND: Tensor) -> Tensor:
        half_F = self.centroids.square().sum(1) / 2
        return torch.addmm(half_F, self._centred(x_ND), self.centroids.T, alpha=-1).argmin(1)

    def _unused(self, x: Activations) -> float:
        used_F = torch.zeros(len(self.centroids), dtype=torch.bool, device=self.centroids.device)
        for x_ND, _ in x.documents(4096):
            used_F[self._nearest(x_ND.to(self.centroids.device))] = True
        return 1.0 - float(used_F.float().mean())

    def _seed(self, name: str) -> int:
        return stream(self.setting.seed, name) % 2**32
