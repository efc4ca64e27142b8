"""A converted model is complete or absent, whoever builds it and whenever they are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.lm.install import MANIFEST, install, is_complete

pytestmark = pytest.mark.usefixtures("cache")


class Builder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> Mapping[str, str]:
        assert not list(folder.iterdir())
        self.calls += 1
        (folder / "weights").write_bytes(bytes(2 << 20))
        (folder / "deep").mkdir()
        (folder / "deep" / "tokenizer").write_text("t")
        return {"label": "test"}


def test_builds_once_and_says_what_it_built(tmp_path: Path) -> None:
    builder, folder = Builder(), tmp_path / "models" / "m-1"
    assert install(folder, builder) == folder
    assert install(folder, builder) == folder
    assert builder.calls == 1
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["label"] == "test"
    assert set(manifest["files"]) == {"weights", "deep/tokenizer"}
    assert sorted(path.name for path in folder.parent.iterdir()) == [".m-1.lock", "m-1"]
    assert (folder / "weights").stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o666


def damage_truncate(folder: Path) -> None:
    (folder / "weights").write_bytes(b"0")


def damage_alter(folder: Path) -> None:
    (folder / "weights").write_bytes(b"1" + bytes((2 << 20) - 1))


def damage_remove(folder: Path) -> None:
    (folder / "deep" / "tokenizer").unlink()


def damage_manifest_torn(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"schema": 1, "files"')


def damage_manifest_gone(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def damage_manifest_empty(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"schema": 1, "files": {}}')


def damage_other_schema(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**content, "schema": 99}))


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncate,
        damage_alter,
        damage_remove,
        damage_manifest_torn,
        damage_manifest_gone,
        damage_manifest_empty,
        damage_other_schema,
    ],
)
def test_a_torn_folder_is_found_and_redone(tmp_path: Path, damage: object) -> None:
    builder, folder = Builder(), tmp_path / "models" / "m-1"
    install(folder, builder)
    assert callable(damage)
    damage(folder)
    assert not is_complete(folder)
    install(folder, builder)
    assert is_complete(folder)
    assert builder.calls == 2


def test_a_failed_build_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "m-1"

    def fails(draft: Path) -> Mapping[str, str]:
        (draft / "half").write_text("written")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        install(folder, fails)
    assert [path.name for path in folder.parent.iterdir()] == [".m-1.lock"]
    install(folder, Builder())


def test_drafts_of_killed_processes_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "m-1"
    (folder.parent / ".m-1.draft-dead").mkdir(parents=True)
    (folder.parent / ".m-2.draft-alive").mkdir()
    install(folder, Builder())
    assert sorted(path.name for path in folder.parent.iterdir()) == [".m-1.lock", ".m-2.draft-alive", "m-1"]


def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    code = """
import os, sys, time
from pathlib import Path
from harness.lm.install import install
root = Path(sys.argv[1])
def build(folder):
    with (root / "built").open("a") as file:
        file.write("x")
    time.sleep(0.5)
    (folder / "weights").write_text("w")
    return {}
(root / f"ready-{os.getpid()}").touch()
while len(list(root.glob("ready-*"))) < 2:
    time.sleep(0.005)
print(install(root / "models" / "m", build))
"""
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths})
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said == [str(tmp_path / "models" / "m")] * 2
    assert (tmp_path / "built").read_text() == "x"
