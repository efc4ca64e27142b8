"""Latents of one layer against those of the next."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from harness.features.collect import Layer
from harness.features.neighbours import nearest, unit
from harness.specs.features import Match


def match(lower: Layer, upper: Layer) -> Match:
    """Return the best partner of each alive latent of ``lower`` among the alive ones of ``upper``.

    Directions share the residual stream, so their cosine means something across layers; correlations of activations
    do whatever the basis.
    """
    alive = [np.array([f.index for f in layer.features.features if f.fires]) for layer in (lower, upper)]
    by_cosine, null_cosine = _best(lower.direction_FD, upper.direction_FD, alive)
    by_correlation, null_correlation = _best(lower.sketch_FS, upper.sketch_FS, alive)
    return Match(
        lower=lower.features.layer,
        upper=upper.features.layer,
        by_cosine=by_cosine,
        by_correlation=by_correlation,
        null_cosine=null_cosine,
        null_correlation=null_correlation,
    )


def _best(lower: Tensor, upper: Tensor, alive: list[np.ndarray]) -> tuple[list[tuple[int, int, float]], float]:
    if not (alive[0].size and alive[1].size):
        return [], 1.0
    rows = [vectors[torch.from_numpy(which)] for vectors, which in zip((lower, upper), alive, strict=True)]
    value, index = nearest(rows[0], rows[1], 1, same=False)
    stand_in, _ = nearest(rows[0], alike(rows[1]), 1, same=False)
    partner = alive[1][index[:, 0].numpy()]
    triples = zip(alive[0].tolist(), partner.tolist(), value[:, 0].tolist(), strict=True)
    null = float(np.quantile(stand_in[:, 0].numpy(), 0.95))
    return [(a, b, round(v, 4)) for a, b, v in triples], round(null, 4)


def alike(vectors_FD: Tensor) -> Tensor:
    """Return as many random unit vectors with the covariance of ``vectors_FD``.

    Vectors of one model crowd into few dimensions, so uniformly random ones would make anything look related.
    """
    generator = torch.Generator().manual_seed(0)
    count = vectors_FD.shape[0]
    # Random mixtures of the rows are Gaussian with their second moment.
    mixed = [torch.randn(min(1024, count - i), count, generator=generator) @ vectors_FD for i in range(0, count, 1024)]
    return unit(torch.cat(mixed))
