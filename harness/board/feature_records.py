"""Joins what a record says of each latent (ReasonScore, its p-value, injection) to the data file of a feature page."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import UserError
from harness.specs.features import FeatureFile, LayerFeatures, Reasoning
from harness.store.records import find_records


@dataclass(frozen=True)
class Wanted:
    """The cell a table must come from: the same resolved task, method and seed, and so the same fit."""

    table: str
    identity: str
    seed: int
    latents: int


def join_reasoning(file: FeatureFile, folder: Path) -> FeatureFile:
    """Return the file with the reasoning scores of every layer for which ``folder`` holds a fitting record.

    Raises:
        UserError: a fitting record's table of latents is missing, altered, or of another dictionary.
    """
    return file.model_copy(update={"layers": [_joined(file, layer, folder) for layer in file.layers]})


def _joined(file: FeatureFile, layer: LayerFeatures, folder: Path) -> LayerFeatures:
    found = find_reasoning(folder, Wanted(layer.table, file.method["identity"], file.seed, layer.latents))
    if found is None:
        return layer
    rows, name = found
    features = [f.model_copy(update={"reasoning": rows.get(f.index)}) for f in layer.features]
    return layer.model_copy(update={"features": features, "reasoning": name})


def find_reasoning(folder: Path, wanted: Wanted) -> tuple[dict[int, Reasoning], str] | None:
    """Return what the newest fitting record under ``folder`` says of each latent, and that record's file name.

    Raises:
        UserError: the record's table of latents is missing, altered, or of another dictionary.
    """
    found = [(path, value) for path, value in _records(folder) if _fits(value, wanted)]
    if not found:
        return None
    path, value = max(found, key=lambda pair: str(pair[1]["provenance"]["finished"]))
    return _rows(_table(path, value), wanted, path), path.name


def _records(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for path in find_records(folder):
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(value, dict) and value.get("latents"):
            yield path, value


def _fits(value: Mapping[str, Any], wanted: Wanted) -> bool:
    try:
        cell = (value["task"]["table"], value["method"]["identity"], value["seed"], value["status"])
    except (KeyError, TypeError):
        return False
    return cell == (wanted.table, wanted.identity, wanted.seed, "ok")


def _table(path: Path, value: Mapping[str, Any]) -> dict[str, np.ndarray]:
    beside = path.parent / Path(value["latents"]).name
    data = beside.read_bytes() if beside.is_file() else b""
    if hashlib.sha256(data).hexdigest() != value["latents_sha256"]:
        raise UserError(f"--run: {beside} is missing or is not the file that {path.name} was written with.")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _rows(table: Mapping[str, np.ndarray], wanted: Wanted, path: Path) -> dict[int, Reasoning]:
    rows = table["latent"]
    if rows.size != wanted.latents:
        raise UserError(f"--run: {path} speaks of {rows.size} latents, the method has {wanted.latents}.")
    names = [name for name in Reasoning.model_fields if name in table and table[name].shape[:1] == rows.shape]
    return {
        int(latent): Reasoning(**{name: _plain(table[name][i].item()) for name in names})
        for i, latent in enumerate(rows)
    }


def _plain(value: Any) -> Any:
    """Return a number with six figures, or None for what is not there."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return None if value == "" else value
