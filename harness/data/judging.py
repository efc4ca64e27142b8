"""Judges of generated answers: which are right, and what kind of error the others are.

A kind describes the difference between the answer and the truth. It does not say how the model came to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from harness.data.gym import verifier
from harness.data.splits import Document
from harness.data.tables import Row
from harness.errors import UserError
from harness.specs.answers import CARRY, OTHER, SIGN, UNPARSABLE, WRONG
from harness.specs.task import TaskSpec

Kind = Callable[[str, str], str]


def extracted(answer: str, pattern: str) -> str | None:
    """Return what is judged of an answer: the last match of ``pattern``, or its first group; None where none is."""
    found = list(re.finditer(pattern, answer))
    if not found:
        return None
    last = found[-1]
    return (last.group(1) if last.re.groups else last.group()) or None


def arithmetic_kind(answer: str, truth: str) -> str:
    """Return the kind of error of a wrong number.

    ``sign``: the truth with the other sign. ``carry``: what differs is a sum of different powers of ten, all above the
    truth's last place: 10, 100 or 110 for an integer, 0.1 for a truth with two decimals. Losing the carries of some
    columns of a written sum, or carrying where nothing is to be carried, gives just these differences; so does an
    error of one in such a column for another reason. ``unparsable``: not a number. ``other``: the rest, off by one in
    the last place included.

    Raises:
        ValueError: the truth is not a number.
    """
    right, given = _number(truth), _number(answer)
    if right is None:
        raise ValueError(f"'{truth}' is not a number")
    if given is None:
        return UNPARSABLE
    if right and given == -right:
        return SIGN
    # In units of the truth's last place.
    places = max(-int(right.as_tuple().exponent), 0)
    difference = abs(given - right).scaleb(places)
    if difference != difference.to_integral_value():
        return OTHER
    digits = str(int(difference))
    return CARRY if digits[-1] == "0" and set(digits) == {"0", "1"} else OTHER


def _number(text: str) -> Decimal | None:
    try:
        value = Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


KIND_OF: dict[str, Kind] = {"verifier": lambda answer, truth: WRONG, "arithmetic": arithmetic_kind}


class Judge:
    """Gives answers to generated problems their label; raises ``UserError`` where the truth is of the wrong sort."""

    def __init__(self, spec: TaskSpec) -> None:
        if spec.answers is None or spec.answers.generated is None or spec.data.source != "reasoning_gym":
            raise ValueError("specs let a task without generated answers through")
        self._task, self._asked, self._right = spec.task, spec.answers.generated, spec.answers.right
        self._verified = verifier(spec.data)

    def label(self, document: Document, answer: str) -> str:
        """Return the label of an answer to a problem: that of right answers, or the kind of error."""
        row: Row = document.problem or {}
        found = extracted(answer, self._asked.extract)
        if found is None:
            return UNPARSABLE
        if self._verified(found, row):
            return self._right
        try:
            return KIND_OF[self._asked.judge](found, str(row.get("answer")))
        except ValueError as error:
            raise UserError(
                f"task '{self._task}': judge '{self._asked.judge}' compares numbers; the answer to problem "
                f"'{document.id}': {error}."
            ) from None
