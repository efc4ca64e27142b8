"""Takes what is needed out of other people's JSON, and says what is not as it should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from harness.errors import UserError


@dataclass(frozen=True)
class Source:
    """Where a JSON document comes from: what to call it in errors, its name without folder, and its SHA-256."""

    where: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Fields:
    """A JSON object, and what to call it in errors."""

    value: Mapping[str, Any]
    where: str

    def inner(self, name: str) -> Fields:
        """Return the object under a key; raises ``UserError`` where there is none."""
        return Fields(mapping(self.value.get(name), f"{self.where}: {name}"), f"{self.where}: {name}")

    def inner_or_empty(self, name: str) -> Fields:
        """Return the object under a key, an empty one where the key is absent or null."""
        return self.inner(name) if self.value.get(name) is not None else Fields({}, f"{self.where}: {name}")

    def text(self, name: str) -> str:
        """Return the text under a key; raises ``UserError`` where there is none."""
        found = self.text_or_none(name)
        if found is None:
            raise UserError(f"{self.where}: '{name}' is missing")
        return found

    def text_or_none(self, name: str) -> str | None:
        """Return the text under a key, None where it is absent or null; raises ``UserError`` on anything else."""
        found = self.value.get(name)
        if found is not None and not isinstance(found, str):
            raise UserError(f"{self.where}: '{name}' must be text, got {kind(found)}")
        return found


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """Return a JSON object; raises ``UserError`` on anything else."""
    if not isinstance(value, dict):
        raise UserError(f"{where} must be an object of names and values, got {kind(value)}")
    return value


def number(value: Any, where: str) -> float:
    """Return a JSON number; raises ``UserError`` on anything else, true and false too."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    except OverflowError:
        raise UserError(f"{where}: a number of {len(str(abs(value)))} digits is no result") from None
    raise UserError(f"{where} must be a number, got {kind(value)}")


def epoch(seconds: float, where: str) -> str:
    """Return seconds since 1970 as UTC text; raises ``UserError`` on what is no time."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        raise UserError(f"{where}: {seconds} is no time") from None


def kind(value: Any) -> str:
    """Return what JSON calls a value."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
