"""The index of a run folder: always what the files say, however it was treated."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from board_cases import GOOD, WEAK
from board_records import Case, Cell, save
from commands import call

from harness.store.records import find_records
from harness.store.sql.database import transaction
from harness.store.sql.index import FILE, Indexed, open_index, update_index
from harness.store.sql.query import Wanted, find

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in (0, 1, 2):
        save(tmp_path, Case(clusters=12), Cell("topk", seed, GOOD))
    save(tmp_path, Case(clusters=12), Cell("gated", 0, WEAK, failed="it broke"))
    return tmp_path


def told(folder: Path) -> list[dict[str, Any]]:
    with transaction(open_index(folder)) as connection:
        return find(connection, Wanted())


def anew(folder: Path) -> list[dict[str, Any]]:
    """Return what an index says that was made from nothing."""
    copy = folder.parent / f"{folder.name}-copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*index.sqlite*"))
    update_index(copy)
    return told(copy)


def counts(found: Indexed) -> tuple[int, int, int, int]:
    return found.records, found.read, found.gone, len(found.problems)


def test_only_what_changed_is_read_again(folder: Path) -> None:
    assert counts(update_index(folder)) == (4, 4, 0, 0)
    assert counts(update_index(folder)) == (4, 0, 0, 0)
    paths = list(find_records(folder))
    value = json.loads(paths[1].read_text())
    paths[1].write_text(json.dumps(value | {"warnings": ["new"], "reason": "changed"}))
    paths[2].unlink()
    save(folder, Case(clusters=12), Cell("new", 0, GOOD))
    assert counts(update_index(folder)) == (4, 2, 1, 0)
    assert told(folder) == anew(folder)
    assert [row["reason"] for row in told(folder) if row["reason"]] == ["it broke", "changed"]


def test_a_file_of_the_same_size_written_later_is_read_again(folder: Path) -> None:
    update_index(folder)
    path = next(iter(find_records(folder)))
    text = path.read_text()
    path.write_text(text.replace("it broke", "it broKE"))
    assert path.stat().st_size == len(text.encode())
    assert counts(update_index(folder)) == (4, 1, 0, 0)
    assert "it broKE" in {row["reason"] for row in told(folder)}


def test_where_one_of_two_files_of_a_cell_goes_the_other_speaks_for_it(folder: Path) -> None:
    path = next(path for path in find_records(folder) if "topk" in path.parts)
    value = json.loads(path.read_text())
    older = value | {"provenance": value["provenance"] | {"finished": "2020-01-01T00:00:00+00:00"}}
    (path.parent / "copy.json").write_text(json.dumps(older))
    assert counts(update_index(folder)) == (4, 5, 0, 0)
    found = {row["cell"]: row for row in told(folder)}[value["cell"]]
    assert found["path"].endswith(path.name), "the newer one"
    path.unlink()
    assert counts(update_index(folder)) == (4, 1, 1, 0)
    found = {row["cell"]: row for row in told(folder)}[value["cell"]]
    assert (found["path"].split("/")[-1], found["finished"]) == ("copy.json", "2020-01-01T00:00:00.000+00:00")


def test_files_that_cannot_be_used_are_named_and_left_out(folder: Path, capsys: Capture) -> None:
    torn, other, big = list(find_records(folder))[:3]
    torn.write_bytes(torn.read_bytes()[:200])
    other.write_text(other.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    big.write_text(big.read_text().replace('"seed": 1', f'"seed": {10**30}'))
    found = update_index(folder)
    assert counts(found) == (1, 4, 0, 3)
    reasons = dict(found.problems)
    assert "is not a whole record" in reasons[torn.relative_to(folder).as_posix()]
    assert "schema 99" in reasons[other.relative_to(folder).as_posix()]
    assert "31 digits" in reasons[big.relative_to(folder).as_posix()]
    answer = call(capsys, "index", str(folder), "--json")
    assert (answer.code, answer.json["records"], len(answer.json["problems"])) == (0, 1, 3)
    assert answer.err.count("not used: ") == 3


@pytest.mark.parametrize("left", [0, 1, 100, 4096, 5000, 0.5, 0.9, "garbage", "middle", "other"], ids=str)
def test_a_torn_index_is_made_anew(folder: Path, left: float | str) -> None:
    update_index(folder)
    path, expected = folder / FILE, told(folder)
    data = path.read_bytes()
    if isinstance(left, str):
        half = len(data) // 2
        other = {"garbage": b"no database" * 500, "middle": data[:half] + bytes(4096) + data[half + 4096 :]}
        path.write_bytes(other.get(left, b""))
    else:
        path.write_bytes(data[: left if isinstance(left, int) else int(len(data) * left)])
    if left == "other":
        path.unlink()
        subprocess.run(["/usr/bin/env", sys.executable, "-c", OTHER, str(path)], check=True)
    assert update_index(folder).records == 4
    assert told(folder) == expected


OTHER = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    connection.execute("CREATE TABLE schema_version (version INTEGER)")
    connection.execute("INSERT INTO schema_version VALUES (99)")
"""

