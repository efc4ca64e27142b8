"""Strict YAML: no duplicate keys, no tags, no anchors, and every value remembers its line.

Differs from PyYAML's SafeLoader where that surprises people: ``1e-4`` is a number, ``no`` and ``on`` are words, ``012``
is a word rather than 10, and dates stay text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError

Key = tuple[str | int, ...]

# The C parser where PyYAML has it: a task with hundreds of prompts is read in a tenth of the time.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_BOOL = {"true": True, "false": False}
_NULL = {"", "null", "~"}
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.inf")


@dataclass(frozen=True)
class Document:
    """A YAML file as plain Python values.

    Attributes:
        path: the file.
        value: dicts, lists, strings, numbers, booleans and None.
        lines: line (from 1) of every value, by its path of keys and indices.
    """

    path: Path
    value: dict[str, Any]
    lines: dict[Key, int]

    def where(self, key: Key) -> str:
        """Return ``file:line`` of the value at ``key``, or of its nearest parent that has one."""
        for cut in range(len(key), -1, -1):
            if key[:cut] in self.lines:
                return f"{self.path}:{self.lines[key[:cut]]}"
        return str(self.path)


def scalar(text: str) -> Any:
    """Return the plain value an unquoted YAML word stands for."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", "").replace(".inf", "inf"))
    return text


def read_yaml(path: Path) -> Document:
    """Read one mapping from a file; raises ``UserError`` with file and line on anything that is not plain data."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> Document:
    """Parse YAML ``text``; ``path`` is only named in errors."""
    try:
        _refuse_anchors(text, path)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    lines: dict[Key, int] = {}
    if not isinstance(root, yaml.MappingNode):
        raise UserError(
            f"{path}: must hold a mapping of keys to values, got {'nothing' if root is None else 'a list or a word'}"
        )
    return Document(path, _build(root, (), lines, path), lines)


def _refuse_anchors(text: str, path: Path) -> None:
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise UserError(
                f"{path}:{event.start_mark.line + 1}: anchors and aliases are not allowed; write the value out"
            )


def _build(node: yaml.Node, key: Key, lines: dict[Key, int], path: Path) -> Any:
    lines[key] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, key, lines, path)
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*key, i), lines, path) for i, child in enumerate(node.value)]
    _refuse_tag(node, path)
    if not isinstance(node, yaml.ScalarNode):
        raise TypeError(f"YAML has no other kind of node than mapping, sequence and scalar, got {type(node).__name__}")
    text: str = node.value
    return scalar(text) if not node.style else text


def _mapping(node: yaml.MappingNode, key: Key, lines: dict[Key, int], path: Path) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name_node, child in node.value:
        line = name_node.start_mark.line + 1
        name = name_node.value
        if not isinstance(name_node, yaml.ScalarNode):
            raise UserError(f"{path}:{line}: a key must be a word, not a list or a mapping")
        if name in result:
            first = lines[(*key, name)]
            raise UserError(f"{path}:{line}: duplicate key '{name}' (first on line {first})")
        result[name] = _build(child, (*key, name), lines, path)
        lines[(*key, name)] = line
    return result


def _refuse_tag(node: yaml.Node, path: Path) -> None:
    plain = (
        "tag:yaml.org,2002:" + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")
    )
    if node.tag not in set(plain):
        raise UserError(f"{path}:{node.start_mark.line + 1}: YAML tag '{node.tag}' is not allowed; only plain data is")
