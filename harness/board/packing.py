"""Tables as JSON and back. A board is made of tables that went through it, so it is the same warm and cold."""

from __future__ import annotations

from pydantic import TypeAdapter

from harness.board.tabulate import Tabulated

_TABULATED: TypeAdapter[Tabulated] = TypeAdapter(Tabulated)


def packed(found: Tabulated) -> str:
    """Return a table as one line of JSON; a number that is not finite becomes null."""
    return _TABULATED.dump_json(found).decode()


def unpacked(text: str) -> Tabulated:
    """Return the table that ``packed`` wrote; raises ``ValueError`` where it is none."""
    return _TABULATED.validate_json(text)
