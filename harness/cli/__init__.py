"""The command ``harness``. Commands import what they need when they run, so that listings answer at once."""

from __future__ import annotations

import errno
import os
import sys

import click

from harness.cli.commands import ReaderGoneError, cli
from harness.errors import UserError

# Threads that wait by spinning take the core from the thread they wait for as soon as anything else runs: measured on
# two shared cores, a fit is seven times slower. Read by OpenMP when torch is loaded, so it is set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Matrices of pre-activations are taken and given back at every step: measured, writing a fresh one in pages of 2 MiB
# takes a third of the time it takes in pages of 4 KiB. Read by torch at its first matrix.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# What a disk may say while anything is written; other errors of files are ours to explain.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


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
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        _fail(_usage(error), 2)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        _fail(f"{os.strerror(error.errno).lower()}; what was finished is kept, call it again to go on", 1)
    except ReaderGoneError:
        # Nothing is wrong (`harness list methods | head`); what is still in the buffer must not fail at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "harness"
    # Click lays out the values of a choice on lines of their own.
    message = " ".join(error.format_message().replace(":\n\t", ": ").split())
    stop = "" if message.endswith((".", "?", "?)")) else "."
    return f"{message[0].lower()}{message[1:]}{stop} See '{command} --help'."


def _fail(message: str, code: int) -> None:
    from harness.board.escaping import shown

    click.echo(f"harness: {shown(message)}", err=True)
    sys.exit(code)
