"""``harness validate`` and ``harness schema``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import include_path
from harness.cli.talk import print_json
from harness.errors import UserError
from harness.specs.checking import json_schema
from harness.specs.library import FoundMethod, Library
from harness.specs.resolve import check_names
from harness.specs.task import TaskSpec


@click.command("validate")
@click.argument("names", nargs=-1)
@include_path
def validate_command(names: tuple[str, ...], include_path: tuple[str, ...]) -> int:
    """Check tasks and methods by name or file; all of them where none is named. Reports every file that is wrong."""
    from harness.metrics.contract import add_metric_folders

    library = Library([Path(folder) for folder in include_path])
    add_metric_folders(library.folders("metrics"))
    every = [(name, True) for name in library.names("methods")] + [(name, False) for name in library.names("tasks")]
    chosen = [(name, None) for name in names] or every
    wrong = [error for name, is_method in chosen if (error := _check(library, name, is_method)) is not None]
    for error in wrong:
        click.echo(f"harness: {error}", err=True)
    click.echo(f"{len(chosen) - len(wrong)} of {len(chosen)} files are valid", err=True)
    return 2 if wrong else 0


def _check(library: Library, name: str, is_method: bool | None) -> UserError | None:
    try:
        if library.is_method(name) if is_method is None else is_method:
            _check_uses(library, library.method(name))
        else:
            document, spec = library.task_document(name)
            check_names(library, document, spec)
    except UserError as error:
        return error
    return None


def _check_uses(library: Library, found: FoundMethod) -> None:
    for use, name in found.spec.uses.items():
        if not (use == "of" and name == "any"):
            library.method(name, f"uses of method '{found.spec.method}'")


@click.command("schema")
def schema_command() -> int:
    """Print the JSON schema of task files, for editors."""
    print_json(json_schema(TaskSpec))
    return 0
