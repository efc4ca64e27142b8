"""Rows quoted from papers, metrics that are diagnostic only, and what rows cost: shown, and never ranked."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from board_cases import GOOD, WEAK, controls, only_table, row, three
from board_records import Case, save

from harness.board import load_board
from harness.board import quoted as quoted_rows
from harness.board.quoted import FOLDER, references
from harness.board.text import csv_text, json_text, markdown
from harness.content import PACKAGE
from harness.errors import UserError
from harness.metrics.contract import all_metrics, get_metric
from harness.specs.reading import read_yaml
from harness.specs.reliability import CardProvenance, Check, ReliabilityCard, card_path, diagnostic
from harness.store.files import write_text

PROVENANCE = CardProvenance(command="x", version="0", commit=None, dirty=None, finished="2026-11-20T12:00:00+00:00")


pytestmark = pytest.mark.usefixtures("no_cards")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    three(tmp_path, "topk", GOOD)
    three(tmp_path, "gated", WEAK)
    for cell in controls(("topk", "gated")):
        save(tmp_path, Case(), cell)
    return tmp_path


def card(metric: str, task: str, verdict: str = "diagnostic", version: int = 1) -> ReliabilityCard:
    passed = verdict == "reliable"
    return ReliabilityCard(
        metric=metric, version=version, task=task, table=Case().table, verdict=verdict,  # type: ignore[arg-type]
        checks={"seeds": Check(value=0.1, passed=True), "order": Check(value=0.2, passed=passed)},
        detectable={}, provenance=PROVENANCE,
    )  # fmt: skip


def put(folder: Path, *cards: ReliabilityCard) -> None:
    for one in cards:
        write_text(card_path(folder / "cards", one.task, one.metric), one.model_dump_json())


def test_every_packaged_row_is_of_a_track_we_have_and_of_its_metrics() -> None:
    tracks = {path.stem for path in (PACKAGE / "tracks").glob("*.yaml")}
    found = {path: read_yaml(path).value["track"] for path in FOLDER.glob("*.yaml")}
    assert set(found.values()) <= tracks
    assert len(found) >= 5
    for track in set(found.values()):
        for quoted in references(track):
            for name in quoted.values:
                assert track in get_metric(name).tracks, f"{quoted.label}: {name}"


def test_quoted_rows_change_nothing_that_was_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = only_table(folder)
    assert len(table.references) == len(references("reconstruction")) > 0
    assert not {quoted.label for quoted in table.references} & {row.label for row in table.rows}
    monkeypatch.setattr("harness.board.table.references", lambda _: ())
    bare = only_table(folder)
    assert bare.references == ()
    assert replace(bare, references=table.references, digest=table.digest) == table


def test_quoted_rows_stand_apart_in_every_file(folder: Path) -> None:
    board = load_board(folder)
    lines = [line for line in csv.DictReader(io.StringIO(csv_text(board))) if line["role"] == "reference"]
    gated = [line for line in lines if line["method"].startswith("Gated")]
    assert {line["metric"]: float(line["value"]) for line in gated}["ce_recovered"] == 0.9976
    assert {(line["rank"], line["margin"], line["lo"]) for line in lines} == {("", "", "")}
    table = json.loads(json_text(board))["tables"][0]
    assert [quoted["label"] for quoted in table["references"]] == [q.label for q in board.tables[0].references]
    text = markdown(board)
    assert text.index("| topk ") < text.index("never ranked") < text.index("- Gated (SAEBench")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("track: reconstruction\nrows:\n  - {label: x, source: y, setting: z, values: {fvu: high}}\n", "values.fvu"),
        ("track: reconstruction\nrows:\n  - {label: x, source: y, setting: z, values: {}, rank: 1}\n", "rank"),
        ("track: reconstruction\nrows: []\n", "rows"),
    ],
)
def test_a_wrong_file_of_quoted_rows_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match=said):
        quoted_rows.references("reconstruction", tmp_path)


def test_a_metric_whose_card_fails_here_has_neither_rank_nor_margin(folder: Path) -> None:
    before = only_table(folder)
    put(folder, card("fvu", "gsm_symbolic"))
    table = only_table(folder)
    (column,) = (column for column in table.columns if column.diagnostic)
    assert column.name == "fvu"
    assert column.diagnostic == "its reliability card fails order in this table"
    for old, new in zip(sorted(before.rows, key=str), sorted(table.rows, key=str), strict=True):
        assert (new.scores["fvu"].rank, new.scores["fvu"].margin) == (None, None)
        assert new.scores["fvu"].value == old.scores["fvu"].value
        assert new.scores["kl_splice"] == old.scores["kl_splice"]
    assert row(before, "topk").scores["fvu"].rank == 1
    assert before.digest != table.digest


def test_a_diagnostic_metric_is_said_to_be_one_in_every_file(folder: Path) -> None:
    put(folder, card("fvu", "gsm_symbolic"))
    board = load_board(folder)
    assert "- fvu is diagnostic only: its reliability card fails order in this table." in markdown(board)
    lines = [line for line in csv.DictReader(io.StringIO(csv_text(board))) if line["role"] == "method"]
    assert {line["metric"] for line in lines if line["diagnostic"]} == {"fvu"}
    columns = json.loads(json_text(board))["tables"][0]["columns"]
    assert [column["name"] for column in columns if column["diagnostic"]] == ["fvu"]


def test_the_card_of_the_task_decides_and_elsewhere_a_failure_does() -> None:
    fvu = all_metrics()["fvu"]

    def said(*cards: ReliabilityCard) -> str | None:
        return diagnostic({(one.task, one.table, one.metric): one for one in cards}, fvu, "here", Case().table)

    assert said() is None
    assert said(card("fvu", "here", "reliable"), card("fvu", "there")) is None
    assert said(card("fvu", "there", "reliable")) is None
    assert "on there, and it is not audited in this table" in str(said(card("fvu", "there")))
    assert said(card("fvu", "here", version=fvu.version + 1)) is None
    assert said(card("l0", "here")) is None


def test_rows_are_ordered_by_a_metric_that_is_trusted(folder: Path) -> None:
    put(folder, *(card(name, "gsm_symbolic") for name in ("fvu", "mse_elem")))
    methods = [row.label for row in only_table(folder).methods]
    assert methods == ["topk", "gated"]


def test_a_card_that_cannot_be_read_stops_the_board(folder: Path) -> None:
    write_text(folder / "cards" / "gsm_symbolic" / "fvu.json", "{}")
    with pytest.raises(UserError, match="is not a reliability card"):
        load_board(folder)


def test_costs_are_tokens_seconds_and_memory_in_every_file(folder: Path) -> None:
    board = load_board(folder)
    cost = row(board.tables[0], "topk").cost
    assert (cost.fit_seconds, cost.measure_seconds, cost.shared_seconds) == (39.0, None, 41.0)
    assert (cost.peak_mb, cost.parameters, cost.train_tokens) == (910.0, 2_656_000.0, 24000.0)
    line = next(line for line in csv.DictReader(io.StringIO(csv_text(board))) if line["method"] == "topk")
    assert (line["train_tokens"], line["shared_seconds"], line["measure_seconds"]) == ("24000.0", "41.0", "")
    assert float(line["test_tokens"]) == cost.test_tokens
    own = next(r for r in json.loads(json_text(board))["tables"][0]["rows"] if r["label"] == "topk")
    assert own["cost"]["peak_mb"] == 910.0
