"""``harness power``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import as_json, folder_of, include_path
from harness.cli.talk import print_json, print_table
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.comparison.planning import Range, TaskPower

_NOW = ("task", "metric", "pairs", "seeds", "clusters", "least difference seen", "clusters needed", "seeds needed")
_SIZES = ("task", "metric", "seeds", "clusters", "least difference seen")


@click.command("power")
@click.option("--task", metavar="NAME", help="Task whose measured methods tell how differences vary.")
@click.option("--delta", type=float, metavar="X", help="True difference to be seen, in the metric's unit.")
@click.option("--metric", metavar="NAME", help="This metric alone.")
@click.option("--run", default="runs", show_default=True, metavar="FOLDER", help="Run folder, or published board.")
@click.option(
    "--power", default=0.8, show_default=True, type=click.FloatRange(0.1, 0.999), help="Probability of seeing it."
)
@click.option(
    "--discordance",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="SHARE",
    help="Without records: items for 0/1 accuracy of which this share is right for one method alone (McNemar).",
)
@include_path
@as_json
def power_command(task: str | None, discordance: float | None, **given: Any) -> int:
    """Say which differences a task can see at its present size, and how many clusters or seeds see a difference X.

    An estimate from pairs of methods already measured; figures are least / middle / largest over the pairs. A
    difference counts as seen by the two-sided 95 % interval, before adjustment for several metrics.
    """
    if discordance is not None:
        return _items(discordance, given["delta"], given["power"], given["as_json"])
    if task is None:
        raise UserError("--task: name the task to plan for; or give --discordance for 0/1 items without records")
    return _task(task, **given)


def _task(
    task: str,
    run: str,
    metric: str | None,
    delta: float | None,
    power: float,
    include_path: tuple[str, ...],
    as_json: bool,
) -> int:
    from dataclasses import asdict

    from harness.comparison.planning import plan
    from harness.metrics.contract import add_metric_folders
    from harness.specs.library import Library

    add_metric_folders(Library([Path(name) for name in include_path]).folders("metrics"))
    found = plan(folder_of(run), task, metric, delta, power)
    if as_json:
        print_json([asdict(table) for table in found])
        return 0
    print_table(f"{task}, power {power:g}", _NOW, [row for table in found for row in _now(table)])
    click.echo()
    print_table("at other sizes (1 seed: of the fits alone)", _SIZES, [row for t in found for row in _sizes(t)])
    for table in found:
        for name, why in table.left_out:
            click.echo(f"{table.task}: {name} {why}", err=True)
        if table.seeds == 1:
            click.echo(f"{table.task}: one seed was run, so nothing is known of how seeds vary", err=True)
    return 0


def _now(table: TaskPower) -> list[list[str]]:
    name = f"{table.task} ({table.table[:8]})"
    return [
        [name, m.metric, str(m.pairs), str(table.seeds), str(table.clusters), _three(m.now),
         _three(m.clusters), _three(m.seeds)]
        for m in table.metrics
    ]  # fmt: skip


def _sizes(table: TaskPower) -> list[list[str]]:
    name = f"{table.task} ({table.table[:8]})"
    return [
        [name, m.metric, str(size.seeds), f"{size.clusters} (x{size.times})", _three(size.detectable)]
        for m in table.metrics
        for size in m.sizes
    ]


def _three(found: Range | None) -> str:
    from harness.board.formats import DASH, significant

    if found is None:
        return DASH
    ends = (found.low, found.middle, found.high)
    texts = ["none" if end is None else str(end) if isinstance(end, int) else significant(end, 2) for end in ends]
    return " / ".join(texts)


def _items(discordance: float, delta: float | None, power: float, as_json: bool) -> int:
    """Print how many 0/1 items tell two methods apart, and how many show that one is no worse."""
    from harness.stats.paired import items_needed
    from harness.stats.power import items_to_differ

    if delta is None or not 0 < delta <= discordance:
        raise UserError(f"--delta: give a difference of accuracy above 0 and at most the discordance, {discordance:g}")
    differ, no_worse = items_to_differ(discordance, delta, power), items_needed(discordance, delta, power)
    row = {"discordance": discordance, "delta": delta, "power": power, "differ": differ, "no_worse": no_worse}
    if as_json:
        print_json(row)
    else:
        print_table("items", list(row), [[str(value) for value in row.values()]])
    return 0
