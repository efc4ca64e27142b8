"""``harness import`` and ``harness convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.options import as_json, folder_of
from harness.cli.talk import print_json

_TOOL = click.option(
    "--format", "tool", required=True, type=click.Choice(["saebench", "lm-eval"]), help="Whose result files they are."
)


@click.command("import")
@click.argument("files", nargs=-1, required=True)
@_TOOL
@click.option("--to", default="runs", show_default=True, metavar="FOLDER", help="Run folder, or board.")
@as_json
def import_command(files: tuple[str, ...], tool: Any, to: str, as_json: bool) -> int:
    """Keep result files of other tools as they are, under FOLDER/imported.

    Their numbers are shown apart and never ranked with ours: a metric of the same name may be another number.
    """
    from harness.exchange.converting import import_results
    from harness.store.files import output_folder

    folder = output_folder(Path(to), "--to")
    written = import_results([Path(name) for name in files], tool, folder)
    return _print(written, as_json)


@click.command("convert")
@click.argument("folder")
@_TOOL
@click.option("--to", required=True, metavar="DIR", help="Folder to write.")
@as_json
def convert_command(folder: str, tool: Any, to: str, as_json: bool) -> int:
    """Write the records of a run folder as result files of another tool, one file per measured cell."""
    from harness.board.printable import printable
    from harness.exchange.converting import convert
    from harness.store.files import output_folder

    done = convert(folder_of(folder), tool, output_folder(Path(to), "--to"))
    for name, reason in done.problems:
        click.echo(printable(f"not used: {name}: {reason}"), err=True)
    return _print(list(done.files), as_json)


def _print(files: list[Path], as_json: bool) -> int:
    if as_json:
        print_json([str(path) for path in files])
    else:
        click.echo("\n".join(map(str, files)))
    return 0
