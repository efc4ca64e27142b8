"""The command ``harness``. Commands import what they need when they run, so that listings answer at once."""

from __future__ import annotations

import sys

import click

from harness.cli.commands import cli
from harness.errors import UserError


def main(arguments: list[str] | None = None) -> None:
    """Run the command; a user's mistake becomes one sentence on stderr and exit code 2."""
    try:
        code = cli.main(args=arguments, prog_name="harness", standalone_mode=False)
    except UserError as error:
        _fail(str(error), 2)
    except click.exceptions.Abort:
        _fail("interrupted; what was finished is kept, call it again to go on", 130)
    except KeyboardInterrupt:
        _fail("interrupted; what was finished is kept, call it again to go on", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        # The reader of a pipe has gone (`harness list methods | head`): nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    click.echo(f"harness: {message}", err=True)
    sys.exit(code)
