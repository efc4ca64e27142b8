"""The log of a run: what it did, in order, whole lines only, without secrets, and never in the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from commands import call
from running import PLUGINS, run

from harness.cli import main
from harness.store.events import FIELDS, FILE, SCHEMA, EventLog, read_events, runs_of_cells
from harness.store.masking import masked, masked_values
from harness.store.sql.database import open_database, transaction
from harness.store.sql.index import open_index, update_index
from harness.store.sql.schema import ACTIVATIONS, RECORDS, RUNS

pytestmark = pytest.mark.usefixtures("cache")

Capture = pytest.CaptureFixture[str]


def names(folder: Path) -> list[str]:
    return [event["event"] for event in read_events(folder)]


def test_a_run_tells_what_it_did_in_order(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    outcome = run("toys", "toy_task", tmp_path, seeds=[0])
    events = list(read_events(tmp_path))
    assert names(tmp_path)[:4] == ["run_started", "group_started", "activations_read", "activations_read"]
    assert names(tmp_path)[-1] == "run_finished"
    assert Counter(names(tmp_path)) == {
        "run_started": 1, "group_started": 1, "activations_read": 2, "fit_started": 3, "fit_finished": 3,
        "cell_recorded": 3, "warning": 1, "run_finished": 1,
    }  # fmt: skip
    for event in events:
        assert set(event) == {"schema", "run", "time", "elapsed", "event", *FIELDS[event["event"]]}
        assert event["schema"] == SCHEMA
        assert timedelta(0) <= datetime.fromisoformat(event["time"]) - before + timedelta(milliseconds=1)
        assert event["time"].endswith("+00:00")
    assert [event["elapsed"] for event in events] == sorted(event["elapsed"] for event in events)
    assert len({event["run"] for event in events}) == 1
    recorded = {event["cell"]: event for event in events if event["event"] == "cell_recorded"}
    assert set(recorded) == {stored.record.cell for stored in outcome.records}
    assert all((tmp_path / event["path"]).is_file() for event in recorded.values())
    assert events[0]["command"] == f"harness.evaluate('toys', 'toy_task', include_path={[PLUGINS]!r}, seeds=[0])"
    assert events[0]["options"] == {"seeds": [0], "include_path": [str(PLUGINS)]}
    assert events[-1]["records"] == 3


def test_activations_are_those_of_the_store(tmp_path: Path, cache: Path) -> None:
    run("toys", "toy_task", tmp_path)
    read = [event for event in read_events(tmp_path) if event["event"] == "activations_read"]
    for event in read:
        folder = cache / "activations" / event["fingerprint"] / f"block-{event['block']}"
        manifest = json.loads((folder / "manifest.json").read_text())
        assert (event["tokens"], event["plan"]) == (sum(manifest["rows"]), manifest["plan"])
    assert [(event["split"], event["tokens"]) for event in read] == [("train", 3040), ("val", 1045)]


def test_a_second_call_tells_what_it_skipped(tmp_path: Path) -> None:
    run("toys", "toy_task", tmp_path)
    first = runs_of_cells(tmp_path)
    run("toys", "toy_task", tmp_path)
    second = [event for event in read_events(tmp_path) if event["run"] not in first.values()]
    assert [event["event"] for event in second] == ["run_started", *["cell_skipped"] * 3, "run_finished"]
    assert (second[-1]["records"], second[-1]["skipped"]) == (3, 3)
    assert runs_of_cells(tmp_path) == first, "a run that skips a cell did not record it"


def test_a_cell_that_fails_is_told_with_its_reason(tmp_path: Path) -> None:
    run("toys,toy_raise_in_fit", "toy_task", tmp_path, controls=False)
    (failed,) = [event for event in read_events(tmp_path) if event["event"] == "cell_failed"]
    assert "fit raised" in failed["reason"]
    assert names(tmp_path).count("fit_started") == names(tmp_path).count("fit_finished") + 1
    assert list(read_events(tmp_path))[-1]["failed"] == 1


def test_an_interruption_is_the_last_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.run.engine._GroupRun._unit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("toys", "toy_task", tmp_path)
    last = list(read_events(tmp_path))[-1]
    assert (last["event"], last["reason"]) == ("run_interrupted", "KeyboardInterrupt")


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    assert len(run("toys", "toy_task", tmp_path).records) == 3


@pytest.mark.parametrize("left", [1, 20, -1, -30])
def test_a_torn_last_line_is_passed_over_and_swallows_nothing(tmp_path: Path, left: int) -> None:
    log = EventLog(tmp_path)
    for text in ("one", "two"):
        log.add("warning", cell="c", text=text)
    path = tmp_path / FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:left])
    told = ["one"] if left != -1 else ["one", "two"]
    assert [event["text"] for event in read_events(tmp_path)] == told
    EventLog(tmp_path).add("warning", cell="c", text="three")
    assert [event["text"] for event in read_events(tmp_path)] == [*told, "three"]


@pytest.mark.parametrize(
    "line",
    [b"3", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"schema": 2}', b'{"schema": 1, "event": "warning"}',
     b'{"schema": 1, "event": ["warning"]}', b'{"schema": 1, "event": "warning", "x": NaN}'],
    ids=range(9),
)  # fmt: skip
def test_lines_that_are_no_events_are_passed_over(tmp_path: Path, line: bytes) -> None:
    log = EventLog(tmp_path)
    log.add("warning", cell="c", text="one")
    with (tmp_path / FILE).open("ab") as stream:
        stream.write(line + b"\n")
    log.add("warning", cell="c", text="two")
    assert [event["text"] for event in read_events(tmp_path)] == ["one", "two"]


WRITE = """
import sys
from pathlib import Path
from harness.store.events import EventLog
log = EventLog(Path(sys.argv[1]))
sys.stdin.readline()
for i in range(300):
    log.add("warning", cell=str(i), text="x" * 3000)
