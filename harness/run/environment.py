"""What a record says about the machine, the libraries and the code that made it."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from functools import lru_cache

import torch

from harness.content import PACKAGE

LIBRARIES = ("torch", "transformers", "numpy", "scipy", "safetensors", "tokenizers", "reasoning-gym", "datasets")
DISTRIBUTION = "interp-harness"


@lru_cache(maxsize=1)
def libraries() -> dict[str, str]:
    """Return the versions of the libraries that decide numbers."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def package_version() -> str:
    """Return the version of this package, or 'unknown' where it runs from a folder that was never installed."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


@lru_cache(maxsize=1)
def commit() -> tuple[str | None, bool | None]:
    """Return the commit of the package's own folder and whether its code differs from it; None outside a checkout."""
    top = _git("rev-parse", "--show-toplevel")
    # A wheel installed inside somebody's repository must not borrow that repository's commit.
    if top is None or not (PACKAGE / "__init__.py").is_file() or _git("ls-files", "__init__.py") in (None, ""):
        return None, None
    changed = _git("status", "--porcelain", "--", ".", "../methods", "../tasks")
    return _git("rev-parse", "HEAD"), changed != ""


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=PACKAGE, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def describe_platform() -> str:
    """Return operating system and processor, without the machine's name."""
    return f"{platform.system()} {platform.machine()}"


def threads() -> int:
    """Return how many threads torch computes with; another number moves the last digits."""
    return torch.get_num_threads()
