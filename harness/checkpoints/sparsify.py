"""sparsify (EleutherAI): ``cfg.json`` and ``sae.safetensors``; folders are named after the site, e.g. ``layers.12``.

Codes are the ``k`` largest ReLU pre-activations of ``x - b_dec`` (``topk``), or the largest of each of ``k`` equal
groups (``groupmax``). ``W_dec`` is ``[F, D]``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.checkpoints.card import Activation, Card, Format, OneLayer, Options, Trained, named, positive, read_json
from harness.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor

_NAMES = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "W_dec", "b_dec": "b_dec"}
_ACTIVATIONS: dict[str, Activation] = {"topk": "topk", "groupmax": "groupmax"}
_SITE = re.compile(r"(?:.*\.)?(?:layers|h|blocks)\.(\d+)(\..+)?")


def read(folder: Path) -> Card:
    """Return the card; raises ``UserError`` on any option we do not do."""
    options = Options(read_json(folder / "cfg.json"), str(folder / "cfg.json"))
    width = positive(options.take("d_in", int), "d_in", options.where)
    latents = options.take("num_latents", int, 0) or width * options.take("expansion_factor", int, 32)
    k = positive(options.take("k", int, 32), "k", options.where)
    activation = options.take("activation", str, "topk")
    if activation not in _ACTIVATIONS:
        raise unknown("activation", activation, _ACTIVATIONS, options.where)
    if activation == "groupmax" and latents % k:
        raise UserError(f"{options.where}: groupmax needs latents ({latents}) that k ({k}) divides")
    options.want("transcode", [False], "a transcoder predicts another site than it reads")
    options.want("skip_connection", [False], "the reconstruction would not be a function of the code")
    options.want("signed", [False], "codes are the largest ReLU pre-activations")
    options.ignore(("expansion_factor", "normalize_decoder", "multi_topk"))
    options.end()
    return Card(
        folder,
        FORMAT.name,
        activation,
        _ACTIVATIONS[activation],
        k=k,
        width=width,
        latents=latents,
        trained=_trained(folder.resolve().name),
    )


def _trained(name: str) -> Trained:
    found = _SITE.fullmatch(name)
    if found is None:
        return Trained()
    return Trained(hook=name, layer=None if found.group(2) else int(found.group(1)))


def arrange(card: Card, tensors: Mapping[str, Tensor]) -> OneLayer:
    """Rename; the orientation is ours."""
    return card.layer(named(tensors, _NAMES, card))


FORMAT = Format("sparsify", "cfg.json", "sae.safetensors", read, arrange)
