"""``harness gate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.options import as_json, include_path
from harness.cli.talk import print_json, print_table


def _workflow(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from harness.gates.workflow import workflow

        click.echo(workflow(), nl=False)
        context.exit()


@click.command("gate")
@click.argument("run")
@click.option("--baseline", required=True, metavar="DIR", help="Run folder that the run is held against.")
@click.option(
    "--tolerance",
    "words",
    multiple=True,
    metavar="METRIC=x",
    help="Acceptable loss: in the metric's unit, or as a share (3%) of the default. TASK/METRIC=x holds for one task.",
)
@click.option("--tolerances", "file", metavar="FILE", help="YAML file with one METRIC: x a line; --tolerance wins.")
@click.option("--controls", is_flag=True, help="Judge the controls too, not only whether their cells failed.")
@click.option("--strict", is_flag=True, help="Exit code 1 where anything is inconclusive or missing.")
@click.option("--markdown", "page", metavar="FILE", help="Write Markdown for a pull request's comment there.")
@click.option(
    "--workflow",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_workflow,
    help="Print a workflow file for GitHub Actions that runs the gate.",
)
@include_path
@as_json
def gate_command(run: str, baseline: str, strict: bool, as_json: bool, **given: Any) -> int:
    """Hold RUN against a baseline: pass, fail or inconclusive for every method, table and metric.

    Reads records only. Exit code 0: nothing failed (what is inconclusive, or missing from the run, is said on stderr);
    1: a metric or a cell failed or lost its value, or with --strict something is inconclusive or missing; 2: the
    command or a file is wrong.
    """
    from harness.gates import gate
    from harness.gates.text import markdown, to_json
    from harness.gates.tolerance import read_tolerances
    from harness.metrics.contract import add_metric_folders
    from harness.specs.library import Library
    from harness.store.files import output_folder, write_text

    add_metric_folders(Library([Path(name) for name in given["include_path"]]).folders("metrics"))
    page, file = (Path(given[name]) if given[name] else None for name in ("page", "file"))
    if page:
        output_folder(page.parent, "--markdown")
    found = gate(run, baseline, read_tolerances(file, given["words"]), given["controls"])
    if page:
        write_text(page, markdown(found))
    if as_json:
        print_json(to_json(found))
    _say(found, as_json)
    return 1 if found.verdict == "fail" or (strict and found.verdict == "inconclusive") else 0


def _say(found: Any, as_json: bool) -> None:
    from harness.gates.text import COLUMNS, rows, summary

    if not as_json:
        print_table("Gate", COLUMNS, rows(found))
    for text in (*found.notes, *found.unpaired, *(f"{p.path}: {p.reason}" for p in found.problems)):
        click.echo(text, err=True)
    for cell in found.failed:
        click.echo(f"failed: {cell.method} on {cell.task}, seed {cell.seed}: {cell.reason}", err=True)
    for text in found.missing:
        click.echo(f"warning: {text}", err=True)
    if found.of("inconclusive"):
        click.echo("warning: the evidence decides neither way for some metrics", err=True)
    click.echo(summary(found), err=True)
