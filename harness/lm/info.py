"""What records say of a loaded language model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import transformers
from transformers import PreTrainedModel

from harness.lm.blocks import text_config
from harness.lm.int8 import Int8Linear


@dataclass(frozen=True)
class Identity:
    """What a record says of a loaded model that the loaded model itself does not know."""

    name: str
    label: str
    fingerprint: str
    dtype: str


@dataclass(frozen=True)
class ModelInfo:
    """A loaded language model in words and numbers, for records.

    Attributes:
        name: what the user called it.
        label: what was done to the published weights.
        fingerprint: of weights, tokenizer and conversion (``harness.lm.fingerprints``), not of the dtype.
        blocks: decoder blocks.
        width: ``D`` of the residual stream.
        vocab: ``V`` of the logits.
        context: longest input in tokens, ``None`` if the config does not say.
        parameters: weights, tied ones once.
        dtype: float32, bfloat16, float16 or int8 (weights of the blocks in int8, all else float32).
        device: where it computes, e.g. ``cpu`` or ``cuda:0, cuda:1``.
        libraries: versions of what computes it.
    """

    name: str
    label: str
    fingerprint: str
    blocks: int
    width: int
    vocab: int
    context: int | None
    parameters: int
    dtype: str
    device: str
    libraries: Mapping[str, str]


def describe(network: PreTrainedModel, identity: Identity, blocks: int, vocab: int, device: torch.device) -> ModelInfo:
    """Return the facts of a loaded model; ``vocab`` is the width of its logits."""
    config = text_config(network)
    spread = sorted({str(each) for each in getattr(network, "hf_device_map", {}).values()})
    eight_bit = sum(module.weight.numel() for module in network.modules() if isinstance(module, Int8Linear))
    return ModelInfo(
        name=identity.name,
        label=identity.label,
        fingerprint=identity.fingerprint,
        blocks=blocks,
        width=int(config.hidden_size),
        vocab=vocab,
        context=getattr(config, "max_position_embeddings", None),
        parameters=sum(value.numel() for value in network.parameters()) + eight_bit,
        dtype=identity.dtype,
        device=", ".join(spread) or str(device),
        libraries={"torch": torch.__version__, "transformers": transformers.__version__},
    )
