"""Listings, cards, validation: data on stdout, talk on stderr, JSON where it is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import call
from spec_files import DERIVED, METHOD, PROMPTS, TASK, edit, line_of, write_content

from harness.content import content_folder
from harness.metrics.contract import all_metrics
from harness.specs.library import Library
from harness.specs.task import TaskSpec

Capture = pytest.CaptureFixture[str]
LISTINGS = ("methods", "tasks", "metrics", "models", "tracks")
# A bound may be infinite in YAML, which JSON does not know.
BOUNDED = edit(METHOD, ("size: 1", "size: .inf"))


@pytest.fixture
def added(tmp_path: Path) -> str:
    write_content(tmp_path, {"made": TASK, "asked": PROMPTS}, {"nought": METHOD, "shadow": DERIVED})
    return f"--include-path={tmp_path}"


@pytest.mark.parametrize("what", LISTINGS)
def test_a_listing_is_json_or_the_same_as_a_table(capsys: Capture, what: str) -> None:
    rows = call(capsys, "list", what, "--json")
    table = call(capsys, "list", what)
    assert (rows.code, rows.err, table.code, table.err) == (0, "", 0, "")
    head, *lines = table.out.splitlines()
    assert head.split("\t") == list(rows.json[0])
    assert len(lines) == len(rows.json)
    first = head.split("\t")[0]
    assert first == what.removesuffix("s")
    assert [line.split("\t")[0] for line in lines] == [row[first] for row in rows.json]
    assert all(line.count("\t") == head.count("\t") for line in lines)


def test_everything_there_is_is_listed_and_added_folders_too(capsys: Capture, added: str) -> None:
    library = Library()
    methods = {row["method"] for row in call(capsys, "list", "methods", "--json", added).json}
    assert methods == {*library.names("methods"), "nought", "shadow"}
    tasks = {row["task"] for row in call(capsys, "list", "tasks", "--json", added).json}
    assert tasks == {*library.names("tasks"), "made", "asked"}
    assert [row["metric"] for row in call(capsys, "list", "metrics", "--json").json] == list(all_metrics())


def test_the_models_are_listed_by_both_commands(capsys: Capture) -> None:
    assert call(capsys, "list", "models").out == call(capsys, "model", "list").out
    assert call(capsys, "list", "models", "--json").out == call(capsys, "model", "list", "--json").out


def test_a_table_in_a_pipe_has_a_tab_between_columns_and_no_drawing(capsys: Capture) -> None:
    out = call(capsys, "list", "tasks").out
    assert "\x1b" not in out
    assert not set("│┃━┏") & set(out)


@pytest.mark.parametrize("name", ["made", "asked", "nought", "shadow", "fvu", "reconstruction", "gsm_symbolic"])
def test_whatever_is_listed_can_be_shown(capsys: Capture, added: str, name: str) -> None:
    answer = call(capsys, "show", name, added)
    assert (answer.code, answer.err) == (0, "")
    assert name in answer.json.values()


def test_every_metric_track_method_and_task_has_a_card(capsys: Capture) -> None:
    library = Library()
    for name in (*library.names("methods"), *library.names("tasks"), *library.tracks(), *all_metrics()):
        assert call(capsys, "show", name).json


def test_a_file_is_shown_by_its_path(capsys: Capture, tmp_path: Path, added: str) -> None:
    for name, path in (("made", tmp_path / "tasks" / "made.yaml"), ("nought", tmp_path / "methods" / "nought.yaml")):
        assert call(capsys, "show", str(path)).out == call(capsys, "show", name, added).out
    answer = call(capsys, "show", str(tmp_path / "absent.yaml"))
    assert (answer.code, answer.out) == (2, "")
    assert "cannot be read" in answer.err


def test_an_infinite_parameter_is_shown_as_its_word(capsys: Capture, tmp_path: Path) -> None:
    write_content(tmp_path, methods={"nought": BOUNDED})
    assert call(capsys, "show", "nought", f"--include-path={tmp_path}").json["params"]["size"] == ".inf"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 99}'])
def test_a_record_that_cannot_be_read_is_one_sentence(capsys: Capture, tmp_path: Path, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    answer = call(capsys, "show", str(path))
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith(f"harness: {path}")


def test_every_file_of_the_package_is_valid(capsys: Capture) -> None:
    library = Library()
    count = len(library.names("methods")) + len(library.names("tasks"))
    answer = call(capsys, "validate")
    assert (answer.code, answer.out, answer.err) == (0, "", f"{count} of {count} files are valid\n")


def test_validation_reports_every_file_that_is_wrong(capsys: Capture, tmp_path: Path) -> None:
    tasks = {
        "made": TASK,
        "one": edit(TASK, ("task: made", "task: one"), ("title:", "titel:")),
        "two": edit(TASK, ("task: made", "task: two"), ("[fvu, l0]", "[fvu, l00]")),
        "three": edit(TASK, ("task: made", "task: three"), ("l0: 4, ", "")),
    }
    user = edit(DERIVED, ("method: shadow", "method: user"), ("{of: any}", "{base: nougth}"))
    write_content(tmp_path, tasks, {"nought": METHOD, "shadow": DERIVED, "user": user, "torn": "method: torn\n  x: 1"})
    answer = call(capsys, "validate", f"--include-path={tmp_path}")
    *lines, last = answer.err.splitlines()
    assert (answer.code, answer.out) == (2, "")
    found = {line.split(": ")[1].rpartition("/")[2]: line for line in lines}
    assert set(found) == {
        "one.yaml:3",
        f"two.yaml:{line_of(TASK, 'metrics')}",
        "torn.yaml:2",
        "uses of method 'user'",
    } | {f"three.yaml:{line_of(TASK, 'budget')}"}
    assert "Did you mean 'nought'?" in found["uses of method 'user'"]
    valid, total = (int(word) for word in last.removesuffix(" files are valid").split(" of "))
    assert total - valid == len(lines) == 5


def test_named_files_are_validated_alone(capsys: Capture, tmp_path: Path, added: str) -> None:
    assert call(capsys, "validate", "made", "nought", added).err == "2 of 2 files are valid\n"
    files = [str(tmp_path / "methods" / "nought.yaml"), str(tmp_path / "tasks" / "made.yaml")]
    assert call(capsys, "validate", files[0]).code == 0
    assert call(capsys, "validate", files[1]).code == 2, "its control is not in any folder that was named"
    assert call(capsys, "validate", *files, added).code == 0
    answer = call(capsys, "validate", "mad", "made", added)
    assert answer.code == 2
    assert "unknown method or task 'mad'. Did you mean 'made'?" in answer.err
    assert answer.err.endswith("1 of 2 files are valid\n")


def test_the_printed_schema_is_the_one_beside_the_specs(capsys: Capture) -> None:
    kept = (Path(content_folder("tasks")).parent / "harness" / "specs" / "task.schema.json").read_text(encoding="utf-8")
    answer = call(capsys, "schema")
    assert (answer.code, answer.out, answer.err) == (0, kept, "")
    assert set(answer.json["properties"]) == set(TaskSpec.model_fields)


def test_the_doctor_answers_in_json_and_as_a_table(
    capsys: Capture, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirrors" / "squad").mkdir(parents=True)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "mirrors"))
    checks = call(capsys, "doctor", "--json")
    found: dict[str, dict[str, Any]] = {check["what"]: check for check in checks.json}
    assert checks.code == 0
    assert all(check["ok"] is not False for check in checks.json)
    assert found["mirrors (HARNESS_DATA)"]["found"] == f"{tmp_path / 'mirrors'}: squad"
    assert str(cache) in found["cache (HARNESS_CACHE)"]["found"]
    assert len(call(capsys, "doctor").out.splitlines()) == len(checks.json) + 1


def test_the_doctor_says_what_is_missing_with_exit_code_1(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "mirrors").mkdir()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "mirrors"))
    answer = call(capsys, "doctor", "--json")
    assert answer.code == 1
    missing = {check["what"] for check in answer.json if check["ok"] is False}
    assert missing == {"cache (HARNESS_CACHE)", "mirrors (HARNESS_DATA)"}


def test_what_is_known_of_a_model_is_json(capsys: Capture) -> None:
    known = call(capsys, "model", "info", "tiny-random").json
    row = next(row for row in call(capsys, "list", "models", "--json").json if row["model"] == "tiny-random")
    assert (known["name"], known["blocks"], known["width"]) == ("tiny-random", row["blocks"], row["width"])
    assert known["fingerprint"]
    default = call(capsys, "model", "info")
    assert default.code == 0
    assert json.loads(default.out)["blocks"] == 30
