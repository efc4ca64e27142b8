"""Where things are: the content folders (methods, tasks, reports) and the cache.

In a wheel the content folders lie inside the package; in a checkout they lie beside it.
"""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CONTENT = ("methods", "tasks", "reports")


def content_folder(name: str) -> Path:
    """Return the folder of one kind of content, one of ``methods``, ``tasks`` and ``reports``."""
    if name not in CONTENT:
        raise ValueError(f"content folder must be one of {CONTENT}, got {name!r}")
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def cache_dir() -> Path:
    """Return the cache folder: ``HARNESS_CACHE``, else ``interp-harness`` in the user's cache folder."""
    given = os.environ.get("HARNESS_CACHE")
    if given:
        return Path(given).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "interp-harness"
