"""Hashes: what moves numbers makes another table, fit or method, and nothing else does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from spec_files import METHOD, PROMPTS, TASK, edit, library_of, write_content, write_rows

from harness.content import PACKAGE
from harness.run.cells import Cell
from harness.run.plan import PlannedGroup, make_plan
from harness.run.request import Request
from harness.specs.code import code_hash, with_imports
from harness.specs.identity import Origin, activation_key, digest, fit_key, method_identity
from harness.specs.library import Library
from harness.specs.resolve import Overrides, resolve

TASKS = {"made": TASK, "asked": PROMPTS}


def planned(folder: Path, sets: Mapping[str, str] | None = None, name: str = "made", **changes: Any) -> PlannedGroup:
    rows = write_rows(folder / "rows")
    tasks = {**TASKS, "made": edit(TASK, ("path: rows", f"path: {rows}"))}
    library = library_of(folder / "content", tasks)
    overrides = Overrides(changes.pop("model", None), changes.pop("limit", None), sets or {})
    return make_plan(library, Request(("nought",), (name,), overrides=overrides, **changes))[0]


@pytest.mark.parametrize("key", ["title", "metrics", "bars", "seeds", "controls"])
@pytest.mark.parametrize("name", ["made", "asked"])
def test_what_does_not_move_numbers_leaves_the_table(tmp_path: Path, key: str, name: str) -> None:
    text = {"title": "Other", "metrics": "[fvu, l0, l1]", "bars": "{}", "seeds": "[7]", "controls": "{}"}[key]
    assert planned(tmp_path, {key: text}, name).table == planned(tmp_path, name=name).table


def test_a_depth_and_the_layer_it_means_are_one_table(tmp_path: Path) -> None:
    group = planned(tmp_path)
    assert planned(tmp_path, layers=(group.task.layer,)).table == group.table


MOVES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    **{
        key: ({key: text}, {})
        for key, text in {
            **{f"budget.{name}": "90" for name in ("train_tokens", "val_tokens", "test_tokens")},
            **{"budget.context": "12", "budget.passes": "2", "budget.latents": "16", "budget.l0": "3"},
            **{"budget.splice_tokens": "50", "budget.density_tokens": "200", "budget.packing": "pack"},
            **{"mask.first": "keep", "mask.outliers": "drop", "text": "'{{ text }}!'", "data.group": "text"},
            **{"data.splits.train": "0.4", "data.id": "id", "data.domain": "text"},
        }.items()
    },
    **{"layer": ({}, {"layers": (1,)}), "limit": ({}, {"limit": 1}), "dtype": ({}, {"dtype": "bfloat16"})},
    "model": ({}, {"model": "smollm2-135m-instruct", "layers": (0,)}),
}


@pytest.mark.parametrize("change", MOVES)
def test_what_moves_numbers_makes_another_table(tmp_path: Path, change: str) -> None:
    sets, request = MOVES[change]
    assert planned(tmp_path, sets, **request).table != planned(tmp_path).table


@pytest.mark.parametrize("change", ["budget.l0", "budget.train_tokens", "limit", "layer"])
def test_what_moves_the_numbers_of_the_corpus_makes_another_table(tmp_path: Path, change: str) -> None:
    sets, request = MOVES[change]
    assert planned(tmp_path, sets, "asked", **request).table != planned(tmp_path, name="asked").table


def test_other_rows_make_another_table(tmp_path: Path) -> None:
    before = planned(tmp_path).table
    path = tmp_path / "rows" / "all.jsonl"
    rows = path.read_text(encoding="utf-8")
    library = Library([tmp_path / "content"])
    path.write_text(rows.replace("row number 3", "row number three"), encoding="utf-8")
    assert make_plan(library, Request(("nought",), ("made",)))[0].table != before


def test_an_infinite_option_of_the_data_is_not_none(tmp_path: Path) -> None:
    data = "{source: reasoning_gym, name: x, size: 9, group: id, splits: {train: 0.4, val: 0.3, test: 0.3}, options: O}"
    changes = [{"data": data.replace("O", f"{{top: {word}}}")} for word in (".inf", "null", "-.inf")]
    library = library_of(tmp_path, TASKS)
    tasks = [resolve(library, "made", Overrides(sets=sets), None, lambda model: 2) for sets in changes]
    assert len({digest(task.measured()) for task in tasks}) == 3


def test_the_order_of_keys_does_not_change_a_hash() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})


def cell(group: PlannedGroup) -> Cell:
    return group.cells[0]


def fit_of(group: PlannedGroup, seed: int = 0) -> str:
    return fit_key(group.task.fit, group.origin, "method", seed)


@pytest.mark.parametrize("key", ["budget.test_tokens", "budget.splice_tokens", "title", "metrics", "seeds"])
def test_what_only_the_test_side_sees_leaves_the_fit(tmp_path: Path, key: str) -> None:
    text = {"title": "Other", "metrics": "[fvu, l1]", "seeds": "[7]"}.get(key, "90")
    assert fit_of(planned(tmp_path, {key: text})) == fit_of(planned(tmp_path))


FITS = [f"budget.{key}" for key in ("train_tokens", "val_tokens", "context", "passes", "latents", "l0", "packing")]


@pytest.mark.parametrize("change", [*FITS, "mask.first", "mask.outliers", "text", "layer", "limit", "dtype", "model"])
def test_what_the_fit_sees_makes_another_fit(tmp_path: Path, change: str) -> None:
    sets, request = MOVES[change]
    assert fit_of(planned(tmp_path, sets, **request)) != fit_of(planned(tmp_path))


def test_a_task_with_a_corpus_shares_the_fits_of_the_corpus(tmp_path: Path) -> None:
    own, asked = planned(tmp_path), planned(tmp_path, name="asked")
    assert fit_of(own) == fit_of(asked)
    assert fit_of(own) != fit_of(own, seed=1)
    assert cell(own).fit == cell(asked).fit
    assert cell(own).key != cell(asked).key


def test_activations_do_not_depend_on_the_method_s_side_of_the_budget(tmp_path: Path) -> None:
    origin = Origin("model", "float32", "documents")
    one, two = planned(tmp_path).task, planned(tmp_path, {"budget.l0": "3", "budget.passes": "2"}).task
    assert activation_key(one, origin, "train") == activation_key(two, origin, "train")
    assert activation_key(one, origin, "train") != activation_key(one, origin, "val")
    assert activation_key(one, Origin("model", "bfloat16", "documents"), "val") != activation_key(one, origin, "val")


def identity(folder: Path, text: str = METHOD, uses: dict[str, str] | None = None) -> str:
    found = Library([write_content(folder, methods={"nought": text})]).method("nought")
    return method_identity(found, found.spec.params, uses or {})


def test_a_method_is_its_parameters_its_code_and_what_it_uses(tmp_path: Path) -> None:
    before = identity(tmp_path)
    assert identity(tmp_path, edit(METHOD, ("Always nought", "Other"), ("source: tests", "source: ours"))) == before
    assert identity(tmp_path, edit(METHOD, ("size: 1", "size: 2"))) != before
    assert identity(tmp_path, edit(METHOD, ("source: tests", "source: tests\nseeded: false"))) != before
    assert identity(tmp_path, uses={"of": "another"}) != before
    own = tmp_path / "methods" / "nought.py"
    own.write_text(
        '"""Said another way."""\n# and with a comment\n' + own.read_text(encoding="utf-8"), encoding="utf-8"
    )
    code_hash.cache_clear()
    assert identity(tmp_path) == before
    own.write_text(own.read_text(encoding="utf-8") + "CHANGED = True\n", encoding="utf-8")
    code_hash.cache_clear()
    assert identity(tmp_path) != before


def test_code_that_is_not_python_is_hashed_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "torn.py"
    path.write_text("def half(")
    before = code_hash(path)
    path.write_text("def half(a")
    code_hash.cache_clear()
    assert code_hash(path) != before


def test_a_name_that_a_package_passes_on_is_imported_from_where_it_is_defined(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "harness"
    (package / "api").mkdir(parents=True)
    (package / "api" / "__init__.py").write_text(
        "from harness.api.one import First\nfrom harness.api.two import Second\n"
    )
    (package / "api" / "base.py").write_text("BASE = 1\n")
    (package / "api" / "one.py").write_text("from harness.api.base import BASE\nFirst = BASE\n")
    (package / "api" / "two.py").write_text("Second = 2\n")
    monkeypatch.setattr("harness.specs.code.PACKAGE", package)
    own = tmp_path / "own.py"
    own.write_text("from harness.api import First\n")
    assert with_imports(own, "api") == (own, package / "api" / "base.py", package / "api" / "one.py")


def test_a_folder_of_code_is_hashed_by_content(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "notes.txt").write_text("1")
    before = code_hash(tmp_path)
    (tmp_path / "notes.txt").write_text("2")
    code_hash.cache_clear()
    assert code_hash(tmp_path) == before
    (tmp_path / "b.py").write_text("1")
    code_hash.cache_clear()
    assert code_hash(tmp_path) != before


def test_code_is_what_a_file_imports_and_what_that_imports(tmp_path: Path) -> None:
    """Independent of it: Python's own finder, which runs nothing here but the one interpreter asked."""
    path = PACKAGE / "stats" / "margins.py"
    found = with_imports(path, "stats")
    names = "*(name for name in sys.modules if name.startswith('harness.stats.'))"
    script = f"import sys, harness.stats.margins; print({names})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert len(found) > 3
    assert {f"harness.stats.{file.stem}" for file in found} == set(loaded)
    assert found[0] == path
    alone = tmp_path / "alone.py"
    alone.write_text("import json\nfrom harness.errors import UserError\n")
    assert with_imports(alone, "tracks", "training") == (alone,)


def test_a_new_file_beside_what_is_imported_changes_no_identity(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "harness"
    shutil.copytree(PACKAGE / "training", package / "training")
    monkeypatch.setattr("harness.specs.code.PACKAGE", package)
    own = tmp_path / "own.py"
    own.write_text("from harness.training.loop import Optim\n")

    def hashed() -> str:
        code_hash.cache_clear()
        return code_hash(*with_imports(own, "training"))

    before = hashed()
    (package / "training" / "new.py").write_text("X = 1\n")
    assert hashed() == before
    imported = package / "training" / "loop.py"
    imported.write_text(imported.read_text() + "\nY = 1\n")
    assert hashed() != before
