"""``harness verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import as_json, include_path
from harness.cli.talk import Talk, print_json, print_table

if TYPE_CHECKING:
    from harness.replay.verdict import Verification

_COLUMNS = ("record", "metric", "stored", "from parts", "run again", "difference", "relative", "allowed", "verdict")


@click.command("verify")
@click.argument("records", nargs=-1, required=True, metavar="RECORD… | FOLDER")
@click.option("--sample", type=click.IntRange(min=1), help="Verify this many of the records, drawn at random.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of --sample.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="REL",
    help="How far a value may be from the record's, as a share of the larger of the value and its interval's width. "
    "Default: 1e-6 under the same threads, batch, dtype, device and libraries; else 0.02 for metrics over documents "
    "and 0.2 for metrics of the fit.",
)
@click.option("--cached-fit", is_flag=True, help="Take fits and activations from the cache; measure again only.")
@click.option("--device", metavar="NAME", help="Where to run, instead of the record's device.")
@click.option("--checkpoint", multiple=True, metavar="DIR", help="Where a dictionary lies that a record names.")
@click.option(
    "--data-dir", envvar="HARNESS_DATA", metavar="DIR", help="Folder of mirrors of hub data sets (HARNESS_DATA)."
)
@include_path
@as_json
def verify_command(records: tuple[str, ...], checkpoint: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Run records again, from what they hold, and say whether they agree.

    The values a record says are held against its own parts, and those against a fit and a measurement made anew. Exit
    code 0: all agree; 1: one disagrees, or cannot be run again; 2: the command is wrong.
    """
    from harness.replay.choose import choose

    # Said before torch is loaded.
    paths = choose(records, options.pop("sample"), options.pop("seed"))
    from harness.replay.verify import verify

    found = []
    with Talk() as talk:
        for one in verify(*paths, progress=talk, checkpoints=checkpoint, **options):
            _say(one)
            found.append(one)
    if as_json:
        print_json([_plain(one) for one in found])
    else:
        print_table("verified", _COLUMNS, [row for one in found for row in _rows(one)])
    counts = {verdict: sum(one.verdict == verdict for one in found) for verdict in ("agree", "disagree", "cannot")}
    click.echo(", ".join(f"{count} {verdict}" for verdict, count in counts.items()), err=True)
    return 0 if counts["agree"] == len(found) else 1


def _say(one: Verification) -> None:
    click.echo(f"{one.verdict}: {one.name}{' (same setting)' if one.exact else ''}", err=True)
    for reason in one.reasons:
        click.echo(f"  {reason}", err=True)
    for change in one.changed:
        click.echo(f"  changed since: {change}", err=True)


def _plain(one: Verification) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(one), "path": str(one.path)}


def _rows(one: Verification) -> list[list[str]]:
    rows = []
    for m in one.metrics:
        numbers = (m.stored, m.parts, m.again, m.difference, m.relative, m.allowed)
        shown = ["none" if number is None else f"{number:.6g}" for number in numbers]
        rows.append([one.name, m.metric, *shown, m.verdict])
    return rows
