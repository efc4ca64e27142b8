"""Interp Harness: every interpretability method meets every task under the same data, budget, controls and statistics.

``harness.evaluate``, ``harness.load_board``, ``harness.compare`` and ``harness.audit`` mirror the commands; they are
imported at their first use, so that ``import harness`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.audits.audit import audit
    from harness.board import load_board, write_pages
    from harness.comparison.comparing import compare
    from harness.run.evaluate import evaluate

__all__ = ["audit", "compare", "evaluate", "load_board", "write_pages"]

_HOMES = {
    "audit": "harness.audits.audit",
    "compare": "harness.comparison.comparing",
    "evaluate": "harness.run.evaluate",
    "load_board": "harness.board",
    "write_pages": "harness.board",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