"""


def test_processes_write_whole_lines_side_by_side(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITE, str(tmp_path)]
    both = [subprocess.Popen(words, stdin=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        process.communicate("go\n", timeout=60)
        assert process.returncode == 0
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 600
    counts = Counter(event["run"] for event in read_events(tmp_path))
    assert sorted(counts.values()) == [300, 300]


def test_text_cannot_make_a_line_of_its_own(tmp_path: Path) -> None:
    texts = ["a\nb", "\r\n{}", "\u2028", "a\0b", "\ud800", "x" * 100_000, '"}\n{"schema": 1}']
    for text in texts:
        EventLog(tmp_path).add("warning", cell="c", text=text)
    assert [event["text"] for event in read_events(tmp_path)] == texts
    assert (tmp_path / FILE).read_bytes().count(b"\n") == len(texts)


def test_other_fields_than_the_documented_ones_are_a_mistake_of_ours(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    for name, fields in (("warning", {"cell": "c"}), ("unknown", {}), ("warning", {"cell": 1, "text": "", "x": 1})):
        with pytest.raises(ValueError, match=f"event '{name}'"):
            log.add(name, **fields)
    own = {"schema", "run", "time", "elapsed", "event"}
    assert all(own.isdisjoint(fields) for fields in FIELDS.values())


KILL = """
import os, signal, sys
import harness.store.events as events
append = events._append
count = 0
def counted(path, line, durable):
    global count
    count += 1
    if count == int(sys.argv[1]):
        with open(path, "ab") as stream:
            stream.write(line[:40])
        os.kill(os.getpid(), signal.SIGKILL)
    append(path, line, durable)