# Dies before the k-th batch of records is put into the index; 0 never does.
UPDATE = """
import os, signal, sys
from pathlib import Path
import harness.store.sql.index as index
index._BATCH = 1
count, put = 0, index.put_records
def counted(*given):
    global count
    count += 1
    if count == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return put(*given)
index.put_records = counted
index.update_index(Path(sys.argv[2]))
"""


def updating(folder: Path, kill_at: int = 0) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", UPDATE, str(kill_at), str(folder)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ.copy())


def test_a_killed_update_leaves_an_index_that_can_be_gone_on_with(folder: Path) -> None:
    process = updating(folder, 3)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert update_index(folder).records == 4
    assert told(folder) == anew(folder)


def test_two_processes_update_one_index(folder: Path) -> None:
    (folder / FILE).write_bytes(b"torn")
    for process in [updating(folder) for _ in range(2)]:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert told(folder) == anew(folder)


def test_records_are_listed_by_condition(folder: Path, capsys: Capture) -> None:
    answer = call(capsys, "records", str(folder), "--metric", "fvu<0.3", "--metric", "l0>1", "--method", "topk")
    lines = [line.split("\t") for line in answer.out.splitlines()]
    assert lines[0] == ["task", "method", "of", "control", "seed", "status", "cell", "fvu", "l0"]
    assert [(line[1], line[4], line[5]) for line in lines[1:]] == [("topk", str(seed), "ok") for seed in (0, 1, 2)]
    assert all(float(line[7]) < 0.3 for line in lines[1:])
    failed = call(capsys, "records", str(folder), "--status", "failed", "--json").json
    assert [(row["method"], row["reason"], row["metrics"]["fvu"]["value"]) for row in failed] == [
        ("gated", "it broke", None)
    ]
    assert (folder / failed[0]["path"]).is_file()
    assert call(capsys, "records", str(folder), "--method", "gated", "--status", "ok", "--json").json == []


def test_what_a_user_gets_wrong_is_one_sentence(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    for words, said in (
        (("records", str(folder), "--metric", "fvv<1"), "Did you mean 'fvu'?"),
        (("records", str(folder), "--metric", "fvu"), "write a metric"),
        (("records", str(folder), "--method", "tokp"), "--method: unknown method 'tokp'. Did you mean 'topk'?"),
        (("records", str(folder), "--task", "none"), "--task: unknown task 'none'. Allowed: "),
        (("records", f"sqlite:///{tmp_path}/typo.db"), "--store: there is no file '"),
        (("store", "pull", str(tmp_path / "to"), "--store", f"sqlite:///{tmp_path}/typo.db"), "there is no file '"),
        (("records", str(tmp_path / "absent")), "holds no results"),
        (("index", str(tmp_path / "absent")), "holds no results"),
        (("records", "mysql://u:secret@h/d"), "unknown database 'mysql'"),
        (("store", "push", str(folder)), "--store: name the database"),
        (("store", "pull", str(folder)), "--store: name the database"),
        (("store", "push", str(folder), "--store", f"sqlite:///{tmp_path}/no/such.db"), "unable to open database file"),
    ):
        answer = call(capsys, *words)
        assert (answer.code, answer.out) == (2, "")
        assert said in answer.err
        assert "secret" not in answer.err
        assert len(answer.err.splitlines()) == 1
    assert not (tmp_path / "typo.db").exists()
