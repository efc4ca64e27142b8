"""``harness leaderboard``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import folder_of, include_path


@click.command("leaderboard")
@click.argument("folder", default="leaderboard")
@click.option(
    "--add", "runs", multiple=True, metavar="RUN", help="Run folder whose records are copied into FOLDER first."
)
@click.option("--output-path", metavar="DIR", help="Where the pages go; FOLDER itself by default.")
@include_path
def leaderboard_command(
    folder: str, runs: tuple[str, ...], output_path: str | None, include_path: tuple[str, ...]
) -> int:
    """Build the page and the tables of FOLDER from its records alone; no model and no torch is needed."""
    from harness.board import load_board, write_pages
    from harness.board.publish import publish
    from harness.metrics.contract import add_metric_folders
    from harness.specs.library import Library
    from harness.store.files import output_folder

    add_metric_folders(Library([Path(name) for name in include_path]).folders("metrics"))
    output_folder(Path(folder), "FOLDER")
    for run in runs:
        copies = publish(folder_of(run), Path(folder))
        click.echo(f"{len(copies)} records of {run} published into {folder}", err=True)
    source = folder_of(folder)
    target = output_folder(Path(output_path), "--output-path") if output_path else source
    for path in write_pages(load_board(source), target, source):
        click.echo(path)
    return 0
