"""What the short names of language models stand for."""

from __future__ import annotations

from typing import Any

from harness.lm.catalog import ModelSource, aliases, default_alias, resolve
from harness.lm.converted import converted_folder
from harness.lm.install import is_complete


def listing() -> list[dict[str, Any]]:
    """Return one row per short name; ``here`` says whether it can be loaded without any network."""
    return [_row(resolve(name)) for name in aliases()]


def _row(source: ModelSource) -> dict[str, Any]:
    return {
        "model": source.name,
        "default": source.name == default_alias(),
        "from": source.repo or source.kind,
        "blocks": source.facts.blocks if source.facts else None,
        "width": source.facts.width if source.facts else None,
        "label": source.label,
        "licence": source.licence,
        "here": is_here(source),
    }


def is_here(source: ModelSource) -> bool | None:
    """Return whether a model can be loaded without network; None for hub models, whose cache is the hub's own."""
    if source.kind == "wheel" and source.wheel is not None:
        return is_complete(converted_folder(source, source.wheel.member_sha256))
    return None if source.kind == "hub" else True
