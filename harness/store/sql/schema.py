"""The tables, the same for SQLite and PostgreSQL.

Times are UTC as text, since SQLite keeps no time zone. A number that is not finite is null with its reason: SQLite
turns NaN into null by itself and PostgreSQL keeps it, so neither meets one. The bytes of files are kept as they are.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, LargeBinary, MetaData, Table, Text

VERSION = 1

METADATA = MetaData()

# Compared byte by byte on both databases; PostgreSQL would otherwise go by the language of its server.
_PLAIN = Text().with_variant(Text(collation="C"), "postgresql")

SCHEMA_VERSION = Table("schema_version", METADATA, Column("version", BigInteger, primary_key=True, autoincrement=False))

# One row per call of `harness eval`, from its event log. ``status``: running, finished or interrupted; a killed run
# stays running.
RUNS = Table(
    "runs",
    METADATA,
    Column("run", _PLAIN, primary_key=True),
    Column("command", Text, nullable=False),
    Column("version", Text),
    Column("revision", Text),
    Column("started", _PLAIN),
    Column("finished", _PLAIN),
    Column("status", _PLAIN, nullable=False),
)

# One row per cell. ``precedence`` decides between two records of a cell: the greater one stays. ``path`` is relative to
# the run folder and null in a store; ``json`` holds the bytes of the record file and is null in an index.
RECORDS = Table(
    "records",
    METADATA,
    Column("cell", _PLAIN, primary_key=True),
    Column("precedence", _PLAIN, nullable=False),
    Column("sha256", _PLAIN, nullable=False),
    Column("run", _PLAIN),
    Column("path", _PLAIN),
    Column("task", _PLAIN, nullable=False),
    Column("task_version", BigInteger, nullable=False),
    Column("track", _PLAIN, nullable=False),
    Column("task_table", _PLAIN, nullable=False),
    Column("method", _PLAIN, nullable=False),
    Column("identity", _PLAIN, nullable=False),
    Column("of", _PLAIN),
    Column("role", _PLAIN),
    Column("seed", BigInteger, nullable=False),
    Column("status", _PLAIN, nullable=False),
    Column("reason", Text),
    Column("model", _PLAIN),
    Column("model_fingerprint", _PLAIN),
    Column("data_fingerprint", _PLAIN, nullable=False),
    Column("started", _PLAIN),
    Column("finished", _PLAIN),
    Column("json", LargeBinary),
    Index("records_by_task", "task", "method"),
)

# The parts and the table of latents that lie beside a record, byte by byte. Empty in an index.
FILES = Table(
    "files",
    METADATA,
    Column("cell", _PLAIN, ForeignKey(RECORDS.c.cell), primary_key=True),
    Column("name", _PLAIN, primary_key=True),
    Column("sha256", _PLAIN, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
)

METRICS = Table(
    "metrics",
    METADATA,
    Column("cell", _PLAIN, ForeignKey(RECORDS.c.cell), primary_key=True),
    Column("metric", _PLAIN, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("value", Double),
    Column("lo", Double),
    Column("hi", Double),
    Column("reason", Text),
    Column("unit", Text, nullable=False),
    Column("direction", _PLAIN, nullable=False),
    Index("metrics_by_value", "metric", "value"),
)

# For metrics whose interval is over clusters: what each cluster contributes. ``n`` are its tokens or items; the mean of
# ``pseudo`` over the clusters is the metric's value. Empty in an index, whose parts lie beside the records.
CLUSTERS = Table(
    "clusters",
    METADATA,
    Column("cell", _PLAIN, ForeignKey(RECORDS.c.cell), primary_key=True),
    Column("metric", _PLAIN, primary_key=True),
    Column("cluster", BigInteger, primary_key=True),
    Column("n", Double, nullable=False),
    Column("pseudo", Double, nullable=False),
)

# What the store of activations held when a run read it: one row per split and block.
ACTIVATIONS = Table(
    "activations",
    METADATA,
    Column("fingerprint", _PLAIN, primary_key=True),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("split", _PLAIN, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("width", BigInteger, nullable=False),
    Column("dtype", _PLAIN, nullable=False),
    Column("shards", BigInteger, nullable=False),
    Column("plan", _PLAIN, nullable=False),
)

# Which record files an index has read, in which state; ``problem`` says why one cannot be used. Empty in a store.
SOURCES = Table(
    "sources",
    METADATA,
    Column("path", _PLAIN, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("cell", _PLAIN),
    Column("problem", Text),
)
