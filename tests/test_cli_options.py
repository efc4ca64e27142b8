"""Spellings of options, their values, help, and how the command ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from commands import call
from spec_files import METHOD, TASK, edit, write_content, write_rows

from harness.cli import main
from harness.cli.commands import _COMMANDS, GROUPS, cli
from harness.cli.options import folder_of, integers, settings
from harness.errors import UserError

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def made(tmp_path: Path, cache: Path) -> Path:
    """A folder with the task ``made_up_task`` and its rows, whose names hold underscores."""
    rows = write_rows(tmp_path / "rows_of_it")
    task = edit(TASK, ("task: made", "task: made_up_task"), ("path: rows", f"path: {rows}"))
    return write_content(tmp_path / "my_content", {"made_up_task": task}, {"nought": METHOD})


@pytest.mark.parametrize("sign", ["-", "_"])
def test_options_are_understood_with_either_sign_and_values_are_left_alone(
    capsys: Capture, made: Path, tmp_path: Path, sign: str
) -> None:
    words = f"eval --method nought --task made_up_task --plan --json --no{sign}controls --derived{sign}seeds 0".split()
    folders = [f"--include{sign}path", str(made), f"--output{sign}path={tmp_path / 'my_runs'}"]
    sets = [f"--batch{sign}size=4", f"--data{sign}dir={tmp_path}", "--set", "params.size=a_b", "--set=title=c_d"]
    plan = call(capsys, *words, *folders, *sets).json
    assert [cell["task"] for cell in plan["cells"]] == ["made_up_task"] * 2
    assert plan["groups"][0]["task"] == "made_up_task"


def test_a_plan_names_every_cell_and_what_it_costs(capsys: Capture, made: Path, tmp_path: Path) -> None:
    words = ["eval", "--method=nought", "--task=made_up_task", f"--include-path={made}"]
    words += [f"--output-path={tmp_path / 'runs'}", "--plan"]
    plan = call(capsys, *words, "--json").json
    assert [(cell["method"].split("-")[0], cell["seed"], cell["state"]) for cell in plan["cells"]] == [
        ("nought", 0, "to do"),
        ("nought", 1, "to do"),
    ]
    assert len({cell["key"] for cell in plan["cells"]}) == 2
    assert plan["groups"][0]["activations cached"] is False
    table = call(capsys, *words)
    assert (table.code, table.err) == (0, "")
    assert len(table.out.splitlines()) == 1 + 2 + 1 + 1 + 1
    assert not (tmp_path / "runs").exists()
    other = call(capsys, *words, "--json", "--seed", "5", "--layers=0,1").json
    assert [(cell["seed"], cell["layer"]) for cell in other["cells"]] == [(5, 0), (5, 1)]


@pytest.mark.parametrize(("text", "numbers"), [(None, None), ("3", (3,)), ("0,1, 2", (0, 1, 2)), ("-1", (-1,))])
def test_whole_numbers_are_separated_by_commas(text: str | None, numbers: tuple[int, ...] | None) -> None:
    assert integers(text, "--seeds") == numbers


@pytest.mark.parametrize("text", ["", "a", "1.5", "1 2", "1;2", "1,,2", "0x1", "1e3"])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"^--seeds: give whole numbers separated by commas, got '{text}'$"):
        integers(text, "--seeds")


def test_settings_are_cut_at_the_first_equals_sign() -> None:
    words = ("a.b=c=d", " key = value with spaces ", "empty=", 'text="Q: {{ a_b }}"')
    expected = {"a.b": "c=d", "key": "value with spaces", "empty": "", "text": '"Q: {{ a_b }}"'}
    assert settings(words) == expected


def test_a_folder_with_results_is_one_whatever_it_holds(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no results"):
        folder_of(str(tmp_path))
    (tmp_path / "results").mkdir()
    assert folder_of(str(tmp_path)) == tmp_path


def every_command(group: Any = cli, names: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [names]
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            found += every_command(group.get_command(context, name), (*names, name))
    return found


@pytest.mark.parametrize("names", every_command(), ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_says_what_a_command_does_on_stdout(capsys: Capture, names: tuple[str, ...], option: str) -> None:
    answer = call(capsys, *names, option)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"Usage: {' '.join(('harness', *names))}")
    assert "\n\n  " in answer.out, "it has a description"
    assert all(len(line) <= 110 for line in answer.out.splitlines())


def test_every_command_is_in_the_help_and_has_the_same_words_there(capsys: Capture) -> None:
    out = call(capsys, "--help").out
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(_COMMANDS)
    for name, (_, text) in _COMMANDS.items():
        assert f"  {name}" in out
        assert text in out


def test_every_option_says_what_it_is_for() -> None:
    for names in every_command():
        command: Any = cli
        for name in names:
            command = command.get_command(click.Context(command), name)
        for option in (each for each in command.params if isinstance(each, click.Option)):
            assert option.help, f"{' '.join(names)} {option.opts}"


def test_no_command_prints_the_help_on_stderr_with_exit_code_2(capsys: Capture) -> None:
    for words in ((), ("model",)):
        answer = call(capsys, *words)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith("Usage: harness")


def test_the_version_is_that_of_the_package(capsys: Capture) -> None:
    from importlib.metadata import version

    answer = call(capsys, "--version")
    assert (answer.code, answer.out, answer.err) == (0, f"harness, version {version('interp-harness')}\n", "")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EOFError()])
def test_an_interruption_is_exit_code_130(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("harness.cli.listing.Library", interrupted)
    answer = call(capsys, "list", "tasks")
    assert (answer.code, answer.out) == (130, "")
    assert answer.err.strip() == "harness: interrupted; what was finished is kept, call it again to go on"


def test_an_error_in_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("harness.cli.listing.Library", broken)
    with pytest.raises(ZeroDivisionError):
        main(["list", "tasks"])


def test_python_m_harness_is_the_command_and_a_closed_pipe_is_no_error() -> None:
    command = [sys.executable, "-m", "harness", "list", "metrics"]
    whole = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (whole.stdout.split("\t")[0], whole.stderr) == ("metric", "")
    reader, writer = os.pipe()
    os.close(reader)
    cut = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (cut.returncode, cut.stderr) == (0, "")
