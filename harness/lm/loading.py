"""From a name to a loaded language model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from harness.api import Progress, silent
from harness.errors import UserError, unknown
from harness.lm.blocks import find_blocks
from harness.lm.catalog import ModelSource, resolve
from harness.lm.fetch import fetch
from harness.lm.fingerprints import fingerprint
from harness.lm.hub import hub_commit
from harness.lm.info import Identity
from harness.lm.int8 import quantize
from harness.lm.model import LanguageModel
from harness.lm.quiet import quiet
from harness.lm.reflective import reflective_model, reflective_tokenizer
from harness.lm.reinit import drawn_anew
from harness.lm.tiny import tiny_model, tiny_tokenizer

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
INT8 = "int8"
Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]
# Kinds of source that are made in memory.
_MADE: dict[str, Callable[[], Loaded]] = {
    "tiny": lambda: (tiny_model(), tiny_tokenizer()),
    "planted": lambda: (reflective_model(), reflective_tokenizer()),
}


@dataclass(frozen=True)
class LoadOptions:
    """How to load a language model.

    Attributes:
        device: ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        dtype: ``float32``, ``bfloat16``, ``float16``, or ``int8`` (weights of the blocks' linear layers only).
        device_map: ``auto``, ``balanced``, … spreads the model over devices with accelerate, whatever ``device`` says.
        revision: branch, tag or commit of a hub model.
        trust_remote_code: whether Python code that comes with the model may run.
    """

    device: str = "auto"
    dtype: str = "float32"
    device_map: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False


DEFAULT_OPTIONS = LoadOptions()


def load_model(name: str, options: LoadOptions = DEFAULT_OPTIONS, progress: Progress = silent) -> LanguageModel:
    """Load the language model called ``name`` (see ``harness.lm.catalog.resolve``).

    Raises:
        UserError: unknown name, device or dtype; weights that cannot be had or are not safetensors; an architecture
            that is not understood.
    """
    source = resolve(name, options.revision)
    device = pick_device(options.device)
    if options.dtype not in (*DTYPES, INT8):
        raise unknown("dtype", options.dtype, (*DTYPES, INT8))
    if options.dtype == INT8 and options.device_map is not None:
        raise UserError("dtype int8 and a device map cannot be combined; drop one of them.")
    identity = Identity(name, source.label, fingerprint(source), options.dtype)
    if source.reinit and options.device_map is not None:
        raise UserError(f"model '{name}': weights drawn anew and a device map cannot be combined; drop one of them.")
    network, tokenizer = _made(source, options) if source.kind in _MADE else _pretrained(source, options, progress)
    if options.dtype == INT8:
        quantize(network, find_blocks(network, name), name)
        network = network.to(torch.float32)
    if options.device_map is None:
        network = network.to(device)
    _give_pad(tokenizer, name)
    return LanguageModel(network, tokenizer, identity)


def pick_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"device '{name}' is not known; use auto, cpu, cuda, cuda:N or mps.") from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UserError(f"device '{name}' is not there: torch sees {count} CUDA devices. Use cpu or auto.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("device 'mps' is not there. Use cpu or auto.")
    return device


def _made(source: ModelSource, options: LoadOptions) -> Loaded:
    network, tokenizer = _MADE[source.kind]()
    return _cast(drawn_anew(network.config) if source.reinit else network, options), tokenizer


def _cast(network: PreTrainedModel, options: LoadOptions) -> PreTrainedModel:
    for parameter in network.parameters():
        # Parameters alone: rotary frequencies are buffers and stay float32 in every precision.
        parameter.data = parameter.data.to(DTYPES.get(options.dtype, torch.float32))
    return network


def _pretrained(source: ModelSource, options: LoadOptions, progress: Progress) -> Loaded:
    folder, pinned = _locate(source, progress)
    trust: dict[str, Any] = {"trust_remote_code": options.trust_remote_code}
    common: dict[str, Any] = {**trust, **pinned}
    # int8 starts from the precision of the checkpoint: half the memory of float32 for most of them.
    weights: dict[str, Any] = {"dtype": DTYPES.get(options.dtype, "auto"), "use_safetensors": True}
    if options.device_map is not None:
        weights["device_map"] = options.device_map
    progress(f"loading {source.name}", 0, 1)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, **common)
            if source.reinit:
                network = _cast(drawn_anew(AutoConfig.from_pretrained(folder, **common), **trust), options)
            else:
                network = AutoModelForCausalLM.from_pretrained(folder, **common, **weights)
    except (OSError, ValueError, KeyError, ImportError) as error:
        said = str(error).strip() or type(error).__name__
        raise UserError(f"model '{source.name}' cannot be loaded: {said.splitlines()[0]}") from error
    progress(f"loading {source.name}", 1, 1)
    _check_rotary(network, source.name)
    return network, tokenizer


def _check_rotary(network: PreTrainedModel, name: str) -> None:
    """Refuse what transformers 4 gets wrong without a word: it ignores the rotary settings that 5 has written."""
    if version("transformers").startswith("4.") and getattr(network.config, "rope_parameters", None):
        raise UserError(
            f"model '{name}' was saved by transformers 5, and transformers 4 misreads it: update transformers."
        )


def _locate(source: ModelSource, progress: Progress) -> tuple[str | Path, dict[str, str]]:
    """Return folder or repository, and for the latter the commit to load: the one that is in the fingerprint."""
    if source.kind == "hub":
        return str(source.repo), {"revision": hub_commit(str(source.repo), source.revision)}
    if source.path is not None and source.kind == "folder":
        return source.path, {}
    return fetch(source, progress), {}


def _give_pad(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Make sure that rows can be padded; what fills them is masked, so any token will do."""
    if tokenizer.pad_token_id is not None:
        return
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"model '{name}': its tokenizer has neither a padding nor an end token, so rows cannot be padded."
        )
    tokenizer.pad_token = tokenizer.eos_token
