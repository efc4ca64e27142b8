"""Writes a fitted dictionary in SAELens' format (the layout since version 6), for every tool that reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from harness.checkpoints.card import Activation, OneLayer
from harness.checkpoints.saelens import FORMAT
from harness.errors import UserError

_ARCHITECTURES: dict[Activation, str] = {"relu": "standard", "topk": "topk", "threshold": "jumprelu", "gated": "gated"}
# The first version that reads this layout; without a version SAELens takes the file for one of the old layout.
_LAYOUT = "6.0.0"


def saelens_files(layer: OneLayer, model: str, block: int) -> dict[str, bytes]:
    """Return the content of each file of a folder that SAELens loads; raises ``UserError`` where it has no such kind.

    Args:
        layer: the dictionary, in raw units.
        model: name of the language model it was fitted on.
        block: block whose output it was fitted on, from 0.
    """
    if layer.activation not in _ARCHITECTURES:
        raise UserError(f"SAELens has no architecture for the activation '{layer.activation}'")
    tensors = {name: value.detach().cpu().contiguous() for name, value in _tensors(layer).items()}
    config = json.dumps(_config(layer, model, block), indent=1) + "\n"
    return {FORMAT.weights: save(tensors), str(FORMAT.config): config.encode()}


def _tensors(layer: OneLayer) -> dict[str, Tensor]:
    own = {"W_enc": layer.W_enc.T, "W_dec": layer.W_dec, "b_dec": layer.b_dec}
    if layer.activation == "gated" and layer.r_mag is not None and layer.b_mag is not None:
        return {**own, "b_gate": layer.b_enc, "r_mag": layer.r_mag, "b_mag": layer.b_mag}
    if layer.activation == "threshold" and layer.threshold is not None:
        return {**own, "b_enc": layer.b_enc, "threshold": layer.threshold.expand_as(layer.b_enc)}
    return {**own, "b_enc": layer.b_enc}


def _config(layer: OneLayer, model: str, block: int) -> dict[str, Any]:
    latents, width = layer.W_dec.shape
    kind: dict[str, Any] = {"architecture": _ARCHITECTURES[layer.activation]}
    if layer.activation == "topk":
        # Decoder norms are free to differ here, and the largest pre-activations are taken as they are.
        kind |= {"k": layer.k, "rescale_acts_by_decoder_norm": False}
    return {
        **kind,
        "d_in": width,
        "d_sae": latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": layer.centred,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": _LAYOUT,
            "sae_lens_training_version": None,
            "model_name": model,
            "hook_name": f"blocks.{block}.hook_resid_post",
        },
    }


def write_files(files: dict[str, bytes], folder: Path) -> None:
    """Write the files of a checkpoint; raises ``UserError`` where one of them is there already."""
    for name in files:
        if (folder / name).exists():
            raise UserError(f"--to: '{folder / name}' exists already; give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
