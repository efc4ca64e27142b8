"""``harness eval``."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import as_json, include_path, integers, settings
from harness.cli.talk import Talk, print_json, print_table

if TYPE_CHECKING:
    from harness.run.evaluate import Options


@click.command("eval")
@click.option("--method", required=True, metavar="NAMES", help="Methods, separated by commas.")
@click.option("--task", required=True, metavar="NAMES", help="Tasks, separated by commas.")
@click.option("--seeds", "--seed", metavar="INTS", help="Seeds of the methods; the task's own by default.")
@click.option("--derived-seeds", metavar="INTS", help="Seeds on which derived controls are built; all by default.")
@click.option("--model", metavar="NAME", help="Language model instead of the task's: alias, hub id, folder, GGUF.")
@click.option("--layers", metavar="INTS", help="Blocks, from 0, instead of the task's site.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change a task key, or params.KEY of the methods."
)
@click.option("--limit", type=click.IntRange(min=1), help="Documents per split at most.")
@click.option("--controls/--no-controls", default=True, help="Whether the task's controls are run.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, auto.")
@click.option("--dtype", default="float32", show_default=True, help="float32, bfloat16, float16, int8.")
@click.option("--device-map", help="'auto' spreads a model over several devices.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=8, show_default=True, help="Full sequences per batch."
)
@click.option("--revision", help="Revision of a hub model.")
@click.option("--trust-remote-code", is_flag=True, help="Run Python code that comes with a hub model.")
@click.option(
    "--data-dir", envvar="HARNESS_DATA", metavar="DIR", help="Folder of mirrors of hub data sets (HARNESS_DATA)."
)
@click.option("--output-path", default="runs", show_default=True, metavar="DIR", help="Run folder.")
@click.option("--plan", is_flag=True, help="Print cells, tokens, disk and what is cached; run nothing.")
@include_path
@as_json
def eval_command(method: str, task: str, output_path: str, plan: bool, as_json: bool, **given: Any) -> int:
    """Measure methods on tasks.

    Finished cells of the run folder are skipped, so the same command goes on after an interruption. Exit code 0: every
    cell is measured; 1: a cell failed; 2: the command or a file is wrong, and no model was loaded; 130: interrupted.
    """
    from harness.run.evaluate import prepare

    prepared = prepare(method, task, output_path, _options(given))
    if plan:
        from harness.cli.planning import print_plan

        print_plan(prepared.groups, prepared.folder, as_json)
        return 0
    with Talk() as talk:
        outcome = prepared.run(talk, shlex.join(["harness", *sys.argv[1:]]))
    _report(output_path, outcome, as_json)
    return 1 if outcome.failed else 0


def _options(given: dict[str, Any]) -> Options:
    options: Options = {}
    lists = {
        "seeds": integers(given.pop("seeds"), "--seeds"),
        "derived_seeds": integers(given.pop("derived_seeds"), "--derived-seeds"),
        "layers": integers(given.pop("layers"), "--layers"),
    }
    given["set"] = settings(given.pop("sets"))
    for name, value in {**given, **lists}.items():
        if value is not None:
            options[name] = value  # type: ignore[literal-required]
    return options


def _report(output_path: str, outcome: Any, as_json: bool) -> None:
    from pathlib import Path

    from harness.board import load_board, write_pages

    folder = Path(output_path)
    pages = write_pages(load_board(folder), folder)
    if as_json:
        print_json([stored.record.model_dump(mode="json") for stored in outcome.records])
    else:
        _print_records(outcome)
    for stored in outcome.failed:
        click.echo(f"failed: {stored.record.method.name}, seed {stored.record.seed}: {stored.record.reason}", err=True)
    done = len(outcome.records) - outcome.skipped
    click.echo(f"{done} cells measured, {outcome.skipped} were finished before; page: {pages[0]}", err=True)


def _print_records(outcome: Any) -> None:
    by_task: dict[str, list[Any]] = {}
    for stored in outcome.records:
        by_task.setdefault(stored.record.task.name, []).append(stored.record)
    for task, records in by_task.items():
        metrics = list(records[0].metrics)
        rows = [
            [r.method.name, r.method.of or "", r.method.role or "", str(r.seed), *_values(r, metrics)] for r in records
        ]
        print_table(task, ["method", "of", "control", "seed", *metrics], rows)


def _values(record: Any, metrics: list[str]) -> list[str]:
    values = [record.metrics[name].value for name in metrics]
    return ["—" if value is None else f"{value:.4g}" for value in values]
