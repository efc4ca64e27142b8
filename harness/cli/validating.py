"""``harness validate`` and ``harness schema``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import include_path
from harness.cli.talk import print_json
from harness.errors import UserError
from harness.specs.checking import json_schema
from harness.specs.library import Library
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
    methods, tasks = set(library.names("methods")), set(library.names("tasks"))
    chosen = names or (*sorted(methods), *sorted(tasks))
    wrong = [error for name in chosen if (error := _check(library, name, methods)) is not None]
    for error in wrong:
        click.echo(f"harness: {error}", err=True)
    click.echo(f"{len(chosen) - len(wrong)} of {len(chosen)} files are valid", err=True)
    return 2 if wrong else 0


def _check(library: Library, name: str, methods: set[str]) -> UserError | None:
    is_method = name in methods or (name.endswith(".yaml") and Path(name).parent.name == "methods")
    try:
        if is_method:
            library.method(name)
        else:
            document, spec = library.task_document(name)
            check_names(library, document, spec)
    except UserError as error:
        return error
    return None


@click.command("schema")
def schema_command() -> int:
    """Print the JSON schema of task files, for editors."""
    print_json(json_schema(TaskSpec))
    return 0
