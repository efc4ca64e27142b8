"""Names of blocks and positions, as a record's task and model say them."""

from __future__ import annotations

from pydantic import ValidationError

from harness.specs.answers import Positions
from harness.specs.record import Record


def layers(record: Record) -> tuple[str, ...]:
    """Return the blocks that were read, in order."""
    found = record.model.layer if record.model else ()
    return tuple(f"block {layer}" for layer in ((found,) if isinstance(found, int) else found))


def positions(record: Record) -> tuple[str, ...]:
    """Return the names of the positions that were read; none where the record's task does not say them."""
    asked = record.task.spec.get("answers")
    given = asked.get("positions") if isinstance(asked, dict) else None
    try:
        return Positions.model_validate(given).names
    except ValidationError:
        return ()


def place(record: Record, block: int) -> str:
    """Return where a feature of ``Features.block_F`` was read."""
    at, names = layers(record), positions(record)
    if block < 0 or not names or block >= len(at) * len(names):
        return "no block" if block < 0 else f"place {block}"
    return f"{at[block // len(names)]}, {names[block % len(names)]}"
