"""``harness audit``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import as_json, folder_of, include_path, options_of, run_options
from harness.cli.talk import Talk, print_json, print_table

if TYPE_CHECKING:
    from harness.specs.reliability import ReliabilityCard


@click.command("audit")
@click.argument("name", metavar="METRIC|TASK")
@click.option("--task", "tasks", metavar="NAMES", help="Further tasks of a METRIC, besides the worlds.")
@click.option("--metric", "metrics", metavar="NAMES", help="Metrics of a TASK; all of them by default.")
@click.option("--method", "methods", metavar="NAMES", help="Methods to audit on, besides those of --run.")
@click.option("--run", "records", multiple=True, metavar="DIR", help="Folder whose records count too.")
@click.option("--records-only", is_flag=True, help="Run nothing; what records cannot tell is left open.")
@click.option("--cards", metavar="DIR", help="Where cards go; OUTPUT/cards by default.")
@run_options
@include_path
@click.option("--markdown", is_flag=True, help="Print Markdown to stdout.")
@as_json
def audit_command(name: str, markdown: bool, as_json: bool, **given: Any) -> int:
    """Find out what a metric is worth on a task, and write a reliability card.

    METRIC is audited on every world that measures it, TASK with all its metrics. A metric whose card says diagnostic is
    shown on boards without ranks and margins. Cells that are finished are not run again.
    """
    from harness.audits.audit import Request, audit
    from harness.audits.text import markdown_of

    request = Request(
        name=name,
        tasks=_names(given.pop("tasks")),
        metrics=_names(given.pop("metrics")),
        methods=_names(given.pop("methods")),
        records=tuple(folder_of(path) for path in given.pop("records")),
        records_only=given.pop("records_only"),
        cards=Path(cards) if (cards := given.pop("cards")) else None,
        output_path=Path(given.pop("output_path")),
        options=options_of(given),
    )
    with Talk() as talk:
        cards_made = audit(request, shlex.join(["harness", *sys.argv[1:]]), talk)
    for task, (label, why) in dict.fromkeys((c.task, pair) for c in cards_made for pair in c.left_out.items()):
        click.echo(f"{task}: left out, as a board would not rank it: {label}: {why}", err=True)
    if as_json:
        print_json([card.model_dump(mode="json") for card in cards_made])
    elif markdown:
        click.echo(markdown_of(cards_made))
    else:
        _print(cards_made)
    return 0


def _names(given: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (given or "").split(",") if name.strip())


def _print(cards: Sequence[ReliabilityCard]) -> None:
    from harness.audits.text import rows_of

    for task in dict.fromkeys(card.task for card in cards):
        header, *rows = rows_of([card for card in cards if card.task == task])
        print_table(task, header, rows)
