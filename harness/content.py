"""Where things are: the content folders (methods, tasks, reports) and the cache.

In a wheel the content folders lie inside the package; in a checkout they lie beside it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from harness.errors import UserError

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


def import_file(path: Path, name: str) -> ModuleType:
    """Import a Python file that lies outside the package, once, under a name of its own.

    Raises:
        UserError: whatever its code raises while it is imported; a half-imported module is not kept.
    """
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be imported as Python")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # foreign code: whatever it raises is the user's to mend
        del sys.modules[name]
        raise UserError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
