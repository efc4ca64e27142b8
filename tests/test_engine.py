"""The path of a cell: what is computed, what is kept, what is skipped, what fails alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from running import PLUGINS, record_of, run, values

from harness.errors import UserError
from harness.run.evaluate import prepare
from harness.store.records import find_records, load_record

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "log"
    path.touch()
    monkeypatch.setenv("TOY_LOG", str(path))
    return path


def calls(log: Path, what: str) -> int:
    return log.read_text().split().count(what)


def test_laws_hold_on_the_tiny_model(tmp_path: Path) -> None:
    outcome = run("toys", "toy_task", tmp_path)
    identity, mean, toy = (values(record_of(outcome, name)) for name in ("identity", "mean_only", "toys"))
    assert identity["fvu"] == 0
    assert identity["kl_splice"] == pytest.approx(0, abs=1e-6)
    assert identity["agree1"] == 1
    assert identity["delta_ce"] == pytest.approx(0, abs=1e-6)
    assert mean["fvu"] == pytest.approx(1, abs=0.05)
    assert mean["l0"] == 0
    assert mean["fvu_centred"] == pytest.approx(1, abs=1e-9)
    assert toy["rrb"] == pytest.approx(0.5)
    assert toy["cosine"] == pytest.approx(1)
    assert toy["mse_elem_norm"] == pytest.approx(0.25)


def test_a_second_call_measures_nothing(tmp_path: Path, log: Path) -> None:
    first = run("toys", "toy_task", tmp_path)
    done = calls(log, "encode")
    second = run("toys", "toy_task", tmp_path)
    assert (first.skipped, second.skipped) == (0, len(first.records))
    assert calls(log, "encode") == done
    assert {s.record.cell for s in first.records} == {s.record.cell for s in second.records}


def test_a_fit_is_found_by_another_run_folder(tmp_path: Path, log: Path) -> None:
    run("toys", "toy_task", tmp_path / "one")
    run("toys", "toy_task", tmp_path / "two")
    assert calls(log, "fit") == 1


def test_a_changed_parameter_is_another_fit_and_another_cell(tmp_path: Path, log: Path) -> None:
    first = run("toys", "toy_task", tmp_path)
    second = run("toys", "toy_task", tmp_path, set={"params.factor": "0.25"})
    assert calls(log, "fit") == 2
    assert second.skipped == 2, "the controls are the same cells"
    assert record_of(first, "toys").cell != record_of(second, "toys").cell
    assert record_of(second, "toys").metrics["rrb"].value == pytest.approx(0.25)


def test_prompts_are_measured_under_the_fits_of_their_corpus(tmp_path: Path, log: Path) -> None:
    outcome = run("toys", "toy_task,toy_prompts", tmp_path)
    prompts = [s.record for s in outcome.records if s.record.task.name == "toy_prompts"]
    assert calls(log, "fit") == 1
    assert {r.status for r in prompts} == {"ok"}
    assert prompts[0].data.clusters == 4
    assert set(prompts[0].data.splits) == {"test", "train", "val"}


def test_records_among_the_published_ones_never_count_as_finished(tmp_path: Path, log: Path) -> None:
    run("toys", "toy_task", tmp_path / "run")
    shutil.copytree(tmp_path / "run" / "results", tmp_path / "leaderboard" / "results")
    before = calls(log, "encode")
    outcome = run("toys", "toy_task", tmp_path / "other")
    assert outcome.skipped == 0
    assert calls(log, "encode") == 2 * before


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("toy_nan", "NaN or infinite"),
        ("toy_shape", "encode returned shape"),
        ("toy_raise", "ValueError: the toy will not encode"),
        ("toy_raise_in_fit", "RuntimeError: the toy will not fit"),
    ],
)
def test_a_failing_method_costs_its_own_cell_only(tmp_path: Path, method: str, reason: str) -> None:
    outcome = run(f"{method},toys", "toy_task", tmp_path)
    assert [s.record.method.name.split("-")[0] for s in outcome.failed] == [method]
    failed = outcome.failed[0].record
    assert failed.reason is not None
    assert reason in failed.reason
    assert all(metric.value is None and metric.reason for metric in failed.metrics.values())
    assert record_of(outcome, "toys").status == "ok"
    assert load_record(outcome.failed[0].path).record == failed


def test_a_failed_cell_is_tried_again(tmp_path: Path) -> None:
    run("toy_raise", "toy_task", tmp_path)
    again = run("toy_raise", "toy_task", tmp_path)
    assert again.skipped == 2
    assert len(again.failed) == 1


def test_margins_are_over_the_floor_and_bars_are_checked(tmp_path: Path) -> None:
    outcome = run("toys", "toy_task", tmp_path)
    toy, mean = record_of(outcome, "toys"), record_of(outcome, "mean_only")
    difference = (mean.metrics["fvu"].value or 0) - (toy.metrics["fvu"].value or 0)
    assert toy.margins["fvu"].control == "mean_only"
    assert toy.margins["fvu"].value == pytest.approx(difference)
    assert toy.margins["l0"].value is None
    assert toy.bars == {"fvu": False, "l0": True}
    assert mean.margins == {}


def test_without_controls_margins_are_null_with_a_reason(tmp_path: Path) -> None:
    outcome = run("toys", "toy_task", tmp_path, controls=False)
    assert len(outcome.records) == 1
    assert outcome.records[0].record.margins["fvu"].reason == "no control was run"


def test_a_method_may_be_built_on_another(tmp_path: Path, log: Path) -> None:
    outcome = run("toy_used", "toy_task", tmp_path, controls=False)
    assert values(record_of(outcome, "toy_used"))["rrb"] == pytest.approx(0.5)
    assert calls(log, "fit") == 1, "what it uses is fitted first"
    assert len(outcome.records) == 1, "and not measured"


def test_a_derived_control_cannot_be_asked_for_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="built from another method"):
        run("permuted_decoder", "toy_task", tmp_path)


def test_a_plan_runs_nothing_and_writes_nothing(tmp_path: Path, log: Path) -> None:
    folder = tmp_path / "run"
    prepared = prepare("toys", "toy_task", folder, {"include_path": [PLUGINS]})
    assert [cell.entry.role for cell in prepared.groups[0].cells] == [None, "ceiling", "floor"]
    assert not folder.exists()
    assert log.read_text() == ""


def test_layers_make_tables_of_their_own(tmp_path: Path) -> None:
    outcome = run("toys", "toy_task", tmp_path, layers=[0, 1], controls=False)
    records = [s.record for s in outcome.records]
    assert {r.model.layer for r in records} == {0, 1}
    assert len({r.task.table for r in records}) == 2
    assert len(list(find_records(tmp_path))) == 2


def test_the_record_says_how_it_came_about(tmp_path: Path) -> None:
    record = record_of(run("toys", "toy_task", tmp_path), "toys")
    assert record.model.hidden_state == record.model.layer + 1
    assert record.data.splits["test"].cut > 0
    assert record.provenance.command.startswith("harness.evaluate('toys', 'toy_task'")
    assert record.fit["train_tokens"] >= 3000
    assert record.details["splice_tokens"] < record.details["tokens"] < record.details["density_tokens"]
    assert set(record.stages) == {"activations", "measure", "fit"}


def test_outliers_can_be_masked(tmp_path: Path) -> None:
    kept = record_of(run("toys", "toy_task", tmp_path, controls=False), "toys")
    masked = run("toys", "toy_task", tmp_path, controls=False, set={"mask.outliers": "drop"})
    assert record_of(masked, "toys").task.table != kept.task.table
    assert record_of(masked, "toys").data.mask["outliers"] == "drop"
