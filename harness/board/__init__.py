"""Publishing: records become tables and pages, without torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.board.pages import build, write_pages
    from harness.board.table import load_board

__all__ = ["build", "load_board", "write_pages"]

_HOMES = {"build": "pages", "load_board": "table", "write_pages": "pages"}


def __getattr__(name: str) -> Any:
    # Reading a board must not wait for the drawing library.
    if name not in _HOMES:
        raise AttributeError(f"module 'harness.board' has no attribute '{name}'")
    return getattr(importlib.import_module(f"harness.board.{_HOMES[name]}"), name)
