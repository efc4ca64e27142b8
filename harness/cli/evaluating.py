"""``harness eval``."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from harness.cli.options import as_json, include_path, options_of, run_options, store
from harness.cli.talk import Talk, print_json, print_table
from harness.store.masking import masked


@click.command("eval")
@click.option("--method", required=True, metavar="NAMES", help="Methods, separated by commas.")
@click.option("--task", required=True, metavar="NAMES", help="Tasks, separated by commas.")
@click.option("--derived-seeds", metavar="INTS", help="Seeds on which derived controls are built; all by default.")
@click.option("--controls/--no-controls", default=True, help="Whether the task's controls are run.")
@run_options
@store
@click.option(
    "--shard", metavar="I/N", help="Measure the I-th of N shares of every cell; the process that ends last adds up."
)
@click.option("--plan", is_flag=True, help="Print cells, tokens, disk and what is cached; run nothing.")
@include_path
@as_json
def eval_command(method: str, task: str, output_path: str, plan: bool, as_json: bool, **given: Any) -> int:
    """Measure methods on tasks.

    Finished cells of the run folder are skipped, so the same command goes on after an interruption. Exit code 0: every
    cell is measured; 1: a cell failed; 2: the command or a file is wrong, and no model was loaded; 130: interrupted.
    """
    from harness.run.evaluate import prepare

    with Talk() as talk:
        prepared = prepare(method, task, output_path, options_of(given), talk)
    if plan:
        from harness.cli.planning import print_plan

        print_plan(prepared.groups, prepared.folder, as_json)
        return 0
    with Talk() as talk:
        # What is recorded is read by others; a password in it is nobody's business.
        outcome = prepared.run(talk, shlex.join(["harness", *map(masked, sys.argv[1:])]))
    _report(output_path, outcome, as_json)
    return 1 if outcome.failed else 0


def _report(output_path: str, outcome: Any, as_json: bool) -> None:
    from pathlib import Path

    from harness.board import load_board, write_pages

    folder = Path(output_path)
    board = load_board(folder)
    pages = write_pages(board, folder)
    if as_json:
        print_json([stored.record.model_dump(mode="json") for stored in outcome.records])
    else:
        _print_records(outcome)
    measured = {stored.record.task.table for stored in outcome.records}
    for table in (table for table in board.tables if table.hash in measured):
        for label, verdict in table.verdicts:
            click.echo(f"{table.task}: {label}: {verdict.word}: {verdict.reason}", err=True)
    for stored in outcome.failed:
        click.echo(f"failed: {stored.record.method.name}, seed {stored.record.seed}: {stored.record.reason}", err=True)
    done = len(outcome.records) - outcome.skipped
    if outcome.waiting:
        click.echo(f"{outcome.waiting} cells wait for what other shards measure", err=True)
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
