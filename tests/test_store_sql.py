"""Stores: what goes in comes back byte by byte, whoever writes, on a real SQLite and a real PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_cases import GOOD, WEAK, controls
from board_records import Case, Cell, parts, record, save
from databases import PASSWORD, new_database, postgres, written
from sqlalchemy import URL, Engine, func, select, text, update

from harness.board import load_board
from harness.board.text import json_text
from harness.errors import UserError
from harness.store.files import sha256_file
from harness.store.records import find_records, load_record, record_path, save_record
from harness.store.sql.database import check_url, open_database, transaction
from harness.store.sql.pulling import pull
from harness.store.sql.pushing import Pushed, Sink, push_folder
from harness.store.sql.query import Wanted, find, parse_condition
from harness.store.sql.schema import CLUSTERS, FILES, METRICS, RECORDS, SCHEMA_VERSION

HOSTILE = ("'; DROP TABLE records; --", "a\0b", "</script><img onerror=x>", "turned \u202e", "%s %(x)s :x {x}", "ü\n\t")


@pytest.fixture(scope="module")
def server() -> Iterator[URL]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    return written(new_database(request.getfixturevalue("server")))


@pytest.fixture
def store(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


def rows(store: Engine, table: Any, *where: Any) -> list[Any]:
    with transaction(store) as connection:
        return list(connection.execute(select(table).where(*where)))


def count(store: Engine, table: Any) -> int:
    with transaction(store) as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in (folder / "results").rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def some_records(folder: Path) -> None:
    """Save a method, a failure and controls."""
    case = Case(clusters=12)
    for cell in (*controls(("topk",), (0,)), Cell("topk", 0, GOOD), Cell("gated", 0, GOOD, failed="it broke")):
        save(folder, case, cell)


def rewritten(path: Path, **changes: Any) -> None:
    """Change keys of a record file, given as ``part__key``."""
    value = json.loads(path.read_text())
    for name, new in changes.items():
        *outer, last = name.split("__")
        inner = value
        for key in outer:
            inner = inner[key]
        inner[last] = new
    path.write_text(json.dumps(value))


def test_a_board_comes_back_byte_by_byte(tmp_path: Path, store: Engine) -> None:
    run = tmp_path / "run"
    some_records(run)
    stored = load_record(next(iter(find_records(run))))
    latents = {"score": np.arange(3.0), "token": np.array(["</script>", "ü", ""])}
    save_record(run, stored.record, stored.parts(), latents)
    records = list(find_records(run))
    assert push_folder(run, store) == Pushed(len(records), 0, ())
    assert push_folder(run, store) == Pushed(0, len(records), ())
    assert pull(store, tmp_path / "back").new == len(records)
    assert contents(tmp_path / "back") == contents(run)
    assert any(name.endswith(".latents.npz") for name in contents(run))
    again = pull(store, tmp_path / "back")
    assert (again.new, again.same, again.problems) == (0, len(records), ())


def test_one_board_is_built_from_the_records_of_two_machines(tmp_path: Path, store: Engine) -> None:
    case = Case(clusters=12)
    for folder in ("one", "both"):
        for cell in (*controls(("topk",), (0,)), Cell("topk", 0, GOOD)):
            save(tmp_path / folder, case, cell)
    for folder in ("two", "both"):
        for cell in (*controls(("gated",), (0,)), Cell("gated", 0, WEAK), Cell("torn", 0, GOOD, failed="it broke")):
            save(tmp_path / folder, case, cell)
    for folder in ("one", "two"):
        push_folder(tmp_path / folder, store)
    pull(store, tmp_path / "pulled")
    assert json_text(load_board(tmp_path / "pulled")) == json_text(load_board(tmp_path / "both"))
    assert len(load_board(tmp_path / "pulled").tables[0].methods) == 3


def test_rows_say_what_the_records_say(tmp_path: Path, store: Engine) -> None:
    some_records(tmp_path)
    push_folder(tmp_path, store)
    stored = {s.record.cell: s.record for s in map(load_record, find_records(tmp_path))}
    for row in rows(store, RECORDS):
        one = stored[row.cell]
        assert (row.task, row.method, row.of, row.role) == (
            one.task.name,
            one.method.name,
            one.method.of,
            one.method.role,
        )
        assert (row.status, row.reason, row.seed) == (one.status, one.reason, one.seed)
    found = {(row.cell, row.metric): row for row in rows(store, METRICS)}
    assert len(found) == sum(len(one.metrics) for one in stored.values())
    for (cell, name), row in found.items():
        part = stored[cell].metrics[name]
        assert (row.value, row.lo, row.hi, row.reason) == (part.value, part.lo, part.hi, part.reason)
        assert row.value is not None or row.reason


def test_what_a_cluster_contributes_is_the_jackknife_of_a_ratio(tmp_path: Path, store: Engine) -> None:
    table = parts(GOOD, 12, 0)
    saved = save(tmp_path, Case(clusters=12), Cell("topk", 0, GOOD), table)
    push_folder(tmp_path, store)
    own = [row for row in rows(store, CLUSTERS) if row.metric == "delta_ce"]
    kept = saved.parts()
    top_C, n_C = kept["ce_splice"] - kept["ce_clean"], kept["n_ce"]
    left_out_C = (top_C.sum() - top_C) / (n_C.sum() - n_C)
    expected_C = top_C.sum() / n_C.sum() + 11 * (left_out_C.mean() - left_out_C)
    np.testing.assert_allclose([row.pseudo for row in sorted(own, key=lambda row: row.cluster)], expected_C, rtol=1e-9)
    assert sorted(row.n for row in own) == sorted(table["n"].tolist())
    value = saved.record.metrics["delta_ce"].value
    assert np.mean([row.pseudo for row in own]) == pytest.approx(value)
    # A metric whose interval is over seeds has nothing to say of clusters.
    assert "dead_frac" not in {row.metric for row in rows(store, CLUSTERS)}


def test_numbers_that_are_not_finite_are_null_with_a_reason(tmp_path: Path, store: Engine) -> None:
    saved = save(tmp_path, Case(), Cell("topk", 0, GOOD))
    rewritten(saved.path, metrics__fvu__value=float("nan"), metrics__l0__hi=float("inf"))
    assert "NaN" in saved.path.read_text()
    assert push_folder(tmp_path, store).new == 1
    found = {row.metric: row for row in rows(store, METRICS)}
    assert (found["fvu"].value, found["fvu"].reason) == (None, "not finite in the record")
    assert (found["l0"].hi, found["l0"].value) == (None, saved.record.metrics["l0"].value)
    with transaction(store) as connection:
        nan = connection.execute(text("SELECT count(*) FROM metrics WHERE value <> value OR hi <> hi")).scalar_one()
    assert nan == 0


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_text_is_text(tmp_path: Path, store: Engine, words: str) -> None:
    saved = save(tmp_path, Case(), Cell("topk", 0, GOOD, title=words, failed=words))
    save(tmp_path, Case(), Cell("other", 0, GOOD))
    rewritten(saved.path, method__name=words, task__name=words, model__name=words)
    data = saved.path.read_bytes()
    pushed = push_folder(tmp_path, store)
    assert (pushed.new, pushed.problems) == (2, ())
    shown = words.replace("\0", "\ufffd")
    with transaction(store) as connection:
        (found,) = find(connection, Wanted(method=shown))
    assert (found["task"], found["method"], found["reason"], found["model"]) == (shown,) * 4
    (row,) = rows(store, RECORDS, RECORDS.c.method == shown)
    assert row.json == data
    assert count(store, RECORDS) == 2


@pytest.mark.parametrize("reverse", [False, True])
def test_which_record_of_a_cell_stays_does_not_depend_on_the_order(
    tmp_path: Path, store: Engine, reverse: bool
) -> None:
    cell = Cell("topk", 0, GOOD, finished="2026-01-02T00:00:00+02:00")
    table = parts(GOOD, 48, 0)
    base = record(Case(), cell, table)
    later = base.model_copy(
        update={"provenance": base.provenance.model_copy(update={"finished": "2026-01-01T23:00:00+00:00"})}
    )
    failed = record(Case(), replace(cell, failed="broke", finished="2027-01-01T00:00:00+00:00"), {})
    failed = failed.model_copy(update={"cell": base.cell})
    folders = []
    for name, one, held in (("failed", failed, {}), ("base", base, table), ("later", later, table)):
        save_record(tmp_path / name, one, held)
        folders.append(tmp_path / name)
    for folder in reversed(folders) if reverse else folders:
        push_folder(folder, store)
    (row,) = rows(store, RECORDS)
    # 00:00 in Cairo is 22:00 in UTC, an hour before the other; and what failed never replaces what was measured.
    assert (row.finished, row.status) == ("2026-01-01T23:00:00.000+00:00", "ok")
    assert row.sha256 == sha256_file(record_path(tmp_path / "later", later))
    assert count(store, METRICS) == len(base.metrics)
    assert count(store, FILES) == 1


PUSH = """
import sys
from pathlib import Path
from harness.store.sql.database import open_database
from harness.store.sql.pushing import push_folder
engine = open_database(sys.argv[1])
sys.stdin.readline()
for folder in sys.argv[2:]:
    assert not push_folder(Path(folder), engine).problems
