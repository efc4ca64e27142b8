"""dictionary_learning: ``config.json`` and ``ae.pt``. TopK and BatchTopK files hold the same tensors: only
``trainer.dict_class`` tells them apart.

A trainer that normalises activations folds the factor into the biases before it saves, so files speak raw units.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.checkpoints.card import Activation, Card, Format, OneLayer, Options, Trained, named, positive, read_json
from harness.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _Class:
    """One ``dict_class``: its activation, whether it subtracts its decoder bias, and its tensors under our names.

    ``linear``: its weights are those of ``nn.Linear``, so the decoder is ``[D, F]``; else the encoder is ``[D, F]``.
    """

    activation: Activation
    names: Mapping[str, str]
    centred: bool = True
    linear: bool = True


_LINEAR = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "decoder.weight"}
_PLAIN = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")}
_TOPK = {**_LINEAR, "b_dec": "b_dec", "threshold": "threshold", "k": "k"}
_GATED = {
    "W_enc": "encoder.weight",
    "b_enc": "gate_bias",
    "W_dec": "decoder.weight",
    "b_dec": "decoder_bias",
    "r_mag": "r_mag",
    "b_mag": "mag_bias",
}
_CLASSES = {
    "AutoEncoder": _Class("relu", {**_LINEAR, "b_dec": "bias"}),
    "AutoEncoderNew": _Class("relu", {**_LINEAR, "b_dec": "decoder.bias"}, centred=False),
    "GatedAutoEncoder": _Class("gated", _GATED),
    "AutoEncoderTopK": _Class("topk", _TOPK),
    "BatchTopKSAE": _Class("threshold", _TOPK),
    "MatryoshkaBatchTopKSAE": _Class("threshold", {**_PLAIN, "k": "k", "groups": "group_sizes"}, linear=False),
    "JumpReluAutoEncoder": _Class("threshold", _PLAIN, centred=False, linear=False),
}
# Said by the trainers of version 0.1.0; none is read when the dictionary is used.
# fmt: off
_TRAINING = (
    "anneal_start", "auxk_alpha", "bandwidth", "decay_start", "device", "group_fractions", "group_sizes",
    "group_weights", "l1_penalty", "lr", "n_sparsity_updates", "norm_factor", "p_end", "p_start",
    "resample_steps", "seed", "sparsity_function", "sparsity_penalty", "sparsity_queue_length",
    "sparsity_warmup_steps", "steps", "target_l0", "threshold_beta", "threshold_start_step", "top_k_aux",
    "trainer_class", "wandb_name", "warmup_steps",
)
# fmt: on


def read(folder: Path) -> Card:
    """Return the card; raises ``UserError`` on any class or option we do not know."""
    path = str(folder / "config.json")
    outer = Options(read_json(folder / "config.json"), path)
    options = Options(outer.take("trainer", dict), f"{path}: trainer")
    outer.ignore(("buffer",))
    outer.end()
    name = options.take("dict_class", str)
    if name not in _CLASSES:
        raise unknown("dict_class", name, _CLASSES, options.where)
    kind = _CLASSES[name]
    card = Card(
        folder,
        FORMAT.name,
        name,
        kind.activation,
        k=positive(options.take("k", int, None), "k", options.where),
        centred=kind.centred,
        width=options.take("activation_dim", int, None),
        latents=options.take("dict_size", int, None),
        trained=_trained(options),
    )
    options.ignore(_TRAINING)
    options.end()
    if card.activation == "topk" and card.k is None:
        raise UserError(f"{options.where}: the option 'k' is missing")
    return card


def _trained(options: Options) -> Trained:
    """Read model and site; a submodule that is not named is the output of the block, as in the library's own runs."""
    model, layer = options.take("lm_name", str, None), options.take("layer", int, None)
    name = options.take("submodule_name", str, None)
    if layer is None and name is None:
        return Trained(model)
    block = re.fullmatch(r"resid_post(?:_layer_(\d+))?", name) if name else None
    if name and not block:
        return Trained(model, name)
    stated = int(block.group(1)) if block and block.group(1) else layer
    return Trained(model, name or f"layer {layer}", stated)


def arrange(card: Card, tensors: Mapping[str, Tensor]) -> OneLayer:
    """Turn what has to be turned; refuse a threshold that was never set."""
    kind = _CLASSES[card.architecture]
    got = named(tensors, kind.names, card)
    k, _ = got.pop("k", None), got.pop("groups", None)
    if k is not None and card.k is not None and int(k) != card.k:
        raise UserError(f"{card.folder}: the config says k={card.k}, the weights {int(k)}")
    turned = "W_dec" if kind.linear else "W_enc"
    got[turned] = got[turned].T
    if kind.activation == "topk":
        # Kept during training for an inference mode that the library does not use unless asked.
        del got["threshold"]
    elif "k" in kind.names and float(got["threshold"]) < 0:
        unset = f"the threshold is {float(got['threshold']):g}, so it was never set: the training was too short"
        raise UserError(f"{card.folder}: {unset}")
    elif card.architecture == "AutoEncoder":
        # Decoder rows get norm 1 and the encoder what they had, as in the library's ``load_dictionary``.
        norm_F = got["W_dec"].norm(dim=1)
        got |= {"W_enc": got["W_enc"] * norm_F[:, None], "b_enc": got["b_enc"] * norm_F}
        got["W_dec"] = got["W_dec"] / norm_F[:, None]
    return card.layer(got)


FORMAT = Format("dictionary_learning", "config.json", "ae.pt", read, arrange)
