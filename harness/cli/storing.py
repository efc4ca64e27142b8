"""``harness index``, ``harness records``, ``harness store`` and ``harness events``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import as_json, folder_of, store
from harness.cli.talk import print_json, print_table
from harness.errors import UserError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Engine


@click.command("index")
@click.argument("folder")
@as_json
def index_command(folder: str, as_json: bool) -> int:
    """Bring FOLDER/index.sqlite up to date with the records of a run folder.

    It can be deleted at any time. Files that have not changed are not read again; one that is torn is made anew.
    """
    from harness.store.sql.index import update_index

    found = update_index(_writable(folder))
    if as_json:
        print_json(
            {"index": str(found.path), "records": found.records, "read": found.read, "gone": found.gone,
             "problems": [{"path": path, "reason": reason} for path, reason in found.problems]}
        )  # fmt: skip
    else:
        click.echo(found.path)
    _complain(found.problems)
    click.echo(f"{found.records} records; {found.read} files read, {found.gone} gone", err=True)
    return 0


@click.command("records")
@click.argument("source", metavar="FOLDER|URL")
@click.option("--task", metavar="NAME", help="Only records of this task.")
@click.option("--method", metavar="NAME", help="Only records of this method.")
@click.option("--status", type=click.Choice(["ok", "failed"]), help="Only records that were measured, or that failed.")
@click.option(
    "--metric", "metrics", multiple=True, metavar="CONDITION", help="Only records with 'fvu<0.2'; several times: all."
)
@as_json
def records_command(source: str, metrics: tuple[str, ...], as_json: bool, **given: str | None) -> int:
    """List records of a run folder, through its index, or of a store by its URL."""
    from harness.store.sql.database import transaction
    from harness.store.sql.query import Wanted, find, parse_condition

    conditions = tuple(parse_condition(text) for text in metrics)
    with transaction(_database(source)) as connection:
        found = find(connection, Wanted(**given, conditions=conditions))
    if as_json:
        print_json(found)
    else:
        _print_records(found, [condition.metric for condition in conditions])
    return 0


def _database(source: str) -> Engine:
    from harness.store.sql.database import open_store
    from harness.store.sql.index import open_index, update_index

    if "://" in source:
        return open_store(source)
    folder = _writable(source)
    _complain(update_index(folder).problems)
    return open_index(folder)


def _print_records(found: Sequence[dict[str, Any]], metrics: Sequence[str]) -> None:
    from harness.board.printable import printable

    shown = list(dict.fromkeys(metrics))
    names = {"of": "of", "control": "role", "seed": "seed", "status": "status", "cell": "cell"}
    rows = []
    for record in printable(list(found)):
        values = [f"{record['metrics'][name]['value']:.4g}" for name in shown]
        plain = ["" if record[key] is None else str(record[key]) for key in names.values()]
        rows.append([record["task"], record["method"], *plain, *values])
    print_table("records", ["task", "method", *names, *shown], rows)


@click.group("store")
def store_command() -> None:
    """Share records through a database: PostgreSQL for a team, or one SQLite file."""


@store_command.command("push")
@click.argument("run")
@store
@as_json
def push_command(run: str, store: str | None, as_json: bool) -> int:
    """Push every record of a run folder into a store; what it holds already stays as it is."""
    from harness.store.sql.database import open_database
    from harness.store.sql.pushing import push_folder

    pushed = push_folder(folder_of(run), open_database(_named(store)))
    return _report("pushed", pushed.new, pushed.same, pushed.problems, as_json)


@store_command.command("pull")
@click.argument("folder")
@store
@click.option("--task", metavar="NAME", help="Only records of this task.")
@click.option("--method", metavar="NAME", help="Only records of this method.")
@as_json
def pull_command(folder: str, store: str | None, task: str | None, method: str | None, as_json: bool) -> int:
    """Write the records of a store into a run folder, with the bytes they were pushed with."""
    from harness.store.files import output_folder
    from harness.store.sql.database import open_store
    from harness.store.sql.pulling import pull

    pulled = pull(open_store(_named(store)), output_folder(Path(folder), "FOLDER"), task, method)
    return _report("pulled", pulled.new, pulled.same, pulled.problems, as_json)


def _named(store: str | None) -> str:
    if not store:
        raise UserError("--store: name the database, as in --store postgresql+psycopg://USER@HOST/DATABASE")
    return store


def _report(verb: str, new: int, same: int, problems: Sequence[tuple[str, str]], as_json: bool) -> int:
    if as_json:
        found = [{"record": name, "reason": reason} for name, reason in problems]
        print_json({verb: new, "there already": same, "problems": found})
    _complain(problems)
    click.echo(f"{new} records {verb}, {same} were there already", err=True)
    return 1 if problems else 0


@click.command("events")
@click.argument("folder")
@click.option("--run", metavar="ID", help="Only events of this run.")
@as_json
def events_command(folder: str, run: str | None, as_json: bool) -> int:
    """Print what the runs of a folder did and when, from FOLDER/events.jsonl."""
    from harness.board.printable import printable
    from harness.store.events import FIELDS, FILE, read_events

    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"'{folder}' holds no {FILE}; give a folder that `harness eval --output-path` wrote")
    events = list(read_events(Path(folder)))
    if run is not None and run not in (runs := {str(event["run"]) for event in events}):
        raise unknown("run", run, runs, "--run")
    events = [event for event in events if run in (None, str(event["run"]))]
    if as_json:
        print_json(events)
        return 0
    rows = []
    for event in printable(events):
        said = ", ".join(f"{name} {event[name]}" for name in FIELDS[event["event"]] if event[name] is not None)
        rows.append([str(event["time"]), str(event["run"]), event["event"], " ".join(said.split())])
    print_table("events", ["time", "run", "event", "what"], rows)
    return 0


def _writable(folder: str) -> Path:
    from harness.store.files import output_folder

    return output_folder(folder_of(folder), "FOLDER")


def _complain(problems: Iterable[tuple[str, str]]) -> None:
    from harness.board.printable import printable

    for name, reason in problems:
        click.echo(printable(f"not used: {name}: {reason}"), err=True)
