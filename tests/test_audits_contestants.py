"""Which methods an audit runs where nobody names any: those that the task's track can measure."""

from __future__ import annotations

import pytest

from harness.audits.protocol import contestants
from harness.specs.library import Library

LIBRARY = Library()
# The first task of each track.
TASKS = {LIBRARY.task(name).track: name for name in reversed(LIBRARY.names("tasks"))}


@pytest.mark.parametrize("task", TASKS.values())
def test_an_audit_runs_what_the_track_takes(task: str) -> None:
    spec = LIBRARY.task(task)
    card = LIBRARY.track(spec.track)
    found = contestants(LIBRARY, spec, [])
    assert all(card.takes(LIBRARY.method(name).spec) for name in found), found
    if "dictionary" in card.kinds:
        assert "batchtopk" in found
