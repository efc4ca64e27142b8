"""Several processes on one run: each measures its share of every cell's units, and the last one adds them up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import BaseFileLock

from harness.errors import UserError

_WORDS = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True)
class Shard:
    """One of ``of`` processes, by its number from 1. Units go to them in turn, so none is long in one place."""

    number: int
    of: int

    @classmethod
    def read(cls, words: str) -> Shard:
        """Return the shard that ``2/4`` names: the second of four; raises ``UserError``."""
        found = _WORDS.fullmatch(words.strip())
        shard = cls(int(found[1]), int(found[2])) if found else None
        if shard is None or not 1 <= shard.number <= shard.of:
            raise UserError(f"--shard: '{words}' is no share; the second of four processes is 2/4.")
        return shard

    def takes(self, unit: int) -> bool:
        """Return whether a unit, counted from 0, is this process's to measure."""
        return unit % self.of == self.number - 1


@contextmanager
def freed(lock: BaseFileLock) -> Iterator[None]:
    """Give a lock that is held to others inside the block."""
    lock.release()
    try:
        yield
    finally:
        lock.acquire()
