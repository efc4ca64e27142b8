"""``harness compare``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import amounts, as_json, include_path
from harness.cli.talk import print_json, print_table


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.option("--run", default="runs", show_default=True, metavar="FOLDER", help="Where two methods are looked for.")
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="Compare on this task alone. May be repeated.")
@click.option(
    "--margin", "margins", multiple=True, metavar="METRIC=X", help="Say whether A is no worse than B by X (one-sided)."
)
@click.option(
    "--delta", "deltas", multiple=True, metavar="METRIC=X", help="Say what it takes to see a difference of X."
)
@click.option("--output-path", metavar="DIR", help="Where the page goes; FOLDER/compare by default.")
@include_path
@as_json
def compare_command(
    a: str,
    b: str,
    run: str,
    tasks: tuple[str, ...],
    margins: tuple[str, ...],
    deltas: tuple[str, ...],
    output_path: str | None,
    include_path: tuple[str, ...],
    as_json: bool,
) -> int:
    """Compare methods A and B of a run folder, or every method of folder A with itself in folder B.

    Methods are named as boards name their rows. Prints one line per task and metric, and writes a page, Markdown (fit
    for a comment) and JSON. Needs no model and no torch.
    """
    from harness.comparison.comparing import compare
    from harness.comparison.page import write
    from harness.comparison.text import COLUMNS, jsonable, lines
    from harness.comparison.words import title
    from harness.metrics.contract import add_metric_folders
    from harness.specs.library import Library
    from harness.store.files import output_folder

    add_metric_folders(Library([Path(name) for name in include_path]).folders("metrics"))
    asked = {"margins": amounts(margins, "--margin"), "deltas": amounts(deltas, "--delta")}
    found = compare(a, b, run, tasks=tasks, **asked)
    home = Path(a if found.kind == "folders" else run) / "compare"
    target = output_folder(Path(output_path) if output_path else home, "--output-path")
    paths = write(found, target)
    if as_json:
        print_json(jsonable(found))
    else:
        print_table(f"A: {a}   B: {b}", COLUMNS, lines(found))
    for table in found.tables:
        for note in (*table.notes, *(() if table.matched else ("UNMATCHED L0: no side is called better",))):
            click.echo(f"{title(found, table)}: {note}", err=True)
    for path in paths:
        click.echo(str(path), err=True)
    return 0
