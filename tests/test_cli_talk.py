"""Tables on a terminal and in a pipe: what names say is text there, neither markup nor orders to the terminal."""

from __future__ import annotations

import json
import sys

import pytest
from commands import call

from harness.cli.talk import print_json, print_table

Capture = pytest.CaptureFixture[str]

NAMES = ["[red]topk[/red]", "[/]", "[link=http://x]a[/link]", ":warning:", "a\x1b[31mb", "turned \u202e", "x\ud800y"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("terminal", [True, False])
def test_names_are_text(name: str, terminal: bool, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    print_table(name, ["column " + name], [["cell " + name]])
    out = capsys.readouterr().out
    said = "".join("\ufffd" if letter in "\x1b\u202e\ud800" else letter for letter in name)
    assert f"column {said}" in out
    assert f"cell {said}" in out
    assert (out.count(said) == 3) is terminal
    assert not set("\x1b\u202e\ud800") & set(out)


def test_a_name_cannot_make_lines_or_columns_in_a_pipe(capsys: Capture) -> None:
    print_table("t", ["a", "b"], [["one\ntwo", "three\tfour"]])
    assert capsys.readouterr().out == "a\tb\none two\tthree four\n"


def test_an_error_gives_the_terminal_no_orders(capsys: Capture) -> None:
    answer = call(capsys, "show", "no\x1b[31m\u202esuch")
    assert answer.code == 2
    assert "no\ufffd[31m\ufffdsuch" in answer.err


@pytest.mark.parametrize("name", NAMES)
def test_json_keeps_every_letter_and_gives_no_orders(name: str, capsys: Capture) -> None:
    print_json({name: [name, "é"]})
    out = capsys.readouterr().out
    assert json.loads(out) == {name: [name, "é"]}
    assert not set("\x1b\u202e\ud800") & set(out)
    assert "é" in out
