"""The recipes of the README are true: each is carried out in a copy of the project, touching no existing file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECIPE = re.compile(r"<!-- recipe: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


def recipes() -> dict[str, str]:
    return dict(RECIPE.findall((ROOT / "README.md").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("project")
    for folder in ("harness", "methods", "tasks", "reports"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in recipes().items():
        assert not (copy / name).exists(), f"{name} must be a new file"
        (copy / name).write_text(text, encoding="utf-8")
    return copy


def harness(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(project), "HARNESS_CACHE": str(project / "cache"), "OMP_NUM_THREADS": "1"}
    words = (sys.executable, "-m", "harness", *words)
    return subprocess.run(words, cwd=project, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_there_is_a_recipe_for_each_kind_of_content() -> None:
    assert {name.split("/")[0] for name in recipes()} == {"methods", "tasks", "harness"}


def test_the_new_files_are_valid(project: Path) -> None:
    done = harness(project, "validate", "keep_largest", "arithmetic")
    assert done.returncode == 0, done.stderr


def test_a_new_method_meets_a_new_task_under_a_new_metric(project: Path) -> None:
    words = ["--method", "keep_largest", "--task", "arithmetic", "--model", "tiny-random", "--limit", "40", "--json"]
    done = harness(project, "eval", *words, "--set", "metrics=[fvu, l0, l2_ratio]")
    assert done.returncode == 0, done.stderr
    records = {record["method"]["name"]: record for record in json.loads(done.stdout)}
    assert set(records) == {"keep_largest", "identity", "mean_only", "pca", "permuted_decoder"}
    assert records["identity"]["metrics"]["l2_ratio"]["value"] == pytest.approx(1)
    own = records["keep_largest"]["metrics"]
    assert own["l0"]["value"] == pytest.approx(32)
    assert 0 < own["l2_ratio"]["value"] < 1
    assert own["l2_ratio"]["lo"] < own["l2_ratio"]["value"] < own["l2_ratio"]["hi"]


def test_every_command_of_the_table_exists(project: Path) -> None:
    named = set(re.findall(r"^\| `harness (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    listed = harness(project, "--help").stdout
    assert named
    assert all(re.search(rf"^\s+{name}\s", listed, re.MULTILINE) for name in named)
