"""Edits: what blocks return is changed while the model runs, at any number of blocks at once.

An edit is a function of the hidden states of one call, ``[B, T, D] -> [B, T, D]``. With a KV cache ``T`` counts the new
tokens alone; with padding on the left an edit of every position touches the padding too, which nothing attends to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from harness.lm.blocks import hidden_of, hooked, with_hidden
from harness.lm.facts import check_layers
from harness.lm.model import LanguageModel

Edit = Callable[[Tensor], Tensor]


def added(delta: Tensor) -> Edit:
    """Return the edit that adds ``delta`` in the dtype and on the device of the hidden states.

    Args:
        delta: ``[D]`` for every position of every row, ``[T, D]`` for every row, or ``[B, T, D]``. Zeros change no bit.

    Raises:
        ValueError: at the first call, where ``delta`` does not fit what the block returns.
    """
    nothing = not bool(delta.any())

    def edit(x_BTD: Tensor) -> Tensor:
        fits = delta.ndim in (1, 2, 3) and delta.shape == x_BTD.shape[x_BTD.ndim - delta.ndim :]
        if not fits:
            raise ValueError(f"an edit of shape {tuple(delta.shape)} does not fit activations {tuple(x_BTD.shape)}")
        return x_BTD if nothing else x_BTD + delta.to(x_BTD)

    return edit


@contextmanager
def edited(model: LanguageModel, edits: Mapping[int, Edit]) -> Iterator[None]:
    """Let every call of the model inside the block run with ``edits``, by block from 0.

    ``read`` gives edited activations and generation generates under the edit. ``resume`` applies the edit of the block
    it continues from to what it is given; those of lower blocks have no effect on it, for these blocks do not run.

    Raises:
        UserError: a block is out of range.
    """
    check_layers(edits, model.info.blocks, model.info.name)

    def hook(edit: Edit) -> Callable[[nn.Module, Any, Any], Any]:
        def change(_module: nn.Module, _args: Any, output: Any) -> Any:
            before_BTD = hidden_of(output)
            after_BTD = edit(before_BTD)
            return output if after_BTD is before_BTD else with_hidden(output, after_BTD)

        return change

    with hooked((model.blocks[block], hook(edit)) for block, edit in edits.items()):
        yield
