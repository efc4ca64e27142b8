"""Activations on disk: safetensors shards that carry their own checksum, and a manifest written last.

A folder holds one split at one block. A shard that is torn, altered or from another plan is found when the folder is
opened or resumed, removed, and written again; it is never used.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from harness.api import Activations
from harness.store.files import write_bytes, write_text


@dataclass(frozen=True)
class Manifest:
    """What a complete folder holds. ``plan`` identifies which sequences went into which shard."""

    plan: str
    width: int
    dtype: str
    rows: tuple[int, ...]
    sha256: tuple[str, ...]


class StoredActivations(Activations):
    """Activations of a complete folder, memory-mapped; every shard was checked when it was opened."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._width = manifest.width
        pieces = [_mapped(shard_path(folder, i)) for i in range(len(manifest.rows))]
        self._x = [x_ND for x_ND, _ in pieces]
        self._doc_N = torch.cat([doc_N for _, doc_N in pieces])
        self._starts = torch.tensor([0, *manifest.rows]).cumsum(0)

    @property
    def doc_N(self) -> Tensor:
        """int64 ``[N]``."""
        return self._doc_N

    @property
    def width(self) -> int:
        """``D``."""
        return self._width

    def take(self, index_N: Tensor) -> Tensor:
        """Return rows ``index_N`` as float32, reading only the pages that hold them."""
        shard_N = torch.searchsorted(self._starts, index_N, right=True) - 1
        out_ND = torch.empty(index_N.shape[0], self._width)
        for shard in torch.unique(shard_N).tolist():
            here_N = torch.nonzero(shard_N == shard).flatten()
            out_ND[here_N] = self._x[shard][index_N[here_N] - self._starts[shard]].float()
        return out_ND


def shard_path(folder: Path, index: int) -> Path:
    """Return the path of one shard."""
    return folder / f"{index:05d}.safetensors"


def save_shard(folder: Path, index: int, plan: str, x_ND: Tensor, doc_N: Tensor) -> None:
    """Write one shard atomically, with the checksum of its rows in its header."""
    x_ND, doc_N = x_ND.contiguous().cpu(), doc_N.contiguous().cpu()
    metadata = {"plan": plan, "sha256": _digest(x_ND, doc_N)}
    write_bytes(shard_path(folder, index), save({"x": x_ND, "doc": doc_N}, metadata=metadata))


def missing_shards(folder: Path, plan: str, count: int) -> list[int]:
    """Return the shards of ``plan`` that are not there whole; what is torn or of another plan is removed."""
    missing = []
    for index in range(count):
        if _check(shard_path(folder, index), plan) is None:
            shard_path(folder, index).unlink(missing_ok=True)
            missing.append(index)
    if missing:
        (folder / "manifest.json").unlink(missing_ok=True)
    return missing


def finish(folder: Path, plan: str, count: int) -> StoredActivations:
    """Write the manifest over ``count`` whole shards and open the folder."""
    manifest = _describe(folder, plan, count)
    if manifest is None:
        raise RuntimeError(f"a shard of {folder} was altered while the folder was being finished")
    write_text(folder / "manifest.json", json.dumps(asdict(manifest), indent=1) + "\n")
    return StoredActivations(folder, manifest)


def read_manifest(folder: Path) -> Manifest | None:
    """Return what a folder says it holds, or None where it says nothing whole; its shards are not looked at."""
    try:
        value = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return Manifest(**{**value, "rows": tuple(value["rows"]), "sha256": tuple(value["sha256"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def open_activations(folder: Path) -> StoredActivations | None:
    """Open a complete folder, or return None where it is absent or anything in it is not as the manifest says."""
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    # Compared as a whole: a manifest with a wrong number of rows would hand out wrong rows.
    same = manifest == _describe(folder, manifest.plan, len(manifest.rows))
    return StoredActivations(folder, manifest) if same else None


def _describe(folder: Path, plan: str, count: int) -> Manifest | None:
    """Return the manifest that fits the first ``count`` shards, or None where one of them is not whole."""
    rows, digests, forms = [], [], set()
    for index in range(count):
        digest = _check(shard_path(folder, index), plan)
        if digest is None:
            return None
        x_ND, _ = _mapped(shard_path(folder, index))
        rows.append(int(x_ND.shape[0]))
        digests.append(digest)
        forms.add((int(x_ND.shape[1]), str(x_ND.dtype).removeprefix("torch.")))
    if len(forms) != 1:
        return None
    width, dtype = forms.pop()
    return Manifest(plan, width, dtype, tuple(rows), tuple(digests))


def _mapped(path: Path) -> tuple[Tensor, Tensor]:
    with safe_open(path, framework="pt") as shard:
        return shard.get_tensor("x"), shard.get_tensor("doc")


def _check(path: Path, plan: str) -> str | None:
    """Return the checksum of a whole shard of ``plan``, or None."""
    try:
        with safe_open(path, framework="pt") as shard:
            metadata = shard.metadata() or {}
            x_ND, doc_N = shard.get_tensor("x"), shard.get_tensor("doc")
    except (OSError, SafetensorError, ValueError):
        return None
    stated = metadata.get("sha256")
    return stated if metadata.get("plan") == plan and stated == _digest(x_ND, doc_N) else None


def _digest(x_ND: Tensor, doc_N: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in (x_ND, doc_N):
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(memoryview(tensor.contiguous().view(torch.uint8).numpy()))  # type: ignore[arg-type]
    return digest.hexdigest()
