"""Text and numbers as Markdown, CSV and JSON may hold them: what records say cannot become markup or a formula."""

from __future__ import annotations

import math
import re

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*( of [A-Za-z0-9][A-Za-z0-9_.-]*)?")
_MARKUP = re.compile(r"([\\`*_\[\]{}|#~!])")
# A spreadsheet runs a cell that begins with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def plain(value: float | None) -> float | None:
    """Return the number with ten figures: files must not differ by the rounding of the machine that built them.

    What is not finite has no number in JSON, and is None.
    """
    return None if value is None or not math.isfinite(value) else float(f"{value:.10g}")


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, on one line, inside a table."""
    line = " ".join(text.split())
    if _SLUG.fullmatch(line):
        return line
    return _MARKUP.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def neutral(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
