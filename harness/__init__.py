"""Interp Harness: every interpretability method meets every task under the same data, budget, controls and statistics.

What is named here mirrors the commands; it is imported at its first use, so that ``import harness`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.audits.audit import audit
    from harness.board import load_board, write_pages
    from harness.comparison.comparing import compare
    from harness.gates import gate
    from harness.replay.verify import verify
    from harness.run.evaluate import evaluate

__all__ = ["audit", "compare", "evaluate", "gate", "load_board", "verify", "write_pages"]

_HOMES = {
    "audit": "harness.audits.audit",
    "compare": "harness.comparison.comparing",
    "evaluate": "harness.run.evaluate",
    "gate": "harness.gates",
    "load_board": "harness.board",
    "verify": "harness.replay.verify",
    "write_pages": "harness.board",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
