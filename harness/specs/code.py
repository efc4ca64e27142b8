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
    """Return a hash of what Python files do (every ``.py`` below, for a folder): comments and docstrings do nothing."""
    total = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            total.update(file.name.encode() + b"\0" + _doing(file.read_bytes()) + b"\0")
    return total.hexdigest()[:24]


def _doing(source: bytes) -> bytes:
    """Return the code of a file without its words; bytes that are not Python stand for themselves."""
    try:
        return ast.unparse(_Wordless().visit(ast.parse(source))).encode()
    except (SyntaxError, ValueError):
        return source


class _Wordless(ast.NodeTransformer):
    """Takes out every string that stands by itself."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Return the statement, or nothing where it is a string."""
        words = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if words else node


def with_imports(path: Path, *packages: str) -> tuple[Path, ...]:
    """Return a file and those of ``harness.PACKAGE …`` that it imports, or they do, in a fixed order.

    A new file that nothing imports changes no hash, so what others have computed stays valid beside it. A name that a
    package passes on counts as imported from where it is defined.
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
    inside = (_defined_in(name) for name in names if name.startswith(prefixes))
    return tuple(file for file in inside if file is not None)


def _defined_in(name: str) -> Path | None:
    """Return the file of a module, or of the module that a package's ``__init__`` takes the name from."""
    place = PACKAGE.joinpath(*name.split(".")[1:])
    if place.with_suffix(".py").is_file():
        return place.with_suffix(".py")
    init = place.parent / "__init__.py"
    module = _passed_on(init).get(place.name) if init.is_file() else None
    return _defined_in(module) if module else None


@lru_cache(maxsize=64)
def _passed_on(init: Path) -> dict[str, str]:
    """Return the module by name of everything that a package takes from its modules."""
    imports = [node for node in ast.parse(init.read_bytes()).body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.asname or alias.name: str(node.module) for node in imports for alias in node.names}


def _names(node: ast.AST) -> Iterable[str]:
    """Return what an import may mean by module: ``from a.b import c`` is a.b, or a.b.c."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return ()
