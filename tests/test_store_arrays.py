"""The quick reader of npz files against numpy's own."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest

from harness.store.arrays import read_npz


def packed(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)
    return buffer.getvalue()


def test_arrays_come_back_as_numpy_reads_them() -> None:
    rng = np.random.default_rng(0)
    columns = {
        "scalar": np.array(3.5), "empty": np.zeros((0, 4)), "row": rng.normal(size=7),
        "single": rng.normal(size=(3, 4)).astype(np.float32), "by_columns": np.asfortranarray(rng.normal(size=(3, 4))),
        "counts": rng.integers(0, 9, (2, 3, 4)), "flags": rng.random(5) > 0.5, "words": np.array(["a", "bcd"]),
        "big": np.arange(4, dtype=">i4"), "many": np.zeros((1,) * 20),
    }  # fmt: skip
    data = packed(**columns)
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        expected = {name: archive[name] for name in archive.files}
    found = read_npz(data)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_headers_of_a_later_format_are_read_too() -> None:
    wide = np.zeros(2, dtype=[(f"column_{i}", "f8") for i in range(20)])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("wide.npy", "w") as stream:
        np.lib.format.write_array(stream, wide, version=(2, 0))
    np.testing.assert_array_equal(read_npz(buffer.getvalue())["wide"], wide)


def test_objects_are_refused() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="not read"):
        read_npz(buffer.getvalue())


def torn(data: bytes) -> bytes:
    """Return the archive with the last bytes of its only array missing, and checksums that fit."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (name,) = archive.namelist()
        inner = archive.read(name)[:-8]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, inner)
    return buffer.getvalue()


@pytest.mark.parametrize("version", [b"\x01\x00", b"\x09\x00"])
def test_what_is_no_whole_array_is_refused(version: bytes) -> None:
    with pytest.raises(ValueError, match="buffer"):
        read_npz(torn(packed(x=np.arange(4.0))))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY" + version + b"\x05\x00hello")
    with pytest.raises(ValueError, match=r"."):
        read_npz(buffer.getvalue())


def test_a_wrong_checksum_is_noticed() -> None:
    data = bytearray(packed(x=np.random.default_rng(0).normal(size=99)))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(zipfile.BadZipFile):
        read_npz(bytes(data))
