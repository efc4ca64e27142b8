"""The data file of a feature page on disk."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from harness.errors import UserError
from harness.specs.features import FEATURES_SCHEMA, FeatureFile
from harness.store.files import write_text


def windows_path(data: Path, layer: int) -> Path:
    """Return where the windows of a layer's labels lie, beside the data file."""
    return data.with_suffix(f".windows{layer}.npz")


def save_features(path: Path, file: FeatureFile) -> None:
    """Write the file atomically."""
    write_text(path, file.model_dump_json() + "\n")


def load_features(path: Path) -> FeatureFile:
    """Read a file; raises ``UserError`` where it is not whole or of an unknown schema."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        version = value["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a whole file of features: {error}") from None
    if version != FEATURES_SCHEMA:
        raise UserError(f"{path}: feature schema {version} is not known here; this version reads {FEATURES_SCHEMA}.")
    try:
        return FeatureFile.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{path} is not a whole file of features: {error.errors()[0]['msg']}") from None


def found_features(path: Path, key: str) -> FeatureFile | None:
    """Return the file where it is there, whole, and made by a call with this ``key``."""
    try:
        file = load_features(path)
    except UserError:
        return None
    return file if file.key == key else None
