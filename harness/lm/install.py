"""A folder of files that is either complete or absent, however many processes build it and whenever one is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock

from harness.lm.fingerprints import file_sha256, hash_file

MANIFEST = "manifest.json"
SCHEMA = 1


def install(folder: Path, build: Callable[[Path], Mapping[str, str]]) -> Path:
    """Return ``folder`` after making sure that it is complete; builds it at most once across processes.

    Args:
        folder: where the files belong; a torn or altered folder there is thrown away and built again.
        build: writes the files into the empty folder it is given and returns facts for the manifest.

    Raises:
        OSError: the parent folder cannot be written.
        Exception: whatever ``build`` raises; nothing is left at ``folder`` then.
    """
    if is_complete(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not is_complete(folder):  # another process may have built it while this one waited
            _remove_leftovers(folder)
            _build(folder, build)
    return folder


def is_complete(folder: Path) -> bool:
    """Tell whether ``folder`` holds a manifest and every file in it has the size and SHA-256 written there."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed = manifest["files"].items() if manifest["schema"] == SCHEMA else ()
        # Hashes of large files are remembered, so a second look at an unchanged folder costs microseconds.
        return bool(listed) and all(_matches(folder / name, entry) for name, entry in listed)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _matches(path: Path, entry: Mapping[str, object]) -> bool:
    return path.stat().st_size == entry["bytes"] and file_sha256(path) == entry["sha256"]


def _build(folder: Path, build: Callable[[Path], Mapping[str, str]]) -> None:
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.draft-", dir=folder.parent))
    try:
        facts = dict(build(draft))
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        listed = {
            path.relative_to(draft).as_posix(): {"bytes": path.stat().st_size, "sha256": hash_file(path)}
            for path in files
        }
        (draft / MANIFEST).write_text(
            json.dumps({"schema": SCHEMA, **facts, "files": listed}, indent=1, sort_keys=True), encoding="utf-8"
        )
        for path in (*files, draft / MANIFEST):
            _flush(path)
        _open_up(draft)
        draft.replace(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _flush(path: Path) -> None:
    """Force the file to the disk, so that a power cut cannot leave a manifest over empty files."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _open_up(draft: Path) -> None:
    """Give the folder and its files the permissions of the cache around them; temporary ones are private at first."""
    mode = draft.parent.stat().st_mode & 0o777
    draft.chmod(mode)
    for path in draft.rglob("*"):
        path.chmod(mode if path.is_dir() else mode & 0o666)


def _remove_leftovers(folder: Path) -> None:
    """Remove a torn folder and the drafts of killed processes; the caller holds the lock."""
    for left in folder.parent.glob(f".{folder.name}.draft-*"):
        shutil.rmtree(left, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
