"""Architectures that reading and continuing would get wrong are refused when they load, not measured."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from harness.errors import UserError
from harness.lm.blocks import find_blocks
from harness.lm.info import Identity
from harness.lm.model import LanguageModel
from harness.lm.tiny import tiny_model, tiny_tokenizer


def three_blocks() -> transformers.LlamaConfig:
    return transformers.LlamaConfig(
        vocab_size=260,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
    )


class TiedTwice(transformers.LlamaForCausalLM):  # type: ignore[misc]
    """Runs one block twice, as models with shared layers do."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model.layers[1] = self.model.layers[0]


class SecretHead(transformers.LlamaForCausalLM):  # type: ignore[misc]
    """Looks past the body's output while projecting."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits + kwargs["input_ids"][..., None]
        return output


class SharedState(transformers.LlamaForCausalLM):  # type: ignore[misc]
    """Hands something from the first block to the last behind the residual stream's back."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        seen: list[Tensor] = [torch.zeros(())]

        def remember(_module: nn.Module, _args: Any, output: Tensor) -> None:
            seen[0] = output.mean() * 100 + seen[0]

        self.model.layers[0].mlp.register_forward_hook(remember)
        self.model.layers[-1].mlp.register_forward_hook(lambda _module, _args, output: output + seen[0].sin())


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (TiedTwice, "does not run each of its decoder blocks once and in order"),
        (SecretHead, "this architecture's head is not understood"),
        (SharedState, "is not understood"),
    ],
)
def test_architectures_that_are_not_understood_are_refused(kind: Any, says: str) -> None:
    with torch.random.fork_rng():
        network = kind(three_blocks())
    with pytest.raises(UserError, match=says):
        LanguageModel(network, tiny_tokenizer(), Identity("odd", "random", "none", "float32"))


def test_blocks_that_cannot_be_found_are_refused() -> None:
    network = tiny_model()
    network.model.others = nn.ModuleList([nn.Identity(), nn.Identity()])
    with pytest.raises(UserError, match="cannot tell which of layers, others"):
        find_blocks(network, "m")
    network = tiny_model()
    network.config.num_hidden_layers = 7
    with pytest.raises(UserError, match="cannot find the 7 decoder blocks of LlamaForCausalLM"):
        find_blocks(network, "m")
