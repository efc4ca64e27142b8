"""``tiny-random``: a two-block Llama with random weights and a byte tokenizer, made in memory within milliseconds.

It computes nothing sensible; it exists so that everything else can be tried and tested without a download.
"""

from __future__ import annotations

import math

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness.lm.fingerprints import TINY

BYTES = 256
PAD, EOS = "<pad>", "<eos>"


def tiny_model() -> LlamaForCausalLM:
    """Return the model in float32 on the CPU; its weights come from the constants alone, on every call the same.

    The global random state is left as it was.
    """
    config = LlamaConfig(
        num_hidden_layers=TINY["blocks"],
        hidden_size=TINY["width"],
        num_attention_heads=TINY["heads"],
        intermediate_size=TINY["mlp"],
        vocab_size=TINY["vocab"],
        max_position_embeddings=TINY["context"],
        pad_token_id=BYTES,
        bos_token_id=None,
        eos_token_id=BYTES + 1,
    )
    with torch.random.fork_rng(devices=[]):  # transformers initialises from the global generator
        network = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(TINY["seed"])
    with torch.no_grad():
        for name, value in sorted(network.named_parameters()):
            if value.ndim == 1:  # gains of the norms
                value.fill_(1.0)
            else:
                # Unit-variance embeddings and logits, so that editing a block's output moves the prediction.
                scale = 1.0 if "embed" in name else 1.0 / math.sqrt(value.shape[1])
                value.copy_(torch.randn(value.shape, generator=generator) * scale)
    return network.eval()


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer whose ids 0…255 are the bytes of the UTF-8 text, with ``<pad>`` 256 and ``<eos>`` 257."""
    letters = _letters()
    backend = Tokenizer(models.BPE(vocab={letter: byte for byte, letter in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([PAD, EOS])  # in this order, or the ids would be swapped
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=PAD, eos_token=EOS, model_max_length=TINY["context"]
    )


def _letters() -> list[str]:
    """Return the letter that the byte-level alphabet writes for each byte: itself where printable, else past 255."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    letters, past = [], BYTES
    for byte in range(BYTES):
        letters.append(chr(byte if byte in printable else past))
        past += byte not in printable
    return letters
