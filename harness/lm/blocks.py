"""Decoder blocks of any Hugging Face causal language model: where they are, what they return, how to replace one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.errors import UserError


def text_config(network: PreTrainedModel) -> Any:
    """Return the config of the text part (the whole config of a text-only model)."""
    return network.config.get_text_config()


def find_blocks(network: PreTrainedModel, name: str) -> nn.ModuleList:
    """Return the list of decoder blocks: the one ``nn.ModuleList`` of ``num_hidden_layers`` modules nearest the top.

    Raises:
        UserError: there is none, or several equally near.
    """
    count = getattr(text_config(network), "num_hidden_layers", None)
    body = network.base_model
    found = [
        (path.count("."), path, module)
        for path, module in body.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    nearest = [item for item in found if item[0] == min(depth for depth, _, _ in found)]
    kind = type(network).__name__
    if not nearest:
        raise UserError(f"model '{name}': cannot find the {count} decoder blocks of {kind}; it is not supported.")
    if len(nearest) > 1:
        paths = ", ".join(path for _, path, _ in nearest)
        raise UserError(f"model '{name}': cannot tell which of {paths} holds the decoder blocks of {kind}.")
    return nearest[0][2]


def hidden_of(output: Any) -> Tensor:
    """Return the hidden states ``[B, T, D]`` in a block's output: itself (transformers 5) or first of a tuple (4)."""
    hidden = output if isinstance(output, Tensor) else output[0] if isinstance(output, tuple | list) else None
    if not isinstance(hidden, Tensor):
        raise TypeError(f"a decoder block returned {type(output).__name__}, expected a tensor or a tuple of them")
    return hidden


def with_hidden(output: Any, x_BTD: Tensor) -> Any:
    """Return ``output`` with its hidden states replaced by ``x_BTD``, in the container the block returned."""
    if isinstance(output, Tensor):
        return x_BTD
    hidden_of(output)  # refuses anything else
    return type(output)([x_BTD, *output[1:]])


@contextmanager
def forwards(modules: Iterable[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    """Let ``forward`` be called in place of the modules' own inside the block; put back whatever was there after it.

    Only the instance is touched, so a ``forward`` that accelerate or a user has set on it comes back as well.
    """
    own = [(module, vars(module).get("forward")) for module in modules]
    for module, _ in own:
        vars(module)["forward"] = forward
    try:
        yield
    finally:
        for module, before in own:
            if before is None:
                vars(module).pop("forward", None)
            else:
                vars(module)["forward"] = before


@contextmanager
def hooked(hooks: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    """Register forward hooks for the duration of the block."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def device_of(module: nn.Module, fallback: torch.device) -> torch.device:
    """Return where ``module`` computes: its accelerate hook's device, else that of its weights."""
    executes_on = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    if executes_on is not None:
        return torch.device(executes_on)
    first = next(module.parameters(), None)
    return fallback if first is None or first.device.type == "meta" else first.device
