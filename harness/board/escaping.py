"""Text and numbers as pages and files may hold them: what records say cannot become markup or a formula."""

from __future__ import annotations

import math
import re

# What a page or a terminal acts on instead of showing it: controls, halves of pairs, and marks that turn the direction
# of whatever text follows them.
UNSHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*( of [A-Za-z0-9][A-Za-z0-9_.-]*)?")
_MARKUP = re.compile(r"([\\`*_\[\]{}|#~!])")
# What a forge turns into a link or a mention, wherever it stands in text.
_LIVE = ("@", "://", "www.")
# A spreadsheet runs a cell that begins with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def plain(value: float | None) -> float | None:
    """Return the number with ten figures: files must not differ by the rounding of the machine that built them.

    What is not finite has no number in JSON, and is None.
    """
    return None if value is None or not math.isfinite(value) else float(f"{value:.10g}")


def shown(text: str) -> str:
    """Return text in which nothing stands that a page or a terminal would act on without showing it."""
    return UNSHOWN.sub("\ufffd", text)


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, on one line, inside a table."""
    line = " ".join(shown(text).split())
    if _SLUG.fullmatch(line):
        return line
    return _MARKUP.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def inert(text: str) -> str:
    """Return text that Markdown shows as it is, and in which nothing becomes a link or calls a person."""
    escaped = escape_markdown(text)
    for word in _LIVE:
        escaped = escaped.replace(word, f"{word[0]}<!-- -->{word[1:]}")
    return escaped


def neutral(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
