"""Latents of one layer against those of the next."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from harness.features.collect import Layer
from harness.features.neighbours import nearest
from harness.features.sketch import chance
from harness.specs.features import Match


def match(lower: Layer, upper: Layer) -> Match:
    """Return the best partner of each alive latent of ``lower`` among the alive ones of ``upper``.

    Directions share the residual stream, so their cosine means something across layers; correlations of activations
    do whatever the basis.
    """
    alive = [np.array([f.index for f in layer.features.features if f.fires]) for layer in (lower, upper)]
    count = max(int(alive[0].size), int(alive[1].size), 2)
    return Match(
        lower=lower.features.layer,
        upper=upper.features.layer,
        by_cosine=_best(lower.direction_FD, upper.direction_FD, alive),
        by_correlation=_best(lower.sketch_FS, upper.sketch_FS, alive),
        chance_cosine=round(chance(count, lower.direction_FD.shape[1]), 4),
        chance_correlation=round(chance(count, lower.sketch_FS.shape[1]), 4),
    )


def _best(lower: Tensor, upper: Tensor, alive: list[np.ndarray]) -> list[tuple[int, int, float]]:
    if not (alive[0].size and alive[1].size):
        return []
    rows = [vectors[torch.from_numpy(which)] for vectors, which in zip((lower, upper), alive, strict=True)]
    value, index = nearest(rows[0], rows[1], 1, same=False)
    partner = alive[1][index[:, 0].numpy()]
    triples = zip(alive[0].tolist(), partner.tolist(), value[:, 0].tolist(), strict=True)
    return [(a, b, round(v, 4)) for a, b, v in triples]
