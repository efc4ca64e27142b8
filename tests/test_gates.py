"""The gate over folders of known records: verdicts, tolerances, what is missing, exit codes and outputs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from board_cases import GOOD, controls, only_table, row
from board_records import METRICS, Case, Cell, Quality, parts, save
from commands import call

import harness
from harness.errors import UserError
from harness.gates.evidence import over_clusters, over_seeds
from harness.gates.loss import DETECTABLE
from harness.gates.outcome import Comparison, Gate
from harness.gates.verdict import judge
from harness.metrics.contract import get_metric
from harness.specs.reliability import CardProvenance, Check, ReliabilityCard, card_path
from harness.stats.estimate import Plan
from harness.stats.paired import difference
from harness.store.files import write_text

pytestmark = pytest.mark.usefixtures("no_cards")

Capture = pytest.CaptureFixture[str]
WORSE = replace(GOOD, fvu=0.19)


def folder(path: Path, quality: Quality = GOOD, seeds: tuple[int, ...] = (0, 1, 2), **more: object) -> Path:
    """Save a method and the controls of its task."""
    case = Case()
    for seed in seeds:
        save(path, case, Cell("topk", seed, quality, **more))  # type: ignore[arg-type]
    for cell in controls(("topk",), seeds):
        save(path, case, cell)
    return path


def found(gate: Gate, metric: str, method: str = "topk") -> Comparison:
    (only,) = [c for c in gate.comparisons if (c.metric, c.method) == (metric, method)]
    return only


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    return folder(tmp_path / "baseline")


def test_the_same_numbers_pass_even_at_tolerance_0(baseline: Path, tmp_path: Path) -> None:
    gate = harness.gate(folder(tmp_path / "run"), baseline, dict.fromkeys(METRICS, 0.0))
    assert {c.metric for c in gate.comparisons} == set(METRICS)
    assert {(c.verdict, c.evidence.value, c.evidence.how) for c in gate.comparisons} == {("pass", 0.0, "constant")}
    one = harness.gate(folder(tmp_path / "one", seeds=(1,)), baseline)
    assert one.verdict == "pass"


def test_a_planted_loss_fails_in_its_metrics_and_in_no_others(baseline: Path, tmp_path: Path) -> None:
    gate = harness.gate(folder(tmp_path / "run", WORSE, (3, 4, 5)), baseline)
    assert {c.metric for c in gate.of("fail")} == {"fvu", "mse_elem", "mse_elem_norm"}
    fvu = found(gate, "fvu")
    assert fvu.evidence.value == pytest.approx(fvu.after - fvu.before)  # type: ignore[operator]
    assert fvu.evidence.bounds is not None
    assert fvu.evidence.bounds[0] > fvu.tolerance.value
    assert gate.verdict == "fail"
    assert harness.gate(baseline, tmp_path / "run").of("fail") == ()


def test_a_loss_is_turned_by_the_direction_of_the_metric(baseline: Path, tmp_path: Path) -> None:
    gate = harness.gate(folder(tmp_path / "run", replace(GOOD, agree=0.6), (3, 4, 5)), baseline)
    agree = found(gate, "agree1")
    assert (agree.verdict, agree.direction) == ("fail", "up")
    assert agree.evidence.value == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("l0", [50.0, 80.0])
def test_a_target_may_not_move_either_way(baseline: Path, tmp_path: Path, l0: float) -> None:
    gate = harness.gate(folder(tmp_path / "run", replace(GOOD, l0=l0), (3, 4, 5)), baseline)
    moved = found(gate, "l0")
    assert moved.verdict == "fail"
    assert moved.evidence.value == pytest.approx(l0 - 64, abs=0.5)
    assert moved.tolerance.value == pytest.approx(0.05 * 64, rel=0.01)


def test_the_bounds_are_those_of_the_paired_difference(baseline: Path, tmp_path: Path) -> None:
    run = folder(tmp_path / "run", WORSE)
    sides = [[parts(quality, 48, seed, "topk") for seed in (0, 1, 2)] for quality in (WORSE, GOOD)]
    fvu = difference(get_metric("fvu"), *sides, plan=Plan(level=0.9))
    bounds = found(harness.gate(run, baseline), "fvu").evidence.bounds
    # Gram matrices are stored in single precision.
    assert bounds == pytest.approx((fvu.lo, fvu.hi), rel=1e-4)


def test_the_default_tolerance_is_a_share_of_the_margin_over_the_best_control(baseline: Path, tmp_path: Path) -> None:
    gate = harness.gate(folder(tmp_path / "run"), baseline)
    margin = row(only_table(baseline), "topk").scores["fvu"].margin
    assert margin is not None
    assert margin.value is not None
    fvu = found(gate, "fvu")
    assert fvu.tolerance.value == pytest.approx(0.05 * margin.value)
    assert margin.control is not None
    assert margin.control in fvu.tolerance.basis
    dead = found(gate, "dead_frac")
    assert dead.tolerance.value == pytest.approx(0.05 * (dead.before or 0))


def test_a_run_without_controls_is_still_judged_on_the_scale_of_the_baseline(baseline: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for seed in (0, 1, 2):
        save(run, Case(), Cell("topk", seed, GOOD))
    gate = harness.gate(run, baseline)
    assert "pca" in found(gate, "fvu").tolerance.basis
    assert any(text.startswith("gsm_symbolic: pca only in") for text in gate.unpaired)


def test_controls_are_judged_on_request(baseline: Path, tmp_path: Path) -> None:
    run = folder(tmp_path / "run")
    assert {c.method for c in harness.gate(run, baseline).comparisons} == {"topk"}
    assert {c.method for c in harness.gate(run, baseline, controls=True).comparisons} >= {"topk", "pca"}


def test_tolerances_by_metric_by_task_and_as_shares(baseline: Path, tmp_path: Path) -> None:
    run = folder(tmp_path / "run", WORSE, (3, 4, 5))
    given = {"fvu": 0.2, "gsm_symbolic/mse_elem": 9, "squad/mse_elem_norm": 9, "kl_splice": "10%", "default": "20%"}
    gate = harness.gate(run, baseline, given)
    plain = harness.gate(run, baseline)
    assert [found(gate, name).verdict for name in ("fvu", "mse_elem", "mse_elem_norm")] == ["pass", "pass", "fail"]
    assert found(gate, "fvu").tolerance == replace(found(gate, "fvu").tolerance, value=0.2, basis="given")
    for name, factor in (("kl_splice", 2), ("agree1", 4), ("l0", 4)):
        assert found(gate, name).tolerance.value == pytest.approx(factor * found(plain, name).tolerance.value)


def test_one_seed_against_three_takes_the_noise_of_the_three(baseline: Path, tmp_path: Path) -> None:
    evidence = found(harness.gate(folder(tmp_path / "run", seeds=(7,)), baseline), "fvu").evidence
    assert (evidence.how, evidence.seeds) == ("unrelated", (1, 3))
    values = [get_metric("fvu").point(parts(GOOD, 48, seed, "topk"))[0] for seed in (0, 1, 2)]
    assert evidence.passing is not None
    assert evidence.passing.se >= float(np.std(values, ddof=1)) * (4 / 3) ** 0.5 * 0.999


def test_one_seed_a_side_says_what_it_does_not_see_and_a_card_sees_it(tmp_path: Path) -> None:
    run, base = folder(tmp_path / "run", seeds=(7,)), folder(tmp_path / "base", seeds=(0,))
    fvu = found(harness.gate(run, base), "fvu").evidence
    assert fvu.how == "clusters"
    assert "does not see how much seeds vary" in (fvu.reason or "")
    assert found(harness.gate(run, base), "dead_frac").verdict == "inconclusive"
    write_card(base, "reliable", {1: 0.5})
    wide = found(harness.gate(run, base), "fvu").evidence
    assert wide.how == "card"
    assert wide.passing is not None
    assert wide.passing.se == pytest.approx(0.5 / DETECTABLE)


def write_card(base: Path, verdict: str, detectable: dict[int, float | None]) -> None:
    card = ReliabilityCard(
        metric="fvu", version=get_metric("fvu").version, task="gsm_symbolic", table=Case().table,
        verdict=verdict, checks={"order": Check(value=0.1, passed=verdict == "reliable")}, detectable=detectable,  # type: ignore[arg-type]
        provenance=CardProvenance(command="c", version="1", commit=None, dirty=None, finished="2026"),
    )  # fmt: skip
    write_text(card_path(base / "cards", "gsm_symbolic", "fvu"), card.model_dump_json())


def test_a_diagnostic_metric_is_not_judged_and_that_is_said(baseline: Path, tmp_path: Path) -> None:
    write_card(baseline, "diagnostic", {})
    gate = harness.gate(folder(tmp_path / "run", WORSE, (3, 4, 5)), baseline)
    assert "fvu" not in {c.metric for c in gate.comparisons}
    assert gate.notes == (
        "fvu is diagnostic in gsm_symbolic and is not judged without a tolerance of its own: "
        "its reliability card fails order in this table",
    )
    for name in ("fvu", "gsm_symbolic/fvu"):
        asked = harness.gate(tmp_path / "run", baseline, {name: 0.01})
        assert found(asked, "fvu").verdict == "fail"
        assert "is judged, since it has a tolerance of its own" in asked.notes[0]
    others = harness.gate(tmp_path / "run", baseline, {"squad/fvu": 0.01, "default": "1%"})
    assert "fvu" not in {c.metric for c in others.comparisons}


def test_a_cell_that_fails_anew_fails_the_gate(baseline: Path, tmp_path: Path) -> None:
    run = folder(tmp_path / "run", seeds=(0, 1))
    save(run, Case(), Cell("topk", 2, GOOD, failed="encode returned NaN"))
    gate = harness.gate(run, baseline)
    assert [(cell.seed, cell.reason) for cell in gate.failed] == [(2, "encode returned NaN")]
    assert gate.verdict == "fail"
    # What failed in the baseline already is no news.
    assert harness.gate(run, run).failed == ()


def test_a_method_that_lost_all_its_cells_has_no_value_and_fails(baseline: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for seed in (0, 1, 2):
        save(run, Case(), Cell("topk", seed, failed="it broke"))
    gate = harness.gate(run, baseline)
    assert (gate.verdict, len(gate.failed)) == ("fail", 3)
    assert {c.evidence.reason for c in gate.comparisons} == {"no measured cell in the run"}


def test_a_metric_that_lost_its_value_fails_with_its_reason(baseline: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for seed in (0, 1, 2):
        table = parts(GOOD, 48, seed, "topk")
        save(run, Case(), Cell("topk", seed), table | {"n_kl": np.zeros(48)})
    kl = found(harness.gate(run, baseline), "kl_splice")
    assert (kl.verdict, kl.after, kl.evidence.value, kl.evidence.how) == ("fail", None, None, "lost")
    assert (kl.evidence.reason or "").startswith("no value in the run: ")
    # The other way round there is nothing to lose, and nothing to hold the run against.
    gained = found(harness.gate(baseline, run), "kl_splice")
    assert (gained.verdict, gained.evidence.how) == ("inconclusive", "none")


def test_a_method_or_task_that_the_run_lacks_does_not_pass(baseline: Path, tmp_path: Path, capsys: Capture) -> None:
    run = folder(tmp_path / "run")
    assert harness.gate(run, baseline).missing == ()
    save(baseline, Case(), Cell("gated", 0))
    save(baseline, Case("squad", "Reading", "other", 96), Cell("topk", 0))
    gate = harness.gate(run, baseline)
    assert gate.missing == (
        "gsm_symbolic: gated is in the baseline and not in the run",
        "squad: topk is in the baseline and not in the run",
    )
    assert (gate.verdict, gate.of("inconclusive"), gate.of("fail")) == ("inconclusive", (), ())
    page = tmp_path / "gate.md"
    words = ("gate", str(run), "--baseline", str(baseline))
    loose = call(capsys, *words, "--markdown", str(page))
    assert loose.code == 0
    assert "warning: squad: topk is in the baseline and not in the run" in loose.err
    assert "decides neither way" not in loose.err
    assert "⚠️ squad: topk is in the baseline and not in the run" in page.read_text(encoding="utf-8")
    assert call(capsys, *words, "--strict").code == 1
    # What a run has on top is nobody's loss.
    assert harness.gate(baseline, run).verdict == "pass"


def test_controls_that_the_run_lacks_count_where_they_are_judged(baseline: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for seed in (0, 1, 2):
        save(run, Case(), Cell("topk", seed, GOOD))
    assert harness.gate(run, baseline).missing == ()
    assert (
        "gsm_symbolic: pca is in the baseline and not in the run" in harness.gate(run, baseline, controls=True).missing
    )


def test_values_of_a_count_that_agree_by_chance_are_no_proof() -> None:
    """Three seeds with 0 against three with 1/256: nothing varies inside a side, and chance does that often."""
    evidence = over_seeds(dict.fromkeys(range(3), 1 / 256), dict.fromkeys(range(3, 6), 0.0), 1, False)
    assert evidence.p(0.0) == pytest.approx(1 / 20)
    assert judge([evidence, evidence], [0.0, 0.0])[0].verdict == "inconclusive"
    exact = over_clusters({0: np.full(9, 15.0)}, {1: np.full(9, 16.0)}, True)
    assert (exact.how, exact.value) == ("constant", -1.0)
    assert [judge([exact], [t])[0].verdict for t in (0.5, 1.5)] == ["fail", "pass"]


def test_nothing_shared_is_said_with_what_differs(baseline: Path, tmp_path: Path, capsys: Capture) -> None:
    other = Case(table="f" * 24, spec={"budget": {"l0": 32}})
    save(tmp_path / "run", other, Cell("topk"))
    answer = call(capsys, "gate", str(tmp_path / "run"), "--baseline", str(baseline))
    assert (answer.code, answer.out) == (2, "")
    assert "share no resolved task" in answer.err
    assert "budget.l0 is 32 in the run and 64 in the baseline" in answer.err
    save(tmp_path / "foreign", Case(task="squad", table="e" * 24), Cell("topk"))
    with pytest.raises(UserError, match="their tasks are squad and gsm_symbolic"):
        harness.gate(tmp_path / "foreign", baseline)


WRONG = {
    "--tolerance=fvuu=1": "unknown metric 'fvuu'. Did you mean 'fvu'?",
    "--tolerance=fvu": "--tolerance: write METRIC=x",
    "--tolerance=fvu=-1": "fvu must be a number from 0 up, or a share as in 5%, got '-1'",
    "--tolerance=fvu=nan": "fvu must be a number from 0 up",
    "--tolerance=default=0.1": "default must be a share",
    "--tolerances=absent.yaml": "absent.yaml",
    "--baseline=absent": "'absent' holds no results",
}


@pytest.mark.parametrize("word", WRONG)
def test_mistakes_are_one_sentence(baseline: Path, capsys: Capture, word: str) -> None:
    answer = call(capsys, "gate", str(baseline), "--baseline", str(baseline), word)
    assert (answer.code, answer.out) == (2, "")
    assert WRONG[word] in answer.err
    assert "Traceback" not in answer.err


def test_exit_codes_and_outputs(baseline: Path, tmp_path: Path, capsys: Capture) -> None:
    worse = folder(tmp_path / "worse", WORSE, (3, 4, 5))
    noisy = folder(tmp_path / "noisy", seeds=(3, 4, 5))
    page, file = tmp_path / "deep" / "gate.md", tmp_path / "t.yaml"
    words = ["--baseline", str(baseline)]
    same = call(capsys, "gate", str(baseline), *words, "--strict")
    assert same.code == 0
    assert same.out.splitlines()[0].startswith("verdict\ttask\tmethod\tmetric")
    failed = call(capsys, "gate", str(worse), *words, "--json", "--markdown", str(page))
    assert failed.code == 1
    assert failed.json["verdict"] == "fail"
    assert {c["metric"] for c in failed.json["comparisons"] if c["verdict"] == "fail"} >= {"fvu"}
    assert page.read_text(encoding="utf-8").startswith("## Gate: ❌ fail")
    assert "| ❌ fail | gsm_symbolic | topk | fvu |" in page.read_text(encoding="utf-8")
    file.write_text("fvu: 0.01\nmse_elem: 100\nmse_elem_norm: 50%\n")
    tolerated = call(capsys, "gate", str(noisy), *words, "--tolerances", str(file), "--tolerance", "dead_frac=0.004")
    assert tolerated.code == 0
    assert "warning: the evidence decides neither way" in tolerated.err
    assert "would decide, with 80 % power" in tolerated.out
    strict = call(capsys, "gate", str(noisy), *words, "--tolerance", "dead_frac=0.004", "--strict")
    assert strict.code == 1


def test_hostile_names_stay_text(tmp_path: Path, capsys: Capture) -> None:
    nasty = "</summary><img src=x onerror=alert(1)> | `x` @team"
    for name, seeds in (("a", (0, 1, 2)), ("b", (3, 4, 5))):
        for seed in seeds:
            cell = Cell("topk", seed, GOOD)
            save(tmp_path / name, Case(), replace(cell, change={"warnings": (nasty,)}))
        save(tmp_path / name, Case(), Cell("gated", 0, failed=nasty if name == "b" else None))
    page = tmp_path / "gate.md"
    call(capsys, "gate", str(tmp_path / "b"), "--baseline", str(tmp_path / "a"), "--markdown", str(page))
    text = page.read_text(encoding="utf-8")
    assert "<img" not in text
    assert "&lt;img" in text
    assert "@<!-- -->team" in text
    assert "@team" not in text


def test_the_gate_needs_no_torch() -> None:
    program = "import sys, harness; harness.gate; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
