"""Interp Harness: every interpretability method meets every task under the same data, budget, controls and statistics.

What is named here mirrors the commands; it is imported at its first use, so that ``import harness`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.audits.audit import audit
    from harness.board import load_board, write_pages
    from harness.comparison.comparing import compare
    from harness.comparison.planning import plan as power
    from harness.gates import gate
    from harness.replay.verify import verify
    from harness.reporting.making import report
    from harness.run.evaluate import evaluate

__all__ = ["audit", "compare", "evaluate", "gate", "load_board", "power", "report", "verify", "write_pages"]

_HOMES = {
    "audit": ("harness.audits.audit", "audit"),
    "compare": ("harness.comparison.comparing", "compare"),
    "evaluate": ("harness.run.evaluate", "evaluate"),
    "gate": ("harness.gates", "gate"),
    "load_board": ("harness.board", "load_board"),
    "power": ("harness.comparison.planning", "plan"),
    "report": ("harness.reporting.making", "report"),
    "verify": ("harness.replay.verify", "verify"),
    "write_pages": ("harness.board", "write_pages"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    import importlib

    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)
