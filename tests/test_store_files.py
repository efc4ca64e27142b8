"""Atomic files: whole or absent, whatever happens to the writer."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from harness.errors import UserError
from harness.store.files import output_folder, sha256_file, sha256_text, write_atomic, write_bytes, write_text

# Written by another process until it is told to stop: files of one letter, so that a mixture would show.
HAMMER = """
import sys
from pathlib import Path
from harness.store.files import write_bytes
path, rounds = Path(sys.argv[1]), int(sys.argv[2])
for i in range(rounds):
    write_bytes(path, bytes([97 + i % 26]) * 300_000)
"""

KILLED = """
import os, signal, sys
from pathlib import Path
from harness.store.files import write_atomic
def write(stream):
    stream.write(b"half of it")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)
write_atomic(Path(sys.argv[1]), write)
"""

FULL = """
import sys
from pathlib import Path
from harness.store.files import write_bytes
folder = Path(sys.argv[1])
write_bytes(folder / "kept", b"old")
try:
    write_bytes(folder / "kept", bytes(1_000_000))
except OSError as error:
    print(error.errno, (folder / "kept").read_bytes(), sorted(path.name for path in folder.iterdir()))
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_text(path, "grüße\n")
    assert path.read_bytes() == "grüße\n".encode()
    assert names(path.parent) == ["file.txt"]


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"x")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_line_ends_are_kept_as_given(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "a\nb\r\n")
    assert (tmp_path / "file").read_bytes() == b"a\nb\r\n"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
@pytest.mark.parametrize("there", [True, False])
def test_an_error_in_the_middle_leaves_what_was_there(tmp_path: Path, error: BaseException, there: bool) -> None:
    path = tmp_path / "file"
    if there:
        write_bytes(path, b"old")

    def write(stream: BinaryIO) -> None:
        stream.write(b"new, but not all of it")
        raise error

    with pytest.raises(type(error)):
        write_atomic(path, write)
    assert names(tmp_path) == (["file"] if there else [])
    assert not there or path.read_bytes() == b"old"


@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
def test_a_disk_that_fails_at_any_step_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os if call == "fsync" else Path, call, fail)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert names(tmp_path) == ["file"]
    assert path.read_bytes() == b"old"


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("a small disk needs unshare(1)")
    mount = f"mount -t tmpfs -o size=64k none '{tmp_path}'"
    private = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*private, mount], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system does not let a user mount a small disk of his own")
    script = tmp_path.parent / "full.py"
    script.write_text(FULL)
    command = f"{mount} && exec '{sys.executable}' '{script}' '{tmp_path}'"
    done = subprocess.run([*private, command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{errno.ENOSPC} b'old' ['kept']"


def test_a_killed_writer_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert all(name == "file" or (name.startswith(".") and name.endswith(".tmp")) for name in names(tmp_path))


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"a" * 300_000)
    seen: set[bytes] = set()
    with subprocess.Popen([sys.executable, "-c", HAMMER, str(path), "150"]) as writer:
        while writer.poll() is None:
            data = path.read_bytes()
            assert len(data) == 300_000
            assert data == data[:1] * 300_000
            seen.add(data[:1])
    assert writer.returncode == 0
    assert len(seen) > 1, "the writer never wrote while the reader read"


def test_two_writers_leave_the_file_of_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    writers = [subprocess.Popen([sys.executable, "-c", HAMMER, str(path), "40"]) for _ in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    data = path.read_bytes()
    assert data == data[:1] * 300_000
    assert names(tmp_path) == ["file"]


def test_hashes_are_sha_256(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "grüße")
    expected = hashlib.sha256("grüße".encode()).hexdigest()
    assert sha256_file(tmp_path / "file") == sha256_text("grüße") == expected


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert output_folder(tmp_path / "new" / "deep", "--out") == tmp_path / "new" / "deep"
    assert output_folder(tmp_path, "--out") == tmp_path
    monkeypatch.chdir(tmp_path)
    assert output_folder(Path("new"), "--out") == Path("new")
    write_bytes(tmp_path / "file", b"x")
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("file"), Path("file/below/deep")):
        with pytest.raises(UserError, match=r"^--out: '.*file' is a file, not a folder$"):
            output_folder(path, "--out")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match=r"^--out: '.*' cannot be written into$"):
        output_folder(tmp_path / "new", "--out")
    assert names(tmp_path) == ["file"]


def test_what_a_killed_writer_left_goes_with_a_later_write_once_it_is_a_day_old(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    (left,) = tmp_path.iterdir()
    other = tmp_path / ".other.json.x.tmp"
    other.touch()
    write_text(path, "new")
    assert left.exists()  # it may belong to a writer at work
    for file in (left, other):
        os.utime(file, (0, 0))
    write_text(path, "newer")
    assert names(tmp_path) == [other.name, path.name]
