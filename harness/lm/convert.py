"""GGUF to safetensors, once, so that loading takes half a second instead of half a minute."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch
import transformers
from gguf import GGUFReader
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from harness.errors import UserError
from harness.lm.fingerprints import CONVERTER
from harness.lm.quiet import quiet


def convert(gguf: Path, folder: Path) -> Mapping[str, str]:
    """Write the dequantized model (float32 safetensors) and its tokenizer into ``folder``.

    The weights are bit-equal to those that transformers loads from the GGUF file.

    Returns:
        What the manifest should say about the conversion.

    Raises:
        UserError: the file is damaged, or of an architecture that transformers cannot read from GGUF.
    """
    try:
        # One bar of transformers' GGUF reader obeys no switch, hence the redirection.
        with quiet(), contextlib.redirect_stderr(io.StringIO()):
            network = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
            _forget_quantization(network)
            network.save_pretrained(folder)
            _restore_splitting(tokenizer, gguf)
            tokenizer.save_pretrained(folder)
    except (OSError, ValueError, KeyError, IndexError, NotImplementedError) as error:
        raise UserError(f"{gguf.name}: cannot be converted to safetensors ({error}).") from error
    _make_portable(folder)
    return {"converter": str(CONVERTER), "torch": torch.__version__, "transformers": transformers.__version__}


def _forget_quantization(network: PreTrainedModel) -> None:
    """Let the model be saved: transformers refuses as long as anything says that it came from a GGUF file."""
    network.hf_quantizer = None
    for owner, name in (
        (network, "is_quantized"),
        (network, "quantization_method"),
        (network.config, "quantization_config"),
    ):
        if name in vars(owner):
            delattr(owner, name)


def _restore_splitting(tokenizer: PreTrainedTokenizerBase, gguf: Path) -> None:
    """Split text before BPE the way ``tokenizer.ggml.pre`` says; transformers reads GGUF files without looking at it.

    SmolLM splits digits off first; without it a line break or two spaces before a number become other tokens than
    those the model was trained on.
    """
    field = GGUFReader(gguf).fields.get("tokenizer.ggml.pre")
    backend: Tokenizer = tokenizer.backend_tokenizer
    if field is not None and field.contents() == "smollm":
        bytes_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytes_level])


def _make_portable(folder: Path) -> None:
    """Drop what only describes this conversion's own folder from ``tokenizer_config.json``."""
    path = folder / "tokenizer_config.json"
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: value for key, value in content.items() if key not in {"is_local", "local_files_only"}}
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False), encoding="utf-8")
