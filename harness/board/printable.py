"""Text of records as it may be shown: nothing a terminal, an SVG or a page would act on instead of showing it."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from harness.specs.record import Record

# These turn the direction of whatever text follows them on a page.
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# What JSON may hold of letters that are not shown: raw, or as an escape other than \n, \t, \" and \\.
_SUSPECT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f" + "".join(sorted(_TURNS)) + r"]|\\[ubfr]")


def printable(value: Any) -> Any:
    """Return plain data whose text holds nothing that is acted on instead of shown."""
    if isinstance(value, str):
        return "".join(letter if _shown(letter) else "\ufffd" for letter in value)
    if isinstance(value, dict):
        return {printable(key): printable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(printable(inner) for inner in value)
    return value


def printable_record(record: Record) -> Record:
    """Return the record with ``printable`` text; most are as they are, which their JSON tells quickly."""
    try:
        suspect = _SUSPECT.search(record.model_dump_json()) is not None
    except ValueError:  # half a pair of surrogates, which no JSON can hold
        suspect = True
    return Record.model_validate(printable(record.model_dump())) if suspect else record


def _shown(letter: str) -> bool:
    return letter in "\n\t" or (unicodedata.category(letter) not in ("Cc", "Cs") and letter not in _TURNS)
