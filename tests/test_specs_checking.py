"""What a task or method file may say, and the one sentence that answers anything else."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from spec_files import METHOD, PROMPTS, TASK, edit, line_of

from harness.content import content_folder
from harness.errors import UserError
from harness.specs.checking import RESERVED, check, json_schema
from harness.specs.library import Library
from harness.specs.method import MethodSpec, VariantSpec
from harness.specs.reading import parse_yaml, read_yaml
from harness.specs.resolve import check_names
from harness.specs.task import TaskSpec

TASK_FILES = sorted(content_folder("tasks").glob("*.yaml"))


def task(text: str) -> TaskSpec:
    return check(parse_yaml(text, Path("made.yaml")), TaskSpec, "task")


def complaint(text: str) -> str:
    with pytest.raises(UserError) as caught:
        task(text)
    message = str(caught.value)
    assert "\n" not in message
    assert "pydantic" not in message
    return message


def test_a_task_reads_as_it_is_written() -> None:
    spec = task(TASK)
    assert spec.budget.train_tokens == 100
    assert spec.bars["fvu"].max == 0.5
    assert spec.seeds == (0, 1)
    assert spec.mask.first == "drop"
    assert spec.controls.role("nought") == "floor"
    assert spec.controls.role("another") is None
    assert task(PROMPTS).corpus == "made"


UNKNOWN_KEYS = [
    ("title:", "titel:", "titel", "title", "in a task"),
    ("controls:", "control:", "control", "controls", "in a task"),
    ("path:", "paht:", "paht", "path", "in 'data'"),
    ("train: 0.5", "trian: 0.5", "trian", "train", "in 'data.splits'"),
    ("depth:", "dept:", "dept", "depth", "in 'site'"),
    ("latents:", "latent:", "latent", "latents", "in 'budget'"),
    ("floor:", "flor:", "flor", "floor", "in 'controls'"),
    ("{max: 0.5}", "{maxi: 0.5}", "maxi", "max", "in 'bars.fvu'"),
    ("train: 0.5", "train: {split: all, shar: 0.5}", "shar", "share", "in 'data.splits.train'"),
]


@pytest.mark.parametrize(("old", "new", "given", "right", "place"), UNKNOWN_KEYS)
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_key(
    old: str, new: str, given: str, right: str, place: str
) -> None:
    text = edit(TASK, (old, new))
    message = complaint(text)
    assert message.startswith(f"made.yaml:{line_of(text, given)}: unknown key '{given}' {place}")
    assert f"Did you mean '{right}'? Allowed: " in message


def test_an_unknown_key_in_a_prompt_is_named_with_its_line() -> None:
    message = complaint(edit(PROMPTS, ("{prompt: two and two}", "{promt: two and two}")))
    assert "unknown key 'promt' in 'data.prompts.sums.1'. Did you mean 'prompt'?" in message


def test_an_unknown_key_is_reported_before_the_missing_one_it_causes() -> None:
    assert "unknown key 'metric'" in complaint(edit(TASK, ("metrics:", "metric:")))


@pytest.mark.parametrize("key", RESERVED)
def test_a_key_of_a_later_track_is_called_reserved(key: str) -> None:
    message = complaint(f"{TASK}{key}: 1\n")
    assert message.startswith(f"made.yaml:{line_of(TASK, 'seeds') + 1}: key '{key}' is reserved")


@pytest.mark.parametrize("key", [name for name, f in TaskSpec.model_fields.items() if f.is_required()])
def test_a_missing_key_is_named(key: str) -> None:
    value = parse_yaml(TASK, Path("made.yaml")).value
    del value[key]
    assert complaint(json.dumps(value)) == f"made.yaml:1: task lacks the key '{key}'."


def test_a_missing_key_inside_is_named_with_the_line_of_its_parent() -> None:
    message = complaint(edit(TASK, ("train: 0.5", "train: {share: 0.5}")))
    assert message.endswith(": task lacks the key 'data.splits.train.split'.")
    assert complaint(edit(TASK, ("  group: id\n", ""))) == "made.yaml:6: task lacks the key 'data.group'."


WRONG_VALUES = [
    ("l0: 4", "l0: many", "'budget.l0': input should be a valid integer, got 'many'"),
    ("l0: 4", "l0: '4'", "'budget.l0': input should be a valid integer, got '4'"),
    ("l0: 4", "l0: 4.0", "'budget.l0': input should be a valid integer, got 4.0"),
    ("l0: 4", "l0: true", "'budget.l0': input should be a valid integer, got true"),
    ("l0: 4", "l0: 0", "'budget.l0': input should be greater than 0, got 0"),
    ("context: 16", "context: 7", "'budget.context': input should be greater than or equal to 8, got 7"),
    ("context: 16", "context: null", "'budget.context': input should be a valid integer, got null"),
    ("title: Made up", "title: 2024", "'title': input should be a valid string, got 2024"),
    ("title: Made up", "title:", "'title': input should be a valid string, got null"),
    ("task: made", "task: Made-Up", "'task': must be of a-z, 0-9 and _ alone, got 'Made-Up'"),
    ("depth: 0.5", "depth: 1.5", "'site.depth': input should be less than or equal to 1, got 1.5"),
    ("depth: 0.5", "depth: 0.5, layer: 3", "'site': give exactly one of 'depth'"),
    ("{depth: 0.5}", "{}", "'site': give exactly one of 'depth'"),
    ("{depth: 0.5}", "{layer: -1}", "'site.layer': input should be greater than or equal to 0, got -1"),
    ("depth: 0.5", "depth: 0.5, at: resid_pre", "'site.at': input should be 'resid_post', got 'resid_pre'"),
    ("train: 0.5", "train: half", "'data.splits.train': input should be a valid number, got 'half'"),
    ("train: 0.5", "train: 0", "'data.splits.train': input should be greater than 0, got 0"),
    ("train: 0.5", "train: 0.6", "'data.splits': shares of the source add up to more than 1"),
    ("train: 0.5", "train: {split: all}", "'data.splits': give every split as a share of the whole, or every one"),
    ("[fvu, l0]", "[]", "'metrics': must be a list of at least 1"),
    ("[fvu, l0]", "fvu", "'metrics': input should be a list, got 'fvu'"),
    ("[fvu, l0]", "[fvu, l0, fvu]", "'metrics': 'fvu' is listed twice"),
    ("[nought]", "[nought, nought]", "'controls.floor': 'nought' is listed twice"),
    ("floor: [nought]", "floor: [nought]\n  ceiling: [nought]", "'controls': 'nought' is listed twice"),
    ("[0, 1]", "[0, 1, 0]", "'seeds': 0 is listed twice"),
    ("[0, 1]", "[-1]", "'seeds.0': input should be greater than or equal to 0, got -1"),
    ("[0, 1]", f"[{2**32}]", "'seeds.0': input should be less than 4294967296"),
    ("[0, 1]", "[]", "'seeds': must be a list of at least 1"),
    ("[0, 1]", "{a: 1}", "'seeds': input should be a list"),
    ("{max: 0.5}", "{}", "'bars.fvu': a bar needs 'min', 'max' or both"),
    ("{max: 0.5}", "0.5", "'bars.fvu': input should be a mapping, got 0.5"),
    ("{max: 0.5}", "{min: 2, max: 1}", "'bars.fvu': no value can be at least 2 and at most 1"),
    ("{max: 0.5}", "{max: .inf}", "'bars.fvu.max': input should be a finite number"),
    ("test_tokens: 100", "test_tokens: 100, splice_tokens: 101", "'budget': splice_tokens (101) must be at most"),
    ("test_tokens: 100", "test_tokens: 100, density_tokens: 99", "'budget': density_tokens (99) must be at least"),
    ("source: folder", "source: foldr", "unknown data.source 'foldr'. Did you mean 'folder'? Allowed: bandit,"),
    ("  source: folder\n", "", "task lacks the key 'data.source'"),
    ("source: folder", "source: hub", "unknown key 'path' in 'data'"),
    ("seeds: [0, 1]", "seeds: [0, 1]\nmask: {first: dropp}", "'mask.first': input should be 'drop' or 'keep'"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG_VALUES, ids=[f"{new}"[:40] for _, new, _ in WRONG_VALUES])
def test_a_value_that_does_not_fit_is_one_sentence_with_its_line(old: str, new: str, message: str) -> None:
    found = complaint(edit(TASK, (old, new)))
    assert re.match(r"made\.yaml:\d+: ", found)
    assert message in found


def test_shares_of_one_split_of_the_source_add_up_and_others_do_not_count() -> None:
    two = "{train: {split: a, share: 0.7}, val: {split: a, share: 0.3}, test: {split: b}}"
    task(edit(TASK, ("{train: 0.5, val: 0.2, test: 0.3}", two)))
    message = complaint(edit(TASK, ("{train: 0.5, val: 0.2, test: 0.3}", two.replace("0.3", "0.4"))))
    assert "shares of 'a' add up to more than 1" in message


def test_a_method_file_is_as_strict_as_a_task() -> None:
    def read(text: str) -> MethodSpec:
        return check(parse_yaml(text, Path("nought.yaml")), MethodSpec, "method")

    assert read(METHOD).params == {"size": 1, "optim": {"lr": 1e-3, "steps": 5}}
    with pytest.raises(UserError, match=r"^nought\.yaml:6: unknown key 'parms' in a method. Did you mean 'params'\?"):
        read(edit(METHOD, ("params", "parms")))
    known = "'dictionary', 'error_probe', 'next_token' or 'explainer'"
    kinds = rf"^nought\.yaml:3: 'kind': input should be {known}, got 'probe'"
    with pytest.raises(UserError, match=kinds):
        read(edit(METHOD, ("kind: dictionary", "kind: probe")))
    with pytest.raises(UserError, match=r"^nought\.yaml:4: 'code': string should match pattern"):
        read(edit(METHOD, ("nought.py:Nought", "../nought.py:Nought")))
    with pytest.raises(UserError, match=r"unknown key 'kind' in a method"):
        check(parse_yaml("method: a\nvariant_of: b\ntitle: A\nkind: dictionary", Path("a.yaml")), VariantSpec, "method")


def test_the_schema_for_editors_is_the_one_the_specs_give() -> None:
    kept = json.loads(resources.files("harness.specs").joinpath("task.schema.json").read_text(encoding="utf-8"))
    assert kept == json_schema(TaskSpec), "write `harness schema` over harness/specs/task.schema.json"


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda path: path.stem)
def test_every_task_is_valid_for_editors_and_for_the_library(path: Path) -> None:
    validator = jsonschema.Draft202012Validator(json_schema(TaskSpec))
    validator.validate(read_yaml(path).value)
    library = Library()
    document, spec = library.task_document(path.stem)
    check_names(library, document, spec)


@pytest.mark.parametrize(("old", "new"), [("title:", "titel:"), ("l0: 4", "l0: many"), ("[0, 1]", "[-1]")])
def test_the_schema_for_editors_finds_what_is_wrong(old: str, new: str) -> None:
    validator = jsonschema.Draft202012Validator(json_schema(TaskSpec))
    assert validator.is_valid(parse_yaml(TASK, Path("made.yaml")).value)
    assert not validator.is_valid(parse_yaml(edit(TASK, (old, new)), Path("made.yaml")).value)
