"""Tensors of a file, as float32 on the CPU, without running code that comes with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from harness.errors import UserError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a ``.safetensors``, ``.pt`` or ``.npz`` file; raises ``UserError``.

    A ``.pt`` file is read by PyTorch's loader of weights alone, an ``.npz`` file without objects: neither runs code.
    """
    try:
        tensors = _READERS[path.suffix](path)
    except Exception as error:  # foreign bytes: a torn file makes the readers raise anything
        raise UserError(f"{path} cannot be read: {type(error).__name__}: {str(error).partition(chr(10))[0]}") from None
    return {name: value.float().contiguous() for name, value in tensors.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = load_file(path)
    return tensors


def _read_pt(path: Path) -> dict[str, Tensor]:
    value = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(value, dict) or not all(isinstance(tensor, Tensor) for tensor in value.values()):
        raise ValueError("it holds something else than named tensors")
    return {str(name): tensor for name, tensor in value.items()}


def _read_npz(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


_READERS = {".safetensors": _read_safetensors, ".pt": _read_pt, ".npz": _read_npz}
