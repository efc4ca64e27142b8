"""Fitted methods on disk, found again by the fingerprint of everything that went into the fit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from harness.store.files import sha256_file, write_bytes, write_text


@dataclass(frozen=True)
class FitCard:
    """What a fit cost and said. ``peak_mb`` is the growth of the process's peak memory, null where it is unknown."""

    seconds: float
    peak_mb: float | None
    train_tokens: int
    summary: dict[str, float]


def save_fit(folder: Path, fingerprint: str, state: Mapping[str, Tensor], card: FitCard) -> None:
    """Write the state, then the card that names its hash."""
    path = folder / fingerprint / "state.safetensors"
    # An empty file is not valid safetensors for every reader; a method without state says so in the card.
    if state:
        write_bytes(path, save(dict(state)))
    digest = sha256_file(path) if state else None
    # JSON has no NaN: null stands for a number that is not finite.
    summary = {name: value if math.isfinite(value) else None for name, value in card.summary.items()}
    text = json.dumps({"sha256": digest, **asdict(card), "summary": summary}, indent=1, allow_nan=False)
    write_text(folder / fingerprint / "fit.json", text + "\n")


def load_fit(folder: Path, fingerprint: str) -> tuple[dict[str, Tensor], FitCard] | None:
    """Return state and card, or None where there is no whole fit (a torn or altered file counts as none)."""
    base = folder / fingerprint
    try:
        value = json.loads((base / "fit.json").read_text(encoding="utf-8"))
        digest = value.pop("sha256")
        summary = {name: math.nan if number is None else number for name, number in value["summary"].items()}
        card = FitCard(**{**value, "summary": summary})
        path = base / "state.safetensors"
        if digest is None:
            return {}, card
        return (load_file(path), card) if sha256_file(path) == digest else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        return None
