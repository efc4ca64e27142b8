"""Labels of latents, from the data file of a feature page about the same fitted dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from harness.api import Dictionary
from harness.errors import UserError
from harness.run.cells import Cell
from harness.specs.features import Feature
from harness.store.features import load_features
from harness.store.fits import load_fit


@dataclass(frozen=True)
class Found:
    """What a data file says of each latent."""

    path: Path
    features: Mapping[int, Feature]


def find_labels(run: Path, cell: Cell, dictionary: Dictionary, layer: int, fits: Path) -> Found | None:
    """Return the newest data file in a run folder that is about this dictionary; None where there is none.

    It is about this one where it names this fit, or another that came to the same weights, bit for bit: tasks that
    differ in what they measure fit the same dictionary again.
    """
    paths = (run / "features").glob(f"*/{cell.entry.found.slug}/*.json")
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            file = load_features(path)
        except UserError:
            continue
        for one in file.layers:
            same = one.layer == layer and file.seed == cell.seed and file.method["identity"] == cell.identity
            if same and (one.fit == cell.fit or _alike(dictionary, fits, one.fit)):
                return Found(path, {feature.index: feature for feature in one.features})
    return None


def _alike(dictionary: Dictionary, fits: Path, fit: str) -> bool:
    kept = load_fit(fits, fit)
    own: Mapping[str, Tensor] = dictionary.state()
    return kept is not None and own.keys() == kept[0].keys() and all(torch.equal(own[k], kept[0][k]) for k in own)
