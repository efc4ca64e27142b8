"""``harness report``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, include_path
from harness.cli.talk import print_json, print_table


@click.command("report")
@click.argument("name")
@click.option("--run", default="runs", show_default=True, metavar="DIR", help="A finished run folder.")
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="Report on this task alone. May be repeated.")
@click.option(
    "--method", "methods", multiple=True, metavar="NAME", help="Report on this method alone. May be repeated."
)
@click.option("--output-path", metavar="DIR", help="Where the page goes; DIR/report by default.")
@click.option("--markdown", is_flag=True, help="Print the whole report as Markdown instead of its conclusions.")
@include_path
@as_json
def report_command(
    name: str,
    run: str,
    tasks: tuple[str, ...],
    methods: tuple[str, ...],
    output_path: str | None,
    markdown: bool,
    include_path: tuple[str, ...],
    as_json: bool,
) -> int:
    """Write the report NAME about a finished run folder, from its records alone: no model, no torch.

    `errors`: what error probes found. `decoding`: decoders over sparse features, their reward, their explanations, and
    the bars they are to meet. `steering`: what steerers change in what a model writes, beside words and noise.

    Prints the conclusions, and writes a page, Markdown and JSON. Methods are named as boards name their rows; controls
    are always shown.
    """
    from harness.errors import UserError
    from harness.metrics.contract import add_metric_folders
    from harness.reporting.making import report
    from harness.specs.library import Library
    from harness.store.files import output_folder

    if markdown and as_json:
        raise UserError("--markdown, --json: give one of the two")
    add_metric_folders(Library([Path(name) for name in include_path]).folders("metrics"))
    target = output_folder(Path(output_path) if output_path else Path(run) / "report", "--output-path")
    found = report(name, run, tasks=tasks, methods=methods)
    paths = found.write(target)
    if as_json:
        print_json(found.jsonable())
    elif markdown:
        click.echo(found.markdown())
    else:
        print_table(f"{found.kind.title}: {run}", *found.kind.lines(found.findings))
    for path in paths:
        click.echo(str(path), err=True)
    return 0
