"""Results of other tools as this project keeps them: ``FOLDER/imported/TOOL-HASH.json``.

Metrics keep the names their tool gave them. They are shown apart from ours and never ranked with them: a name that
sounds alike need not mean the same number (``explained_variance`` and ``mse`` of SAEBench do not).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UserError
from harness.exchange.strict_json import parse_strict, read_bytes
from harness.store.files import write_text

SCHEMA: Final = 1
FOLDER = "imported"
Tool = Literal["saebench", "lm-eval"]
TOOLS: tuple[Tool, ...] = ("saebench", "lm-eval")
Text = Annotated[str, Field(max_length=2000)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImportedValue(_Plain):
    """One number as its tool wrote it; ``value`` is null with a ``reason`` where the tool gave none.

    ``metric`` is the tool's own name: ``category/metric`` of SAEBench, ``metric,filter`` of lm-eval.
    """

    task: Text
    metric: Text
    value: Number | None
    stderr: Number | None = None
    reason: Text | None = None


class Imported(_Plain):
    """One result file of another tool.

    Attributes:
        schema_version: ``SCHEMA``.
        tool: who wrote it.
        tool_version: the version or commit of the tool, as the file says it.
        subject: what was measured: an SAE, or a model.
        model: the language model, where the file names it.
        measured: when, in UTC, where the file says it.
        file: name of the file it came from, without its folder.
        sha256: of the bytes of that file.
        values: every number in it.
    """

    schema_version: Literal[1] = SCHEMA
    tool: Tool
    tool_version: Text | None
    subject: Text
    model: Text | None
    measured: Text | None
    file: Text
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    values: Annotated[tuple[ImportedValue, ...], Field(max_length=100_000)]


@dataclass(frozen=True)
class Unreadable:
    """A file under ``imported`` that cannot be shown; ``path`` is relative to the folder."""

    path: str
    reason: str


def save_imported(folder: Path, imported: Imported) -> Path:
    """Write results under ``FOLDER/imported``; the same file imported again takes its own place."""
    # Named after its content: nothing in the file decides where it goes.
    path = folder / FOLDER / f"{imported.tool}-{imported.sha256[:16]}.json"
    write_text(path, imported.model_dump_json(indent=1) + "\n")
    return path


def read_imported(folder: Path) -> tuple[list[Imported], list[Unreadable]]:
    """Return the imported results of a folder, in a stable order, and the files that cannot be read."""
    found, problems = [], []
    for path in sorted((folder / FOLDER).glob("*.json")):
        name = path.relative_to(folder).as_posix()
        try:
            found.append(Imported.model_validate(parse_strict(read_bytes(path), name)))
        except UserError as error:
            problems.append(Unreadable(name, str(error).replace(str(path), name)))
        except ValidationError as error:
            problems.append(Unreadable(name, first_fault(error)))
    return sorted(found, key=lambda one: (one.tool, one.subject, one.sha256)), problems


def first_fault(error: ValidationError) -> str:
    """Return where the first fault lies and what it is."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
