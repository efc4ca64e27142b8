"""Reading ``.npz`` files quickly: a board opens ten thousand of them, each with the same few kinds of arrays."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_MAGIC = 10  # bytes of an .npy file before its header, in version 1.0: six of magic, two of version, two of length


def read_npz(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file by name, as ``numpy.load(..., allow_pickle=False)`` does.

    Raises:
        ValueError: an array of Python objects, a header numpy does not read, or fewer numbers than it announces.
        zipfile.BadZipFile: not a zip file, or one whose checksums are wrong.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}


def _array(data: bytes) -> NDArray[Any]:
    if data[6:8] != b"\x01\x00":
        # Rare: a header above 64 KB, or something that is no array, of which numpy says what is wrong.
        return np.asarray(npy.read_array(io.BytesIO(data), allow_pickle=False))
    start = _MAGIC + int.from_bytes(data[8:10], "little")
    shape, by_columns, dtype = _header(data[:start])
    count = int(np.prod(shape, dtype=np.int64))
    values = np.frombuffer(data, dtype, count, start)
    return values.reshape(shape, order="F" if by_columns else "C")


@lru_cache(maxsize=4096)
def _header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and type. Few different headers occur, and parsing one takes longer than all the rest."""
    stream = io.BytesIO(data)
    npy.read_magic(stream)
    shape, by_columns, dtype = npy.read_array_header_1_0(stream)
    if dtype.hasobject:
        raise ValueError("arrays of Python objects are not read")
    return shape, by_columns, dtype
