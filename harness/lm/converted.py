"""Where converted models lie. Imports neither torch nor transformers, so that listings answer at once."""

from __future__ import annotations

import hashlib
import re
from importlib.metadata import version
from pathlib import Path

from harness.content import cache_dir
from harness.lm.catalog import ModelSource
from harness.lm.fingerprints import gguf_fingerprint


def converted_folder(source: ModelSource, gguf_sha256: str) -> Path:
    """Return where the conversion of a GGUF file with this hash belongs; other bytes or converter, other folder.

    Releases 4 and 5 of transformers have a folder each: 4 reads the rotary settings that 5 writes as if they were not
    there, without a word.
    """
    stem = source.path.stem if source.path else source.name
    slug = re.sub(r"[^a-z0-9.]+", "-", stem.lower()).strip("-.") or "model"
    major = version("transformers").split(".")[0]
    digest = hashlib.sha256(f"{gguf_fingerprint(gguf_sha256)} transformers {major}".encode()).hexdigest()
    return cache_dir() / "models" / f"{slug[:60]}-{digest[:12]}"
