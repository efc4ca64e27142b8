"""Which of the project's own files decide what a piece of code does: those it imports, and what they import."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from harness.content import PACKAGE


@lru_cache(maxsize=256)
def code_hash(*paths: Path) -> str:
    """Return a hash of the bytes of Python files (every ``.py`` below, for a folder)."""
    total = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            total.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()[:24]


def with_imports(path: Path, *packages: str) -> tuple[Path, ...]:
    """Return a file and those of ``harness.PACKAGE …`` that it imports, or they do, in a fixed order.

    A new file that nothing imports changes no hash, so what others have computed stays valid beside it.
    """
    found, todo = {path}, [path]
    while todo:
        new = set(_imported(todo.pop(), packages)) - found
        found |= new
        todo += new
    return path, *sorted(found - {path})


@lru_cache(maxsize=512)
def _imported(path: Path, packages: tuple[str, ...]) -> tuple[Path, ...]:
    tree = ast.parse(path.read_bytes())
    names = [name for node in ast.walk(tree) for name in _names(node)]
    prefixes = tuple(f"harness.{package}." for package in packages)
    inside = (PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py") for name in names if name.startswith(prefixes))
    return tuple(file for file in inside if file.is_file())


def _names(node: ast.AST) -> Iterable[str]:
    """Return what an import may mean by module: ``from a.b import c`` is a.b, or a.b.c."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return ()
