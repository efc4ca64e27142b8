"""Passwords in URLs, taken out of whatever is printed or recorded."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"
# A password may hold any letter, '@' too, so everything up to the last '@' of the word goes.
_BEFORE_HOST = re.compile(r"(://[^:/@\s]*:).+@", re.DOTALL)
_IN_QUERY = re.compile(r"([?&](?:password|passwd|pwd|sslpassword|token)=)[^&]*", re.IGNORECASE)


def masked(word: str) -> str:
    """Return one word of a command, or one URL, with ``***`` in place of a password in it."""
    return _IN_QUERY.sub(rf"\1{MASK}", _BEFORE_HOST.sub(rf"\1{MASK}@", word))


def masked_values(value: Any) -> Any:
    """Return plain data with every text of it masked; what JSON does not know becomes text first."""
    if isinstance(value, dict):
        return {masked(str(key)): masked_values(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_values(inner) for inner in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return masked(str(value))
