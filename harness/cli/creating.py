"""``harness new``."""

from __future__ import annotations

from pathlib import Path

import click

_WHAT = ("method", "task", "plugin")


@click.command("new")
@click.argument("what", metavar="method|task|plugin")
@click.argument("name")
@click.option("--to", default=".", show_default=True, metavar="DIR", help="Folder that gets methods/ or tasks/.")
@click.option("--kind", help="Kind of method.  [default: dictionary]")
@click.option("--track", help="Track of the task.  [default: reconstruction]")
def new_command(what: str, name: str, to: str, kind: str | None, track: str | None) -> int:
    """Write the files of a new method, a new task, or a package of your own; they work as they stand.

    Nothing is ever written over. Exit code 2: the name is no name, or is taken.
    """
    from harness.errors import UserError, unknown
    from harness.scaffold import new_method, new_plugin, new_task, next_steps
    from harness.store.files import output_folder

    if what not in _WHAT:
        raise unknown("kind of file", what, _WHAT)
    for option, given, used in (("--kind", kind, "method"), ("--track", track, "task")):
        if given is not None and what != used:
            raise UserError(f"{option}: only a new {used} has one")
    folder = output_folder(Path(to), "--to")
    if what == "method":
        written = new_method(name, kind or "dictionary", folder)
    elif what == "task":
        written = new_task(name, track or "reconstruction", folder)
    else:
        written = new_plugin(name, folder)
    for path in written:
        click.echo(path)
    click.echo("\n".join(["next:", *(f"  {step}" for step in next_steps(what, name, folder))]), err=True)
    return 0
