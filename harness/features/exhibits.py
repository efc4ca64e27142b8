"""The windows labels are made from and tested on, on disk: a judge reads them later, without model and method."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from harness.features.lexical import Side
from harness.features.text import Ints, Text
from harness.store.files import write_bytes

_TEXT = ("type_M", "start_W", "length_W", "group_W")
_NAMES = tuple(field.name for field in fields(Side))


@dataclass(frozen=True)
class Exhibits:
    """The text of a layer, and of every latent with windows enough those to explain it by and those to test it on.

    Shapes: ``M`` tokens, ``W`` windows.

    Attributes:
        type_M: token types, which index the data file's ``tokens``.
        start_W, length_W: the windows of the text.
        group_W: the group each window's document belongs to.
        sides: (to explain, to test) by latent; firing windows in ascending order of their largest activation.
    """

    type_M: Ints
    start_W: Ints
    length_W: Ints
    group_W: Ints
    sides: Mapping[int, tuple[Side, Side]]

    def tokens(self, window: int) -> list[int]:
        """Return the token types of a window."""
        start = int(self.start_W[window])
        types: list[int] = self.type_M[start : start + int(self.length_W[window])].tolist()
        return types


def exhibits(text: Text, sides: Mapping[int, tuple[Side, Side]]) -> Exhibits:
    """Put a text and the windows of its latents together."""
    return Exhibits(text.type_M, text.start_W, text.length_W, text.group_P[text.piece_W], sides)


def save_exhibits(path: Path, held: Exhibits) -> None:
    """Write them atomically: about 2 kB a latent. Every latent has as many windows as the next."""
    arrays = {name: getattr(held, name).astype(np.int32) for name in _TEXT}
    arrays["latents"] = np.array(list(held.sides), dtype=np.int32)
    for half in (0, 1):
        for name in _NAMES:
            rows = [getattr(pair[half], name) for pair in held.sides.values()]
            # Bits of a window of up to 62 tokens fill a whole integer.
            kind = np.int64 if name == "bits" else np.int32
            arrays[f"{name}{half}"] = np.stack(rows).astype(kind) if rows else np.zeros((0, 0), dtype=kind)
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    write_bytes(path, data.getvalue())


def load_exhibits(path: Path) -> Exhibits | None:
    """Return what is there, or None where it is missing or not whole."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            arrays = {name: archive[name].astype(np.int64) for name in archive.files}
        sides = {
            latent: (_side(arrays, 0, row), _side(arrays, 1, row))
            for row, latent in enumerate(arrays["latents"].tolist())
        }
        type_M, start_W, length_W, group_W = (arrays[name] for name in _TEXT)
        return Exhibits(type_M, start_W, length_W, group_W, sides)
    except (OSError, ValueError, KeyError, IndexError, BadZipFile):
        return None


def _side(arrays: Mapping[str, NDArray[np.int64]], half: int, row: int) -> Side:
    return Side(*(arrays[f"{name}{half}"][row] for name in _NAMES))
