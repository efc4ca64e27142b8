"""GGUF to safetensors, once, so that loading takes half a second instead of half a minute."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path

import torch
import transformers
from gguf import GGUFReader, ReaderField
from tokenizers import Tokenizer, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from harness.errors import UserError
from harness.lm.fingerprints import CONVERTER
from harness.lm.quiet import quiet

SPECIAL = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "pad_token": "padding_token_id",
    "unk_token": "unknown_token_id",
}


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
            _obey_header(tokenizer, gguf)
            tokenizer.save_pretrained(folder)
    except Exception as error:  # the readers of a damaged file raise whatever its bytes lead them to
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{gguf.name}: cannot be converted to safetensors ({said}).") from error
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


def _obey_header(tokenizer: PreTrainedTokenizerBase, gguf: Path) -> None:
    """Do what the header of the file says of the tokenizer, where transformers reads it without looking.

    ``tokenizer.ggml.pre``: SmolLM splits digits off first; without it a line break or two spaces before a number
    become other tokens than those the model was trained on. ``tokenizer.ggml.add_bos_token``: transformers 4 adds one
    in any case. ``tokenizer.ggml.*_token_id``: transformers 4 takes the start of a text for its end.
    """
    fields = GGUFReader(gguf).fields
    backend: Tokenizer = tokenizer.backend_tokenizer
    if _value(fields, "tokenizer.ggml.pre") == "smollm":
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    if _value(fields, "tokenizer.ggml.add_bos_token") is False:
        backend.post_processor = processors.ByteLevel(trim_offsets=False)
    for token, key in SPECIAL.items():
        number = _value(fields, f"tokenizer.ggml.{key}")
        if isinstance(number, Integral):
            setattr(tokenizer, token, tokenizer.convert_ids_to_tokens(int(number)))


def _value(fields: Mapping[str, ReaderField], key: str) -> object:
    return fields[key].contents() if key in fields else None


def _make_portable(folder: Path) -> None:
    """Keep of ``tokenizer_config.json`` what every release of transformers reads alike: the class and its words."""
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in content.items() if key.endswith("_token") and not key.startswith("add_")}
    kept |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False), encoding="utf-8")
