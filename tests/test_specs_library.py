"""Finding methods and tasks by name, in added folders and by path; variants; budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from spec_files import DERIVED, METHOD, PROMPTS, TASK, edit, library_of, line_of, write_content

from harness.content import content_folder
from harness.errors import UserError
from harness.registry import method_class
from harness.specs.library import Library, merge_params

VARIANT = "method: smaller\nvariant_of: nought\ntitle: Smaller\nparams: {optim: {lr: 0.5}}\n"


def test_added_folders_come_behind_the_package_and_names_are_sorted(tmp_path: Path) -> None:
    library = library_of(tmp_path)
    assert library.folders("methods") == [content_folder("methods"), tmp_path / "methods"]
    assert library.folders("metrics") == []
    assert "made" in library.names("tasks")
    assert library.names("methods") == sorted(library.names("methods"))
    assert library.tracks() == sorted(library.tracks())
    assert "reconstruction" in library.tracks()


def test_an_added_folder_that_is_absent_or_holds_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--include-path: '.*absent' is not a folder"):
        Library([tmp_path / "absent"])
    (tmp_path / "stray").mkdir()
    with pytest.raises(UserError, match=r"--include-path: '.*stray' holds none of the folders methods, tasks, metrics"):
        Library([tmp_path / "stray"])


def test_a_name_in_two_folders_is_refused_naming_both(tmp_path: Path) -> None:
    one, two = (write_content(tmp_path / name) for name in ("one", "two"))
    for kind in ("methods", "tasks"):
        with pytest.raises(UserError, match=rf"two.{kind}.\w+\.yaml: {kind[:-1]} '\w+' is already defined in .*one"):
            Library([one, two]).names(kind)


def test_the_same_folder_twice_is_the_folder_once(tmp_path: Path) -> None:
    write_content(tmp_path / "one")
    library = Library([tmp_path / "one", tmp_path / "one" / ".." / "one"])
    assert library.task("made").title == "Made up"


def test_a_name_of_the_package_cannot_be_taken(tmp_path: Path) -> None:
    taken = Library().names("tasks")[0]
    library = library_of(tmp_path, {taken: edit(TASK, ("task: made", f"task: {taken}"))})
    with pytest.raises(UserError, match=f"task '{taken}' is already defined in"):
        library.task(taken)


@pytest.mark.parametrize(("kind", "given", "right"), [("method", "nougt", "nought"), ("task", "maade", "made")])
def test_an_unknown_name_gets_the_nearest_one(tmp_path: Path, kind: str, given: str, right: str) -> None:
    with pytest.raises(UserError, match=f"^unknown {kind} '{given}'. Did you mean '{right}'\\? Allowed: "):
        getattr(library_of(tmp_path), kind)(given)


def test_an_unknown_track_gets_the_nearest_one_and_its_line(tmp_path: Path) -> None:
    library = library_of(tmp_path, {"made": edit(TASK, ("track: reconstruction", "track: reconstructoin"))})
    with pytest.raises(UserError, match=r"made\.yaml:4: unknown track 'reconstructoin'. Did you mean 'reconstruction'"):
        library.task("made")


def test_a_file_must_be_called_like_what_it_holds(tmp_path: Path) -> None:
    library = library_of(tmp_path, {"other": TASK}, {"other": METHOD, "third": VARIANT})
    with pytest.raises(UserError, match=r"other\.yaml:1: task 'made' must be named like its file, 'other'"):
        library.task("other")
    with pytest.raises(UserError, match=r"other\.yaml:1: method 'nought' must be named like its file, 'other'"):
        library.method("other")
    with pytest.raises(UserError, match=r"third\.yaml:1: method 'smaller' must be named like its file, 'third'"):
        library.method("third")


def test_a_task_and_a_method_are_found_by_path_without_an_added_folder(tmp_path: Path) -> None:
    write_content(tmp_path)
    library = Library()
    assert library.task(str(tmp_path / "tasks" / "made.yaml")).task == "made"
    found = library.method(str(tmp_path / "methods" / "nought.yaml"))
    assert found.code_path == tmp_path / "methods" / "nought.py"
    with pytest.raises(UserError, match=r"method file '.*absent\.yaml' does not exist"):
        library.method(str(tmp_path / "absent.yaml"))


def test_methods_of_one_name_in_two_places_never_share_a_slug(tmp_path: Path) -> None:
    write_content(tmp_path / "one")
    write_content(tmp_path / "two")
    slugs = {Library().method(str(tmp_path / name / "methods" / "nought.yaml")).slug for name in ("one", "two")}
    assert len(slugs) == 2
    assert all(slug.startswith("nought-") and len(slug) == len("nought-") + 8 for slug in slugs)
    again = Library([tmp_path / "one"]).method("nought")
    assert again.slug in slugs, "by name or by path, it is the same method"


def test_a_method_of_the_package_is_called_by_its_name_alone() -> None:
    library = Library()
    name = library.names("methods")[0]
    assert library.method(name).slug == name
    assert library.method(str(content_folder("methods") / f"{name}.yaml")).slug == name


def test_a_missing_code_file_is_named_with_its_line(tmp_path: Path) -> None:
    library = library_of(tmp_path, methods={"nought": edit(METHOD, ("nought.py:Nought", "absent.py:Nought"))})
    with pytest.raises(UserError, match=r"nought\.yaml:4: code file 'absent\.py' is not in "):
        library.method("nought")


def test_a_variant_keeps_what_it_does_not_say(tmp_path: Path) -> None:
    library = library_of(tmp_path, methods={"nought": METHOD, "smaller": VARIANT})
    base, variant = library.method("nought"), library.method("smaller")
    assert variant.spec.params == {"size": 1, "optim": {"lr": 0.5, "steps": 5}}
    assert base.spec.params["optim"]["lr"] == 1e-3
    assert (variant.spec.title, variant.spec.source) == ("Smaller", "tests")
    assert variant.code_path == base.code_path
    assert variant.slug.startswith("smaller-")


def test_a_variant_of_a_variant_adds_up(tmp_path: Path) -> None:
    further = edit(VARIANT, ("smaller", "least"), ("nought", "smaller"), ("{optim: {lr: 0.5}}", "{size: 0}"))
    library = library_of(tmp_path, methods={"nought": METHOD, "smaller": VARIANT, "least": further})
    assert library.method("least").spec.params == {"size": 0, "optim": {"lr": 0.5, "steps": 5}}


def test_variants_in_a_circle_are_refused(tmp_path: Path) -> None:
    own = edit(VARIANT, ("nought", "smaller"))
    with pytest.raises(UserError, match=r"smaller\.yaml:2: 'smaller' is a variant of 'smaller' itself"):
        library_of(tmp_path / "one", methods={"smaller": own}).method("smaller")
    back = VARIANT.replace("nought", "other")
    other = VARIANT.replace("smaller", "other").replace("nought", "smaller")
    library = library_of(tmp_path / "two", methods={"smaller": back, "other": other})
    with pytest.raises(UserError, match=r"'smaller' is a variant of 'other' itself"):
        library.method("smaller")


def test_a_variant_by_path_finds_what_lies_beside_it(tmp_path: Path) -> None:
    write_content(tmp_path, methods={"nought": METHOD, "smaller": VARIANT})
    found = Library().method(str(tmp_path / "methods" / "smaller.yaml"))
    assert found.spec.params["optim"]["lr"] == 0.5


def test_a_method_of_the_package_can_have_a_variant_elsewhere(tmp_path: Path) -> None:
    base = next(name for name in Library().names("methods") if not Library().method(name).spec.uses)
    library = library_of(tmp_path, methods={"mine": f"method: mine\nvariant_of: {base}\ntitle: Mine\n"})
    found = library.method("mine")
    assert found.code_path == library.method(base).code_path
    assert method_class(found) is method_class(library.method(base))
    assert found.slug.startswith("mine-")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{sise: 2}", r"method 'nought' has no parameter 'sise'. Did you mean 'size'\? Allowed: optim, size"),
        ("{optim: {lrr: 2}}", r"no parameter 'optim.lrr'. Did you mean 'lr'\? Allowed: lr, steps"),
        ("{optim: 2}", r"parameter 'optim' of method 'nought' holds keys, got 2"),
    ],
)
def test_a_parameter_that_is_not_there_is_named_with_the_nearest(tmp_path: Path, change: str, message: str) -> None:
    text = edit(VARIANT, ("{optim: {lr: 0.5}}", change))
    with pytest.raises(UserError, match=rf"smaller\.yaml:4: .*{message}"):
        library_of(tmp_path, methods={"nought": METHOD, "smaller": text}).method("smaller")


def test_merging_parameters_changes_neither_side() -> None:
    base: dict[str, Any] = {"a": 1, "b": {"c": 2, "d": {}}}
    change = {"b": {"c": 3}}
    assert merge_params(base, change, "x", "m") == {"a": 1, "b": {"c": 3, "d": {}}}
    assert base == {"a": 1, "b": {"c": 2, "d": {}}}
    assert change == {"b": {"c": 3}}


def test_the_variant_of_an_unknown_method_is_named_with_its_line(tmp_path: Path) -> None:
    text = edit(VARIANT, ("nought", "nougth"))
    with pytest.raises(UserError, match=r"smaller\.yaml:2: unknown method 'nougth'. Did you mean 'nought'\?"):
        library_of(tmp_path, methods={"nought": METHOD, "smaller": text}).method("smaller")


@pytest.mark.parametrize("key", ["train_tokens", "val_tokens", "passes", "latents", "l0", "test_tokens"])
def test_a_missing_budget_key_is_named(tmp_path: Path, key: str) -> None:
    budget = TASK[TASK.index("budget: {") : TASK.index("metrics")]
    kept = ", ".join(part for part in budget[9:].strip().rstrip("}").split(", ") if not part.startswith(key))
    library = library_of(tmp_path, {"made": edit(TASK, (budget, f"budget: {{{kept}}}\n"))})
    where = f"made.yaml:{line_of(TASK, 'budget:')}"
    with pytest.raises(UserError, match=f"{where}: budget lacks '{key}', which track 'reconstruction' needs"):
        library.task("made")


def test_budget_keys_of_the_corpus_are_refused_in_the_task_that_uses_it(tmp_path: Path) -> None:
    text = edit(PROMPTS, ("test_tokens: 100", "l0: 4, test_tokens: 100"))
    library = library_of(tmp_path, {"made": TASK, "asked": text})
    where = f"asked.yaml:{line_of(text, 'budget:')}"
    with pytest.raises(UserError, match=f"{where}: budget 'l0' comes from the corpus 'made'; take it out"):
        library.task("asked")


def test_without_a_corpus_train_and_val_are_needed(tmp_path: Path) -> None:
    for name, splits in (("one", "{test: 0.5}"), ("two", "{train: 0.5, test: 0.5}")):
        text = edit(TASK, ("{train: 0.5, val: 0.2, test: 0.3}", splits))
        with pytest.raises(UserError, match=r"made\.yaml:6: data needs 'splits' with train and val, or the task a 'co"):
            library_of(tmp_path / name, {"made": text}).task("made")


def test_what_a_name_is_is_told_apart(tmp_path: Path) -> None:
    library = library_of(tmp_path, methods={"nought": METHOD, "shadow": DERIVED})
    assert library.is_method("nought")
    assert not library.is_method("made")
    assert library.is_method(str(tmp_path / "methods" / "shadow.yaml"))
    assert not library.is_method(str(tmp_path / "tasks" / "made.yaml"))
    assert library.method("shadow").spec.derived
    assert not library.method("nought").spec.derived
    with pytest.raises(UserError, match=r"unknown method or task 'mad'\. Did you mean 'made'"):
        library.is_method("mad")
