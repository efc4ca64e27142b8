"""Errors a user can act on: what was given, where, and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a command, a YAML file or the data it names; printed as one sentence, without traceback.

    The command line exits with code 2 for it, before any model loads.
    """


class CellError(Exception):
    """One cell cannot be computed (wrong shape, NaN, …): it is recorded as failed and the others go on."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest allowed word, or an empty string."""
    near = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def unknown(what: str, given: str, allowed: Iterable[str], where: str = "") -> UserError:
    """Build the error for a name that is not among the allowed ones.

    Args:
        what: the kind of thing, e.g. ``"method"``.
        given: the word the user wrote.
        allowed: every word that would have been right.
        where: file and line, or option, that held the word.
    """
    names = sorted(allowed)
    place = f"{where}: " if where else ""
    listing = ", ".join(names) if names else "(none)"
    return UserError(f"{place}unknown {what} '{given}'.{did_you_mean(given, names)} Allowed: {listing}.")
