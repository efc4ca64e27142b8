"""Opens SQLite and PostgreSQL alike: tables made once, transactions for two processes, errors without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from harness.errors import UserError, unknown
from harness.store.masking import masked
from harness.store.sql.schema import METADATA, SCHEMA_VERSION, VERSION

_DRIVERS = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite+pysqlite"}
# Seconds to wait for a server that does not answer, and for another process that writes.
_CONNECT = 10
_BUSY = 60
# Any constant will do, as long as every process that makes the tables takes the same.
_MAKING = 4_811_042


def check_url(url: str) -> URL:
    """Return a database URL that can be used; raises ``UserError`` otherwise, before anything is connected."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise UserError(
            f"--store: '{masked(url)}' is not a database URL; write postgresql+psycopg://USER@HOST/DATABASE or "
            "sqlite:///FILE"
        ) from None
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS:
        raise unknown("database", backend, _DRIVERS, "--store")
    if not parsed.database:
        raise UserError(f"--store: '{masked(url)}' names no database")
    return parsed.set(drivername=_DRIVERS[backend])


def open_store(url: str) -> Engine:
    """Return an engine for a store that is read; raises ``UserError`` where an SQLite file is not there yet.

    SQLite would make an empty file of a name that was written wrong, and call it a store without records.
    """
    parsed = check_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise UserError(f"--store: there is no file '{parsed.database}'; `harness store push` makes a store")
    return open_database(parsed)


def open_database(url: str | URL) -> Engine:
    """Return an engine for a URL; nothing is connected yet."""
    url = check_url(url) if isinstance(url, str) else url
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": _BUSY}, poolclass=NullPool)
        event.listen(engine, "connect", _no_driver_transactions)
        event.listen(engine, "begin", _begin_at_once)
        return engine
    wait: dict[str, Any] = {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT}
    try:
        return create_engine(url, connect_args=wait, pool_pre_ping=True, pool_size=1)
    except (ImportError, NoSuchModuleError):
        raise UserError(
            "--store: PostgreSQL needs the package psycopg: pip install 'interp-harness[postgresql]'"
        ) from None


def _no_driver_transactions(connection: Any, _: object) -> None:
    # Python's sqlite3 would begin a transaction only at the first write, and two processes that have both read by then
    # refuse each other.
    connection.isolation_level = None


def _begin_at_once(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in one transaction on tables that are there.

    Raises:
        UserError: the database cannot be reached or refuses, or its tables are of another version. The message names
            the URL without its password.
    """
    try:
        with engine.begin() as connection:
            _make_tables(connection)
            yield connection
    except SQLAlchemyError as error:
        raise UserError(f"{masked(engine.url.render_as_string())}: {_reason(error, engine.url)}") from None


def _make_tables(connection: Connection) -> None:
    if not connection.dialect.has_table(connection, SCHEMA_VERSION.name):
        if connection.dialect.name == "postgresql":
            # Of two that make the same tables at once one would fail. Released at the end of the transaction.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MAKING})
        METADATA.create_all(connection)
    found = list(connection.execute(select(SCHEMA_VERSION.c.version)).scalars())
    if not found:
        connection.execute(insert(SCHEMA_VERSION).values(version=VERSION))
    elif found != [VERSION]:
        raise UserError(f"the tables are of version {found[0]}; this version of the package reads version {VERSION}")


def _reason(error: SQLAlchemyError, url: URL) -> str:
    """Return the first line of what the database said; the statement and its values are left out."""
    said = str(error.orig if isinstance(error, DBAPIError) and error.orig else error).strip()
    line = masked(said.splitlines()[0] if said else type(error).__name__)
    return line.replace(str(url.password), "***") if url.password else line
