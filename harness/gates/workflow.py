"""The workflow file that comes with the package, for users' continuous integration."""

from __future__ import annotations

from pathlib import Path

WORKFLOW = Path(__file__).with_name("workflow.yml")


def workflow() -> str:
    """Return a GitHub Actions workflow that measures the cells of a baseline again and gates the run against it."""
    return WORKFLOW.read_text(encoding="utf-8")
