"""Strict YAML: no duplicate keys, no tags, no anchors, and every value remembers its line.

Differs from PyYAML's SafeLoader where that surprises people: ``1e-4`` is a number, ``no`` and ``on`` are words, ``012``
is a word rather than 10, and dates stay text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError

Key = tuple[str | int, ...]

# The C parser where PyYAML has it: a task with hundreds of prompts is read in a tenth of the time.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_BOOL = {"true": True, "false": False}
_NULL = {"", "null", "~"}
_DIGITS = r"(0|[1-9][0-9]*(_[0-9]+)*)"
_INT = re.compile(rf"[-+]?{_DIGITS}")
_FLOAT = re.compile(rf"[-+]?({_DIGITS}(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.inf")
# Far more than any spec needs, and far less than what overflows the stack of the parser.
_DEEPEST = 40


@dataclass(frozen=True)
class Document:
    """A YAML file as plain Python values.

    Attributes:
        path: the file.
        value: dicts, lists, strings, numbers, booleans and None.
        lines: line (from 1) of every value, by its path of keys and indices.
        sets: what the command line put in place of values of the file, as ``KEY=VALUE``, by path.
    """

    path: Path
    value: dict[str, Any]
    lines: dict[Key, int]
    sets: Mapping[Key, str] = field(default_factory=dict)

    def where(self, key: Key) -> str:
        """Return ``file:line`` of the value at ``key``, or of its nearest parent; ``--set …`` where that decided it."""
        changed = [word for path, word in self.sets.items() if all(a == b for a, b in zip(path, key, strict=False))]
        if changed:
            return " ".join(f"--set {word}" for word in changed)
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


def in_words(value: Any) -> Any:
    """Return plain data as JSON can hold it: a number that is not finite becomes the word for it in YAML (``.inf``)."""
    if isinstance(value, dict):
        return {key: in_words(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [in_words(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("inf", ".inf").replace("nan", ".nan")
    return value


def read_yaml(path: Path) -> Document:
    """Read one mapping from a file; raises ``UserError`` with file and line on anything that is not plain data."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    return parse_yaml(text, path)


def parse_value(text: str, where: str) -> Any:
    """Return what ``text`` would be behind a key in a YAML file; ``where`` is named in errors."""
    try:
        value = parse_yaml(f"value: {text}", Path(where)).value
    except UserError as error:
        # There is no file, so a line would mislead.
        raise UserError(re.sub(r":\d+:", ":", str(error), count=1)) from None
    if list(value) != ["value"]:
        raise UserError(f"{where}: give one value, got several keys")
    return value["value"]


def parse_yaml(text: str, path: Path) -> Document:
    """Parse YAML ``text``; ``path`` is only named in errors."""
    try:
        _refuse_more_than_plain_data(text, path)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    lines: dict[Key, int] = {}
    if not isinstance(root, yaml.MappingNode):
        raise UserError(
            f"{path}: must hold a mapping of keys to values, got {'nothing' if root is None else 'a list or a word'}"
        )
    return Document(path, _build(root, (), lines, path), lines)


def _refuse_more_than_plain_data(text: str, path: Path) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        where = f"{path}:{event.start_mark.line + 1}" if event.start_mark else str(path)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise UserError(f"{where}: anchors and aliases are not allowed; write the value out")
        tag = getattr(event, "tag", None)
        if tag:
            raise UserError(f"{where}: YAML tag '{tag}' is not allowed; only plain data is")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise UserError(f"{where}: values are nested more than {_DEEPEST} deep")


def _build(node: yaml.Node, key: Key, lines: dict[Key, int], path: Path) -> Any:
    lines[key] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, key, lines, path)
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*key, i), lines, path) for i, child in enumerate(node.value)]
    if not isinstance(node, yaml.ScalarNode):
        raise TypeError(f"YAML has no other kind of node than mapping, sequence and scalar, got {type(node).__name__}")
    text: str = node.value
    try:
        return scalar(text) if not node.style else text
    except ValueError:
        raise UserError(f"{path}:{lines[key]}: a number of {len(text)} digits is too long") from None


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
