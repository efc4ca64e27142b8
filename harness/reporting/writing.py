"""Numbers, tables and commands as every report writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.board import formats
from harness.board.escaping import inert
from harness.reporting.contract import Measure

# What stands behind the name of a row in Markdown.
ROLES = {None: "", "floor": " (floor)", "ceiling": " (ceiling)", "derived": " (derived)"}


def signed(found: Measure) -> str:
    """Write a difference with its sign and its interval, or a dash."""
    if found.value is None:
        return formats.DASH
    ends = "" if found.lo is None or found.hi is None else f" [{found.lo:+.3f}, {found.hi:+.3f}]"
    return f"{found.value:+.3f}{ends}"


def grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table, and an empty one."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def code(command: str) -> str:
    """Write a command as code; as text where it is none, or holds what would end the code."""
    typed = command.startswith("harness ") and not {"`", "\n", "|"} & set(command)
    return f"`{command}`" if typed else inert(command)
