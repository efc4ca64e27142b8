"""What the contract tests of every kind of method ask of its class."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Any


def check_documented(make: Callable[..., Any], params: Any) -> None:
    """Check that the class, its ``Params`` and every parameter have a doc string; raises ``AssertionError``."""
    require(bool(inspect.getdoc(make)), "the class has a doc string")
    require(getattr(make, "Params", None) is type(params), "the class has an attribute Params, the type of params")
    undocumented = [
        name
        for kind in _dataclasses(params)
        for name in (f.name for f in fields(kind))
        if name not in _documented(kind)
    ]
    require(not undocumented, f"every parameter has a doc string under it; these lack one: {undocumented}")


def require(true: bool, contract: str) -> None:
    """Raise ``AssertionError`` with what the contract is, where it is not kept."""
    if not true:
        raise AssertionError(f"contract: {contract}")


def _dataclasses(params: Any) -> list[type]:
    inner = (getattr(params, f.name) for f in fields(params))
    return [type(params), *(kind for value in inner if is_dataclass(value) for kind in _dataclasses(value))]


def _documented(kind: type) -> set[str]:
    """Return the fields of a dataclass that are followed by a string, as read from its source and its bases'."""
    return {name for base in kind.__mro__ if is_dataclass(base) for name in _documented_in(base)}


def _documented_in(kind: type) -> set[str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    lines = body.body if isinstance(body, ast.ClassDef) else []
    return {
        line.target.id
        for line, below in pairwise(lines)
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
