"""``harness docs``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import include_path


@click.command("docs")
@click.argument("folder", metavar="DIR")
@include_path
def docs_command(folder: str, include_path: tuple[str, ...]) -> int:
    """Write a page per track into DIR, as Markdown: its metrics with their formulas, its methods, its tasks."""
    from harness.docs import write_docs
    from harness.metrics.contract import add_metric_folders
    from harness.specs.library import Library
    from harness.store.files import output_folder

    library = Library([Path(name) for name in include_path])
    add_metric_folders(library.folders("metrics"))
    for path in write_docs(library, output_folder(Path(folder), "DIR")):
        click.echo(path)
    return 0
