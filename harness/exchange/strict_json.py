"""Other people's JSON: read whole or refused with a sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from harness.errors import UserError

# Results with a row per feature reach tens of megabytes; what is larger is something else.
LARGEST = 64 * 2**20
DEEPEST = 40


def parse_strict(data: bytes, where: str) -> Any:
    """Return the value of a JSON document.

    Args:
        data: the bytes of the file.
        where: what to call it in errors.

    Raises:
        UserError: it is too large or nested too deep, is not JSON as the standard has it (NaN, Infinity and numbers
            beyond a float are not), or names a key twice.
    """
    if len(data) > LARGEST:
        raise UserError(f"{where}: {len(data) / 2**20:.0f} MB are too many; results have at most {LARGEST // 2**20}")
    try:
        value = json.loads(data, parse_constant=_refuse, parse_float=_number, object_pairs_hook=_once)
    except RecursionError:
        raise UserError(f"{where}: values are nested too deep") from None
    except ValueError as error:
        raise UserError(f"{where}: not JSON: {error}") from None
    if _depth(value) > DEEPEST:
        raise UserError(f"{where}: values are nested more than {DEEPEST} deep")
    return value


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file; raises ``UserError`` where it cannot be read or is too large."""
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path}: is larger than the {LARGEST // 2**20} MB that results have at most")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"it holds {word}, which the standard does not have")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no number that a computer holds")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice[:80]!r} is given twice")
    return found


def _depth(value: Any) -> int:
    deep, level = 0, [value]
    while level:
        level = [inner for outer in level for inner in _inside(outer)]
        deep += 1
    return deep


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