"""


def test_processes_that_push_the_same_records_agree(tmp_path: Path, url: str, store: Engine) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for seed in range(8):
        cell = Cell("topk", seed, GOOD)
        save(one, Case(), cell)
        base = record(Case(), cell, parts(WEAK, 48, seed))
        finished = base.provenance.model_copy(update={"finished": f"2026-11-{19 + seed % 3}T12:00:00+00:00"})
        save_record(two, base.model_copy(update={"provenance": finished}), parts(WEAK, 48, seed))
    orders = ((one, two), (two, one))
    words = [[sys.executable, "-c", PUSH, url, *map(str, order)] for order in orders]
    running = [subprocess.Popen(each, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for each in words]
    for process in running:
        _, said = process.communicate("go\n", timeout=120)
        assert process.returncode == 0, said
    assert (count(store, RECORDS), count(store, FILES)) == (8, 8)
    for row in rows(store, RECORDS):
        held = [load_record(path) for path in (*find_records(one), *find_records(two)) if row.cell[:12] in path.name]
        newer = max(held, key=lambda stored: (stored.record.provenance.finished, sha256_file(stored.path)))
        assert row.sha256 == sha256_file(newer.path)
        values = {r.metric: r.value for r in rows(store, METRICS, METRICS.c.cell == row.cell)}
        assert values == {name: part.value for name, part in newer.record.metrics.items()}
        (file,) = rows(store, FILES, FILES.c.cell == row.cell)
        assert file.sha256 == newer.record.parts_sha256


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task__name": "../../../etc"}, "lead out of the folder"),
        ({"task__name": ".."}, "lead out of the folder"),
        ({"method__name": ".."}, "lead out of the folder"),
        ({"method__name": "/etc"}, "lead out of the folder"),
        ({"task__name": "."}, "lead out of the folder"),
        ({"cell": "/../../../x"}, "lead out of the folder"),
        ({"method__of": "../../.."}, "lead out of the folder"),
        ({"task__name": "a\0b"}, "lead out of the folder"),
        ({"task__name": "x" * 300}, "lead out of the folder"),
        ({"parts": "seed1-0.npz"}, "not the record's own"),
    ],
    ids=str,
)
def test_names_that_lead_out_of_the_folder_are_refused(
    tmp_path: Path, store: Engine, changes: dict[str, str], said: str
) -> None:
    saved = save(tmp_path / "run", Case(), Cell("topk", 0, GOOD))
    save(tmp_path / "run", Case(), Cell("good", 0, GOOD))
    if "parts" in changes:
        (saved.path.parent / changes["parts"]).write_bytes(saved.files[0].read_bytes())
    rewritten(saved.path, **changes)
    assert push_folder(tmp_path / "run", store).new == 2
    target = tmp_path / "deep" / "down" / "here"
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    pulled = pull(store, target)
    assert pulled.new == 1
    assert said in pulled.problems[0][1]
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert all(path.is_relative_to(target) or path.name.startswith("store.sqlite") for path in after - before)


def test_a_link_in_the_folder_does_not_lead_out_of_it(tmp_path: Path, store: Engine) -> None:
    save(tmp_path / "run", Case(), Cell("topk", 0, GOOD))
    push_folder(tmp_path / "run", store)
    (tmp_path / "outside").mkdir()
    (tmp_path / "back" / "results").mkdir(parents=True)
    (tmp_path / "back" / "results" / "gsm_symbolic").symlink_to(tmp_path / "outside")
    assert pull(store, tmp_path / "back").problems
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("table", [FILES, RECORDS], ids=["parts", "record"])
def test_bytes_altered_in_the_store_are_refused(tmp_path: Path, store: Engine, table: Any) -> None:
    save(tmp_path / "run", Case(), Cell("topk", 0, GOOD))
    push_folder(tmp_path / "run", store)
    column = "bytes" if table is FILES else "json"
    with transaction(store) as connection:
        connection.execute(update(table).values({column: b"{"}))
    pulled = pull(store, tmp_path / "back")
    assert (pulled.new, len(pulled.problems)) == (0, 1)
    assert not (tmp_path / "back").exists()


def test_a_record_whose_parts_were_altered_is_not_pushed(tmp_path: Path, store: Engine) -> None:
    saved = save(tmp_path, Case(), Cell("topk", 0, GOOD))
    save(tmp_path, Case(), Cell("good", 0, GOOD))
    saved.files[0].write_bytes(b"torn")
    pushed = push_folder(tmp_path, store)
    assert (pushed.new, count(store, RECORDS)) == (1, 1)
    assert "is not the file" in pushed.problems[0][1]


def test_an_older_record_does_not_replace_one_in_the_folder(tmp_path: Path, store: Engine) -> None:
    old = save(tmp_path / "old", Case(), Cell("topk", 0, GOOD))
    finished = old.record.provenance.model_copy(update={"finished": "2026-12-01T00:00:00+00:00"})
    new = save_record(tmp_path / "new", old.record.model_copy(update={"provenance": finished}), old.parts())
    push_folder(tmp_path / "old", store)
    assert pull(store, tmp_path / "new").same == 1
    assert load_record(new.path).record.provenance.finished == "2026-12-01T00:00:00+00:00"
    push_folder(tmp_path / "new", store)
    assert pull(store, tmp_path / "old").new == 1
    assert contents(tmp_path / "old") == contents(tmp_path / "new")


def test_conditions_choose_records(tmp_path: Path, store: Engine) -> None:
    for seed, quality in enumerate((GOOD, WEAK)):
        save(tmp_path, Case(), Cell("topk", seed, quality))
    save(tmp_path, Case(), Cell("gated", 0, GOOD, failed="broke"))
    push_folder(tmp_path, store)
    with transaction(store) as connection:

        def chosen(*texts: str, **given: str) -> list[tuple[str, int]]:
            found = find(connection, Wanted(**given, conditions=tuple(map(parse_condition, texts))))
            return [(row["method"], row["seed"]) for row in found]

        assert chosen() == [("gated", 0), ("topk", 0), ("topk", 1)]
        assert chosen("fvu<0.165") == [("topk", 0)]
        assert chosen("fvu >= 0.165", "l0>1") == [("topk", 1)]
        assert chosen("fvu>1e9") == []
        assert chosen(status="failed") == [("gated", 0)]
        assert chosen(method="gated", status="ok") == []
        for texts, given, said in (
            (("fvv<1",), {}, "--metric: unknown metric 'fvv'. Did you mean 'fvu'"),
            ((), {"method": "gatd"}, "--method: unknown method 'gatd'. Did you mean 'gated'"),
            ((), {"task": "nothing"}, "--task: unknown task 'nothing'"),
        ):
            with pytest.raises(UserError, match=said):
                chosen(*texts, **given)
    with pytest.raises(UserError, match="--task: unknown task 'nothing'"):
        pull(store, tmp_path / "pulled", task="nothing")


@pytest.mark.parametrize("words", ["fvu", "fvu=1", "fvu<", "<1", "fvu<x", "fvu<1<2", "fvu<>1", ""])
def test_other_conditions_are_refused(words: str) -> None:
    with pytest.raises(UserError, match=r"^--metric: write a metric"):
        parse_condition(words)


def test_tables_of_another_version_are_refused(tmp_path: Path, store: Engine) -> None:
    save(tmp_path, Case(), Cell("topk", 0, GOOD))
    push_folder(tmp_path, store)
    with transaction(store) as connection:
        connection.execute(update(SCHEMA_VERSION).values(version=99))
    with pytest.raises(UserError, match="of version 99; this version of the package reads version 1"):
        push_folder(tmp_path, store)


def test_a_run_goes_on_when_the_server_drops_its_connections(
    tmp_path: Path, server: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    database = new_database(server)
    first, second = (save(tmp_path, Case(), cell) for cell in controls(("topk",))[:2])
    sink = Sink(written(database), tmp_path, "run")
    sink.add(first, True)
    other = open_database(server)
    with other.connect() as connection:
        drop = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
        assert connection.execute(drop, {"name": database.database}).all() == [(True,)]
    other.dispose()
    sink.add(second, True)
    sink.close()
    assert capsys.readouterr().err == ""
    store = open_database(database)
    assert [row.run for row in rows(store, RECORDS)] == ["run", "run"]
    store.dispose()


def test_a_database_that_is_away_costs_one_sentence_and_is_caught_up_with(
    tmp_path: Path, server: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = [save(tmp_path, Case(), cell) for cell in controls(("topk",))]
    away = server.set(port=1)
    sink = Sink(written(away), tmp_path, "run")
    sink.start()
    for stored in saved:
        sink.add(stored, True)
    sink.close()
    said = capsys.readouterr().err
    assert said.count("the run goes on without its database") == 1
    assert f"{len(saved)} records are not in the database" in said
    assert f"harness store push {tmp_path} --store" in said
    assert PASSWORD not in said
    store = open_database(new_database(server))
    assert push_folder(tmp_path, store).new == len(saved)
    store.dispose()


def test_a_wrong_password_is_one_sentence_that_does_not_tell_it(server: URL) -> None:
    engine = open_database(server.set(password="wr@ng/:secret"))
    with pytest.raises(UserError) as error, transaction(engine):
        pass
    assert "password authentication failed" in str(error.value)
    assert "secret" not in str(error.value)
    engine.dispose()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("mysql://u:secret@h/d", "unknown database 'mysql'"),
        ("postgresq://u:secret@h/d", "Did you mean 'postgresql'"),
        ("secret", "is not a database URL"),
        ("postgresql://u:secret@h:port/d", "is not a database URL"),
        ("postgresql://u:secret@h", "names no database"),
        ("sqlite://", "names no database"),
    ],
)
def test_other_urls_are_refused_before_anything_is_connected(words: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        check_url(words)
    assert "://" not in words or "secret" not in str(error.value)
