"""Weight-only int8: each output row of a linear layer has its own scale; activations stay float32."""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.errors import UserError

LEVELS = 127.0


@final
class Int8Linear(nn.Module):
    """A linear layer ``[..., in] → [..., out]`` with int8 weights ``[out, in]`` and a float32 scale per output row."""

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-30) / LEVELS
        self.register_buffer("weight", (weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x @ (weight * scale).T + bias`` in the dtype of ``x``."""
        return F.linear(x, (self.weight * self.scale).to(x.dtype), self.bias)


def quantize(network: PreTrainedModel, blocks: nn.ModuleList, name: str) -> None:
    """Replace every ``nn.Linear`` inside ``blocks`` by an ``Int8Linear``, in place; head and embeddings stay.

    Raises:
        UserError: the blocks hold no ``nn.Linear`` (GPT-2 keeps its weights in a module of its own, for example).
    """
    replaced = 0
    for parent in list(blocks.modules()):
        for key, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, key, Int8Linear(child))
                replaced += 1
    if not replaced:
        raise UserError(f"model '{name}': int8 needs nn.Linear layers, and {type(network).__name__} has none.")
