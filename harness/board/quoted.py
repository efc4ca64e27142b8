"""Rows quoted from papers (the YAML files in ``references``): set apart from what was measured, and never ranked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydantic import Field

from harness.board.rows import Reference
from harness.specs.checking import check
from harness.specs.reading import read_yaml
from harness.specs.strict import Level, Name, Strict

FOLDER = Path(__file__).resolve().parent / "references"


class _Row(Strict):
    label: str = Field(min_length=1)
    source: str = Field(min_length=1)
    setting: str = Field(min_length=1)
    values: dict[Name, Level] = Field(description="by metric of ours, only where the definitions agree")
    note: str = ""


class _File(Strict):
    track: Name
    rows: tuple[_Row, ...] = Field(min_length=1)


@cache
def references(track: str, folder: Path = FOLDER) -> tuple[Reference, ...]:
    """Return the quoted rows of a track, in the order of files and rows. Raises ``UserError`` on a wrong file."""
    return tuple(
        Reference(row.label, row.source, row.setting, row.values, row.note)
        for file in _files(folder)
        if file.track == track
        for row in file.rows
    )


def _files(folder: Path) -> Iterator[_File]:
    for path in sorted(folder.glob("*.yaml")):
        yield check(read_yaml(path), _File, "file of quoted rows")
