"""The track on planted traces, where it is known which latent passes, which survives, and which does neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import record_of, run

from harness.run.engine import Outcome
from harness.store.records import StoredRecord, load_record

pytestmark = pytest.mark.usefixtures("cache")
THINKS, DECOY, MARKER, ALWAYS = range(4)
SMALL = {
    "budget.context": "700",
    "budget.train_tokens": "2000",
    "budget.val_tokens": "16000",
    "budget.test_tokens": "24000",
    "data.size": "160",
    "reasoning.shifts": "300",
    "controls": "{}",
}


def planted(folder: Path, method: str = "planted_latents", **sets: str) -> Outcome:
    return run(method, "planted_traces", folder, model="tiny-random", seeds=[0], set={**SMALL, **sets})


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredRecord:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        outcome = planted(tmp_path_factory.mktemp("run"))
    return outcome.records[0]


def test_x(stored: StoredRecord) -> None:
    t = stored.latents()
    print({k: v.value for k, v in stored.record.metrics.items()})
    print(stored.record.details, stored.record.warnings)
    for i in range(8):
        print(i, {k: (v[i] if v.ndim == 1 else v[i].round(2) if v.dtype.kind == "f" else v[i][:10]) for k, v in t.items() if k != "words"})
    assert 0
