"""Measured effects of latents on disk: each costs a pass through the rest of the model, so none is measured twice.

They are kept for the predictions of one batch, so that a killed run loses those of one batch at most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from harness.content import PACKAGE
from harness.specs.code import code_hash
from harness.specs.identity import digest
from harness.store.files import write_bytes


def effects_key(place: Sequence[object], tensors: Sequence[Tensor]) -> str:
    """Return the key of effects: the model and the block, what the model is run on from, and the code that does it."""
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    code = code_hash(PACKAGE / "tracks" / "importance.py", PACKAGE / "lm" / "model.py", PACKAGE / "lm" / "past.py")
    return digest([list(place), total.hexdigest(), code])


def measured_once(path: Path, compute: Callable[[], Tensor], like: Tensor) -> Tensor:
    """Return effects ``[n, F]`` from a file, or compute and write them; a torn or foreign file counts as none.

    Args:
        path: the file.
        compute: measures them; 0 where a latent is silent.
        like: codes ``[n, F]``; the result stands on their device.
    """
    try:
        found = load_file(path)
        effect_nF = torch.zeros(like.shape, dtype=found["value"].dtype)
        effect_nF[found["row"], found["latent"]] = found["value"]
        return effect_nF.to(like.device)
    except (OSError, KeyError, IndexError, SafetensorError):
        effect_nF = compute()
    row_m, latent_m = torch.nonzero(like, as_tuple=True)
    value_m = effect_nF[row_m, latent_m]
    write_bytes(path, save({name: t.cpu() for name, t in (("row", row_m), ("latent", latent_m), ("value", value_m))}))
    return effect_nF
