"""Brings a model onto this machine, whatever it is obtained from, without loading it."""

from __future__ import annotations

from harness.api import Progress
from harness.errors import UserError
from harness.lm.catalog import ModelSource
from harness.lm.fetch import fetch
from harness.lm.hub import snapshot


def obtain(source: ModelSource, progress: Progress) -> str:
    """Return where a model lies after fetching and converting it as needed; raises ``UserError``."""
    if source.kind in ("tiny", "planted"):
        return f"'{source.name}' is made in memory; there is nothing to fetch"
    if source.kind == "folder":
        return str(source.path)
    if source.kind == "hub":
        if source.repo is None:
            raise UserError(f"model '{source.name}' has no repository")
        return snapshot(source.repo, source.revision)
    return str(fetch(source, progress))
