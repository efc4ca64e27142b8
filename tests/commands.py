"""Calls the command in this process and returns what it printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from harness.cli import main


@dataclass(frozen=True)
class Answer:
    """Exit code, and what went to stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stdout holds, which must be strict JSON and nothing else."""

        def refuse(word: str) -> None:
            raise ValueError(f"{word} is not JSON")

        return json.loads(self.out, parse_constant=refuse)


def call(capsys: pytest.CaptureFixture[str], *words: str) -> Answer:
    """Call ``harness WORDS``."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    out, err = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return Answer(stopped.value.code, out, err)
