"""Records of track ``errors`` on boards, in comparisons, gates and audits; and answers with kinds of error."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from data_tasks import write_rows
from running import values
from test_track_errors import TASK, record

import harness
from harness.audits.audit import Request
from harness.run.engine import Outcome
from harness.run.evaluate import Options, evaluate

METRICS = "auroc, kind_bal_acc, kind_auroc, selectivity, train_test_gap, leak_check, cohens_d_max"
PROBES = ("error_types", "confidence")


def content(folder: Path) -> Path:
    """Return a folder with a task whose wrong answers say by their first letter which kind of error they have."""
    draw = random.Random(7)
    rows = []
    for number in range(22):
        one: dict[str, object] = {"problem": f"{number} + {draw.randint(1, 99)}"}
        for author in ("ann", "bob"):
            label = draw.choice(["right", "right", "carry", "sign"])
            one[author] = {"label": label, "said": f"{ {'right': 'is', 'carry': 'no', 'sign': '-'}[label] } {number}"}
        rows.append(one)
    data = write_rows(folder / "data" / "test.jsonl", rows)
    (folder / "tasks").mkdir()
    text = TASK.format(path=data, tokens=100000, more=", least: 10", metrics=METRICS)
    text = text.replace("{{ 'right' if right else 'wrong' }}", "{{ label }}")
    controls = "[majority, surface, confidence], derived: [permuted_label]"
    text = text.replace(controls, "[majority], derived: [control_task]")
    (folder / "tasks" / "sums.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return content(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        return evaluate(",".join(PROBES), "sums", folder / "run", include_path=[folder])


def test_kinds_are_told_by_a_probe_that_is_told_them_alone(outcome: Outcome) -> None:
    told, plain = record(outcome, "error_types"), record(outcome, "confidence")
    assert (values(told)["kind_bal_acc"] or 0) > 0.9
    assert (values(told)["kind_auroc"] or 0) > 0.9
    assert (values(told)["auroc"] or 0) > 0.95
    assert plain.metrics["kind_bal_acc"].value is None
    assert plain.metrics["kind_bal_acc"].reason == "the probe tells no kinds of error"


def test_details_hold_the_share_of_each_kind_that_is_told(outcome: Outcome) -> None:
    told = record(outcome, "error_types")
    names = ("right", "carry", "sign")
    assert sum(told.details[f"answers: {name}"] for name in names) == told.details["answers"]
    recalls = [told.details[f"recall: {name}"] for name in names]
    assert sum(recalls) / 3 == pytest.approx(values(told)["kind_bal_acc"])
    assert not [name for name in record(outcome, "confidence").details if name.startswith("recall")]


def test_a_control_task_is_judged_on_its_own_labels(outcome: Outcome) -> None:
    controls = [one.record for one in outcome.records if one.record.method.name == "control_task"]
    assert {one.method.of for one in controls} == set(PROBES)
    for one in controls:
        found = values(one)
        assert 0.15 < (found["auroc"] or 0) < 0.85
        assert found["selectivity"] is None
        assert found["kind_bal_acc"] is None
        # as many groups are 1 as answers are wrong, to a group
        wrong = record(outcome, "confidence").details["wrong"]
        assert one.details["wrong"] == pytest.approx(wrong, abs=2)


TARGETS = ("leak_check", "train_test_gap")


def test_a_board_ranks_probes_and_no_target(folder: Path, outcome: Outcome) -> None:
    board = harness.load_board(folder / "run")
    (table,) = board.tables
    sides = {column.name: column.direction for column in table.columns}
    assert {sides[name] for name in TARGETS} == {"target"}
    assert {row.label for row in table.methods} == set(PROBES)
    for row in table.methods:
        for score in (row.scores[name] for name in TARGETS):
            assert score.value is not None
            assert (score.rank, score.tied, score.margin) == (None, False, None)
        assert row.scores["auroc"].rank is not None
        assert row.scores["auroc"].margin is not None
        # the planted kinds are told without an error, which leaves no spread to make an interval of
        assert (row.scores["auroc"].lo is None) == (row.scores["auroc"].how == "constant")
    pages = harness.write_pages(board, folder / "out", folder / "run")
    assert any("leak_check" in path.read_text(encoding="utf-8") for path in pages)


def test_a_comparison_has_no_side_of_a_target(folder: Path, outcome: Outcome) -> None:
    (table,) = harness.compare("error_types", "confidence", folder / "run").tables
    found = {metric.metric: metric for metric in table.metrics}
    assert {"auroc", "selectivity"} <= found.keys()
    assert found["auroc"].difference.lo is not None
    assert dict(table.left_out) == {**dict.fromkeys(TARGETS, "has no better side"), "cohens_d_max": "has no interval"}
    assert found["kind_auroc"].verdict == "no value"


def test_a_run_passes_the_gate_against_itself(folder: Path, outcome: Outcome) -> None:
    gate = harness.gate(folder / "run", folder / "run")
    judged = {(one.method, one.metric): one for one in gate.comparisons}
    assert {method for method, _ in judged} == set(PROBES)
    for probe in PROBES:
        assert judged[probe, "auroc"].judgement.verdict == "pass"
        assert judged[probe, "auroc"].before == judged[probe, "auroc"].after
        assert judged[probe, "leak_check"].evidence.two_sided
    assert "fail" not in {one.judgement.verdict for one in gate.comparisons}


def test_an_audit_finds_that_batches_change_nothing_and_controls_are_where_they_should(
    folder: Path, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(folder / "cache"))
    options: Options = {"include_path": [folder]}
    request = Request("sums", metrics=("auroc",), methods=PROBES[1:], output_path=folder / "run", options=options)
    (card,) = harness.audit(request, "harness audit sums")
    assert card.checks["null_floor"].value is not None
    assert card.checks["batch_size"].passed is True
    assert card.checks["truth_rank"].passed is None
