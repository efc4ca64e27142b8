"""Reading ``.npz`` files quickly: a board opens ten thousand of them, each with the same few kinds of arrays."""

from __future__ import annotations

import io
import zipfile
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_LOCAL, _FIXED, _ENCRYPTED = b"PK\x03\x04", 30, 1
_MAGIC = 10  # bytes of an .npy file before its header, in version 1.0: six of magic, two of version, two of length


def read_npz(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file by name, as ``numpy.load(..., allow_pickle=False)`` does.

    Raises:
        ValueError: an array of Python objects, a header numpy does not read, or fewer numbers than it announces.
        zipfile.BadZipFile: not a zip file, or one whose checksums are wrong.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        inside = archive.infolist()
        return {info.filename.removesuffix(".npy"): _array(_inflated(archive, info, data)) for info in inside}


def _inflated(archive: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> bytes:
    """Return the bytes of one file of an archive; where it is plainly deflated, without zipfile's streams."""
    start = info.header_offset
    if info.compress_type != zipfile.ZIP_DEFLATED or info.flag_bits & _ENCRYPTED or data[start : start + 4] != _LOCAL:
        return archive.read(info)
    start += _FIXED + sum(int.from_bytes(data[start + at : start + at + 2], "little") for at in (26, 28))
    try:
        found = zlib.decompress(data[start : start + info.compress_size], -zlib.MAX_WBITS)
    except zlib.error as error:
        raise zipfile.BadZipFile(f"{info.filename} cannot be inflated: {error}") from error
    if len(found) != info.file_size or zlib.crc32(found) != info.CRC:
        raise zipfile.BadZipFile(f"{info.filename} has another size or checksum than the archive says")
    return found


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
