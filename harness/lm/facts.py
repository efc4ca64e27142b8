"""Blocks, width, vocabulary and context of a language model, without loading its weights and without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gguf import GGUFReader

from harness.checkpoints.card import read_json
from harness.errors import UserError
from harness.lm.catalog import ModelFacts, ModelSource
from harness.lm.hub import hub_config

# The same fact has a different key in different families of models.
KEYS = {
    "blocks": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "width": ("hidden_size", "n_embd", "d_model", "dim"),
    "vocab": ("vocab_size",),
    "context": ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "seq_length"),
}


def facts(source: ModelSource) -> ModelFacts:
    """Return the facts of ``source``: from ``models.yaml``, ``config.json`` or the GGUF header.

    Raises:
        UserError: the config cannot be read or reached, or does not hold them.
    """
    if source.facts is not None:
        return source.facts
    if source.kind == "gguf":
        return _gguf_facts(_path(source))
    if source.kind == "hub":
        return _config_facts(hub_config(str(source.repo), source.revision), source.name)
    return _config_facts(read_json(_path(source) / "config.json"), source.name)


def check_layers(layers: Iterable[int], blocks: int, name: str) -> None:
    """Raise ``UserError`` when one of ``layers`` is not among ``0 … blocks - 1``."""
    for layer in layers:
        if not 0 <= layer < blocks:
            raise UserError(f"layer {layer} is out of range: model '{name}' has blocks 0..{blocks - 1}.")


def _path(source: ModelSource) -> Path:
    if source.path is None:
        raise ValueError(f"{source.kind} source '{source.name}' has no path")
    return source.path


def _config_facts(config: Mapping[str, Any], name: str) -> ModelFacts:
    inner = config.get("text_config")
    text = inner if isinstance(inner, Mapping) else config
    found = {fact: next((text[key] for key in keys if text.get(key) is not None), None) for fact, keys in KEYS.items()}
    missing = [fact for fact in ("blocks", "width", "vocab") if found[fact] is None]
    if missing:
        looked = ", ".join(key for fact in missing for key in KEYS[fact])
        raise UserError(f"model '{name}': config.json does not tell {' and '.join(missing)} (looked for {looked}).")
    context = found["context"]
    blocks, width, vocab = (int(str(found[fact])) for fact in ("blocks", "width", "vocab"))
    return ModelFacts(blocks, width, vocab, None if context is None else int(context))


def _gguf_facts(path: Path) -> ModelFacts:
    try:
        fields = GGUFReader(path).fields
        family = fields["general.architecture"].contents()
        blocks, width = (int(fields[f"{family}.{key}"].contents()) for key in ("block_count", "embedding_length"))
        # The vocabulary is the list of tokens; its length is known without decoding a single one.
        vocab = len(fields["tokenizer.ggml.tokens"].data)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"{path}: is not a GGUF file of a language model ({error}).") from error
    limit = fields.get(f"{family}.context_length")
    return ModelFacts(blocks, width, vocab, None if limit is None else int(limit.contents()))