events._append = counted
from harness.cli import main
main(sys.argv[2:])
"""


def test_a_run_killed_inside_an_event_goes_on_and_its_log_too(tmp_path: Path, cache: Path) -> None:
    words = ["eval", "--method=toys", "--task=toy_task", f"--include-path={PLUGINS}", f"--output-path={tmp_path}"]
    killed = subprocess.run([sys.executable, "-c", KILL, "7", *words], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(names(tmp_path)) == 6
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 0
    assert names(tmp_path)[6] == "run_started"
    assert names(tmp_path)[-1] == "run_finished"
    update_index(tmp_path)
    with transaction(open_index(tmp_path)) as connection:
        runs = connection.execute(RUNS.select().order_by(RUNS.c.started)).all()
        assert [row.status for row in runs] == ["running", "finished"]
        assert {row.run for row in connection.execute(RECORDS.select())} == {runs[1].run}
        assert sorted(row.tokens for row in connection.execute(ACTIVATIONS.select())) == [1045, 3040]


def test_a_password_is_neither_printed_nor_written(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql+psycopg://me:s3cr%40t:x@127.0.0.1:1/none?password=s3cr3t2"
    words = ["eval", "--method=toys", "--task=toy_task", f"--include-path={PLUGINS}", "--no-controls"]
    words += [f"--output-path={tmp_path / 'run'}", f"--store={url}"]
    monkeypatch.setattr(sys, "argv", ["harness", *words])
    answer = call(capsys, *words)
    assert answer.code == 0, answer.err
    assert "the run goes on without its database" in answer.err
    assert "1 records are not in the database" in answer.err
    found = [answer.out, answer.err]
    found += [path.read_bytes().decode("utf-8", "replace") for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not [text for text in found if "s3cr" in text]
    (record,) = (tmp_path / "run" / "results").rglob("*.json")
    shown = "postgresql+psycopg://me:***@127.0.0.1:1/none?password=***"
    assert f"--store={shown}" in json.loads(record.read_text())["provenance"]["command"]
    started = next(read_events(tmp_path / "run"))
    assert started["options"]["store"] == shown
    monkeypatch.setenv("HARNESS_STORE", url)
    assert "s3cr" not in call(capsys, "store", "push", str(tmp_path / "run")).err


def test_a_run_fills_a_store_as_it_goes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'team.sqlite'}"
    outcome = run("toys,toy_raise_in_fit", "toy_task", tmp_path / "run", store=url)
    store = open_database(url)
    with transaction(store) as connection:
        rows = {row.cell: row for row in connection.execute(RECORDS.select())}
        assert {cell: row.json for cell, row in rows.items()} == {
            stored.record.cell: stored.path.read_bytes() for stored in outcome.records
        }
        (only,) = connection.execute(RUNS.select()).all()
        assert (only.status, {row.run for row in rows.values()}) == ("finished", {only.run})
        assert only.command.endswith(f"store='{url}')")
    assert "store" not in json.dumps(outcome.records[0].record.task.spec)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:***@h/d"),
        ("--store=postgresql+psycopg://u:p@ss:w/rd@h:5/d", "--store=postgresql+psycopg://u:***@h:5/d"),
        ("postgresql://u:with space\n@h/d", "postgresql://u:***@h/d"),
        ("postgresql://:p@h/d", "postgresql://:***@h/d"),
        ("postgresql://h/d?user=u&password=p&x=1", "postgresql://h/d?user=u&password=***&x=1"),
        ("postgresql://u@h:5432/d", "postgresql://u@h:5432/d"),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
        ("--method=path:/a/b@c", "--method=path:/a/b@c"),
        ("https://example.org/a?b=c", "https://example.org/a?b=c"),
    ],
)
def test_passwords_are_masked_and_nothing_else(word: str, shown: str) -> None:
    assert masked(word) == shown
    value: Any = {"a": [word, {word: (1, None, True, Path("x"))}]}
    assert masked_values(value) == {"a": [shown, {shown: [1, None, True, "x"]}]}


def test_events_are_printed(tmp_path: Path, capsys: Capture) -> None:
    log = EventLog(tmp_path)
    log.add("warning", cell="c", text="turned \u202e and \x1b[31mred\nline")
    EventLog(tmp_path).add("run_interrupted", reason="KeyboardInterrupt")
    answer = call(capsys, "events", str(tmp_path))
    assert [line.split("\t")[2:] for line in answer.out.splitlines()] == [
        ["event", "what"],
        ["warning", "cell c, text turned \ufffd and \ufffd[31mred line"],
        ["run_interrupted", "reason KeyboardInterrupt"],
    ]
    assert [event["event"] for event in call(capsys, "events", str(tmp_path), "--json").json] == [
        "warning",
        "run_interrupted",
    ]
    assert len(call(capsys, "events", str(tmp_path), "--run", log.run, "--json").json) == 1
    other = call(capsys, "events", str(tmp_path), "--run", "other")
    assert (other.code, other.out) == (2, "")
    assert other.err.startswith("harness: --run: unknown run 'other'. Allowed: ")
    assert log.run in other.err
    absent = call(capsys, "events", str(tmp_path / "absent"))
    assert (absent.code, "holds no events.jsonl" in absent.err) == (2, True)
