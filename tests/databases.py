"""Real databases for tests: SQLite files, and a PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, make_url

# Everything a URL must have written otherwise, so that a password that shows anywhere is seen.
PASSWORD = "pa:ss@w/o%r d"


def _programs() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def _as_server(words: list[str]) -> list[str]:
    # The server refuses to run as root.
    return ["runuser", "-u", "postgres", "--", *words] if os.geteuid() == 0 else words


def _call(words: list[str], folder: Path) -> None:
    done = subprocess.run(_as_server(words), cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{words[0]}: {done.stdout}{done.stderr}"


@contextmanager
def postgres() -> Iterator[URL]:
    """Run a server in a folder of its own; ``HARNESS_TEST_POSTGRES`` names one that runs already."""
    given = os.environ.get("HARNESS_TEST_POSTGRES")
    if given:
        yield make_url(given).set(drivername="postgresql+psycopg")
        return
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql), and HARNESS_TEST_POSTGRES is not set")
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        folder = Path(name)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        data = str(folder / "data")
        words = ["-U", "tests", "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        _call([str(programs / "initdb"), "-D", data, *words, "--pwfile", str(folder / "password")], folder)
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        control = str(programs / "pg_ctl")
        _call([control, "-D", data, "-l", str(folder / "log"), "-w", "-o", options, "start"], folder)
        try:
            yield URL.create("postgresql+psycopg", "tests", PASSWORD, "127.0.0.1", port, "postgres")
        finally:
            _call([control, "-D", data, "-m", "immediate", "-w", "stop"], folder)


def new_database(server: URL) -> URL:
    """Make an empty database on a server."""
    name = f"tests_{secrets.token_hex(6)}"
    given = {"host": server.host, "port": server.port, "user": server.username, "dbname": server.database}
    with psycopg.connect(**given, password=str(server.password or ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.set(database=name)


def written(url: URL) -> str:
    """Return the URL as a user writes it, with its password."""
    return url.render_as_string(hide_password=False)
