"""What all tests share: a cache of their own, one thread per worker, and the data they run on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Before anything imports torch; see harness.cli.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# By the clock of a busy machine any example may be slow; that is not what these tests claim.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

FIXTURES = Path(__file__).parent / "fixtures"


def pytest_configure(config: pytest.Config) -> None:
    # Two workers with two threads each would fight over two cores.
    if os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium for all tests of pages; each opens contexts of its own."""
    from browsing import chromium

    with chromium() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, in force for the test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HARNESS_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def no_cards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No reliability card comes with the package, so that no metric of a made-up table is diagnostic."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.specs.reliability.PACKAGED", tmp_path_factory.mktemp("cards"))
        yield


@pytest.fixture
def data_dir() -> Path:
    """The folder of mirrors: HARNESS_DATA where it is set, else rows of our own in the same schema."""
    given = os.environ.get("HARNESS_DATA")
    return Path(given) if given else FIXTURES / "data"
