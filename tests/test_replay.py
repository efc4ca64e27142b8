"""Records are run again: what is as it was agrees, and whatever is altered afterwards is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import board_records
import numpy as np
import pytest
import torch
from commands import call
from running import PLUGINS, run
from safetensors.torch import load_file, save_file

import harness
from harness.metrics.contract import all_metrics
from harness.replay.choose import choose
from harness.replay.comparing import compare, tolerances
from harness.replay.verdict import Verification
from harness.run.recording import metric_part
from harness.store.files import sha256_file
from harness.store.records import find_records, load_record

GOLDEN = Path(__file__).parent / "golden" / "checkpoints"


def verify(*paths: Path, **options: Any) -> list[Verification]:
    return list(harness.verify(*paths, include_path=[PLUGINS], **options))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a drawn world and on the tiny model, with a parameter that is not the default's."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        run("topk", "toy_world", folder, seeds=[1], set={"params.optim.lr": "0.004"})
        run("toys", "toy_task", folder, set={"metrics": "[fvu, l0, dead_frac, kl_splice]"})
        run("toys", "toy_prompts", folder, layers=[1], set={"budget.train_tokens": "2500"})
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same run, to be tampered with; nothing of what it cached is there."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    shutil.copytree(original / "results", tmp_path / "run" / "results")
    return tmp_path / "run"


def record(folder: Path, task: str, method: str) -> Path:
    found = [path for path in find_records(folder) if path.parts[-3] == task and path.parts[-2].split("-")[0] == method]
    assert len(found) == 1, found
    return found[0]


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    held = json.loads(path.read_text(encoding="utf-8"))
    change(held)
    path.write_text(json.dumps(held), encoding="utf-8")
    return path


def edit_parts(path: Path, change: Callable[[dict[str, Any]], object], *, signed: bool) -> Path:
    beside = path.with_suffix(".npz")
    with np.load(beside) as archive:
        parts = dict(archive)
    change(parts)
    np.savez(beside, **parts)
    return edit(path, lambda r: r.update(parts_sha256=sha256_file(beside))) if signed else path


def test_every_record_of_a_run_agrees_to_the_last_bit(copy: Path) -> None:
    """Contestants, floor and ceiling controls, one derived from a method with other parameters; three kinds of data."""
    found = verify(copy)
    assert len(found) == len(list(find_records(copy))) == 10
    assert [(v.name, v.verdict, v.reasons, v.changed) for v in found if v.verdict != "agree" or v.changed] == []
    assert all(v.exact for v in found)
    checks = [m for v in found for m in v.metrics]
    assert len(checks) > 50
    assert {m.difference for m in checks} <= {0.0, None}
    assert all(m.reason is None for m in checks)


def test_a_stored_value_that_is_not_that_of_its_parts(copy: Path) -> None:
    path = edit(record(copy, "toy_world", "topk"), lambda r: r["metrics"]["fvu"].update(value=0.001))
    (found,) = verify(path)
    assert found.verdict == "disagree"
    (check,) = [m for m in found.metrics if m.verdict != "agree"]
    assert check.metric == "fvu"
    assert check.stored == 0.001
    assert check.parts == check.again
    assert check.reason is not None
    assert check.reason.startswith("value is stored as 0.001, the parts give 0.")


def test_an_interval_that_was_made_narrower(copy: Path) -> None:
    path = record(copy, "toy_world", "topk")
    low = load_record(path).record.metrics["fvu"].lo
    assert low is not None
    (found,) = verify(edit(path, lambda r: r["metrics"]["fvu"].update(lo=low * 1.001)))
    assert found.verdict == "disagree"
    assert [m.metric for m in found.metrics if m.verdict == "disagree"] == ["fvu"]


def test_parts_that_are_not_the_file_the_record_names(copy: Path) -> None:
    path = record(copy, "toy_world", "topk")
    edit_parts(path, lambda parts: parts.update(se=parts["se"] * 0.999), signed=False)
    (found,) = verify(path)
    assert found.verdict == "disagree"
    assert found.reasons[0] == f"its parts {path.stem}.npz are not the file it was written with"


def test_parts_values_and_hash_altered_together_are_found_by_the_re_run(copy: Path) -> None:
    """The most a forger can do with files: everything stored fits together, only the method never did it."""
    path = record(copy, "toy_world", "topk")
    edit_parts(path, lambda parts: parts.update(se=parts["se"] * 0.999), signed=True)
    stored = load_record(path)
    value, _ = all_metrics()["fvu"].point(stored.parts())
    assert value is not None
    ends = {end: getattr(stored.record.metrics["fvu"], end) * 0.999 for end in ("lo", "hi")}
    edit(path, lambda r: r["metrics"]["fvu"].update(value=value, **ends))
    (found,) = verify(path)
    assert found.verdict == "disagree"
    (check,) = [m for m in found.metrics if m.verdict == "disagree"]
    assert check.metric == "fvu"
    assert check.stored == pytest.approx(check.parts, rel=1e-9)
    assert check.relative is not None
    assert abs(check.relative) > 1e-4
    assert check.reason is not None
    assert "run again it is" in check.reason


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r["method"]["params"]["optim"].update(lr=0.001), "method: its parameters"),
        (lambda r: r["task"]["spec"]["budget"].update(passes=5), "task: what decides the numbers"),
        (lambda r: r["task"]["spec"]["data"].update(seed=4), "data: the documents are others"),
        (lambda r: r.update(seed=2), "cell: its seed"),
    ],
)
def test_what_a_record_says_it_measured_was_altered(copy: Path, change: Callable[[Any], object], says: str) -> None:
    path = edit(record(copy, "toy_world", "topk"), change)
    (found,) = verify(path)
    assert found.verdict == "disagree"
    assert any(changed.startswith(says) for changed in found.changed)
    assert any("run again it is" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("task", "method", "change", "says"),
    [
        ("toy_world", "topk", lambda r: r["method"].update(name="tpk"), "there is no method 'tpk' here"),
        ("toy_world", "topk", lambda r: r["method"]["params"].update(k=3), "has no parameter 'k'"),
        ("toy_world", "topk", lambda r: r["task"]["spec"].update(task="../../x"), "which is no name of a task"),
        ("toy_world", "topk", lambda r: r["task"]["spec"].update(track="worlds"), "unknown track 'worlds'"),
        ("toy_world", "topk", lambda r: r["task"]["spec"].pop("budget"), "its task holds no 'data' or no 'budget'"),
        ("toy_world", "topk", lambda r: r["provenance"].update(batch_tokens=0), "hold none"),
        ("toy_world", "identity", lambda r: r.update(seed=3), "has no seed 3: no seed changes it"),
        ("toy_world", "permuted_decoder", lambda r: r["task"]["spec"].pop("controls"), "its task names no control"),
        ("toy_task", "toys", lambda r: r["task"]["spec"].update(model="tiny-randm"), "tiny-randm"),
        ("toy_prompts", "toys", lambda r: r["task"]["spec"].update(task="toy_promts"), "unknown task 'toy_promts'"),
    ],
)
def test_what_cannot_be_run_again_says_why(
    copy: Path, task: str, method: str, change: Callable[[Any], object], says: str
) -> None:
    (found,) = verify(edit(record(copy, task, method), change))
    assert found.verdict == "cannot"
    assert [says in reason for reason in found.reasons] == [True]
    # What needs no re-run is said all the same.
    assert all(m.parts == pytest.approx(m.stored, rel=1e-6) and m.again is None for m in found.metrics)


def test_without_its_parts_a_record_is_held_against_the_re_run_alone(copy: Path) -> None:
    path = record(copy, "toy_task", "toys")
    path.with_suffix(".npz").unlink()
    (found,) = verify(path)
    assert found.verdict == "cannot"
    assert found.reasons == (f"its parts {path.stem}.npz are missing",)
    assert all(m.verdict == "agree" and m.parts is None for m in found.metrics)
    assert all(m.again == pytest.approx(m.stored, rel=1e-6) for m in found.metrics)


def test_parts_outside_the_folder_of_a_record_are_never_read(copy: Path) -> None:
    path = edit(record(copy, "toy_task", "toys"), lambda r: r.update(parts="../mean_only/x.npz"))
    (found,) = verify(path)
    assert found.verdict == "disagree"
    assert found.reasons[0] == "it names parts outside its own folder: ../mean_only/x.npz"


def test_a_metric_that_was_left_out_is_missed(copy: Path) -> None:
    (found,) = verify(edit(record(copy, "toy_task", "toys"), lambda r: r["metrics"].pop("kl_splice")))
    assert found.reasons == ("kl_splice: its task asks for it and the record does not hold it",)
    assert found.verdict == "disagree"


def test_another_setting_is_named_and_gets_the_wide_tolerance(copy: Path) -> None:
    path = edit(record(copy, "toy_task", "toys"), lambda r: r["provenance"]["libraries"].update(torch="1.0"))
    (found,) = verify(path)
    assert (found.verdict, found.exact) == ("agree", False)
    assert [changed for changed in found.changed if changed.startswith("torch: ")]
    allowed = {m.metric: m.allowed for m in found.metrics}
    values = {m.metric: m.stored for m in found.metrics}
    assert allowed["dead_frac"] == pytest.approx(0.2 * (values["dead_frac"] or 0) + 1e-9)
    (strict,) = verify(path, tolerance=0.0)
    assert strict.verdict == "agree"
    assert {m.allowed for m in strict.metrics} == {1e-9}


def test_a_cell_that_fails_fails_again_for_the_same_reason(cache: Path, tmp_path: Path) -> None:
    outcome = run("toy_raise_in_fit", "toy_task", tmp_path, controls=False)
    (stored,) = outcome.failed
    (found,) = verify(stored.path)
    assert (found.verdict, found.metrics) == ("agree", ())
    edit(stored.path, lambda r: r.update(reason="it rained"))
    (other,) = verify(stored.path)
    assert other.verdict == "disagree"
    assert other.reasons[0].startswith("the cell was failed (it rained), run again it is failed (fit raised")


def test_a_dictionary_of_somebody_else_is_found_by_its_content(cache: Path, tmp_path: Path) -> None:
    """By the folder its command names; where that is gone or holds something else, in the folder that is given."""
    folder = shutil.copytree(GOLDEN / "dl_topk_board", tmp_path / "trainer_0")
    outcome = run(f"path:{folder}", "toy_task", tmp_path / "run", controls=False)
    path = outcome.records[0].path
    assert [v.verdict for v in verify(path)] == ["agree"]
    shutil.rmtree(folder)
    (gone,) = verify(path)
    assert gone.verdict == "cannot"
    assert "is not here; name its folder with --checkpoint" in gone.reasons[0]
    shutil.copytree(GOLDEN / "sparsify_topk_board", folder)
    assert [v.verdict for v in verify(path)] == ["cannot"]
    assert [v.verdict for v in verify(path, checkpoints=[GOLDEN / "dl_topk_board"])] == ["agree"]


def test_a_control_on_another_model_is_run_there_again(cache: Path, tmp_path: Path) -> None:
    outcome = run("toys", "toy_task", tmp_path, set={"metrics": "[fvu, l0]", "controls": "{derived: [random_model]}"})
    (path,) = [s.path for s in outcome.records if s.record.method.role == "derived"]
    (found,) = verify(path)
    assert (found.verdict, found.changed) == ("agree", ())
    assert {m.difference for m in found.metrics} == {0.0}


def test_a_stored_fit_is_used_only_where_asked_for(cache: Path, tmp_path: Path) -> None:
    """A fit that is altered in the cache moves no number unless it is asked for."""
    outcome = run("topk", "toy_world", tmp_path, controls=False, seeds=[0])
    (fit,) = (cache / "fits").glob("*/*.safetensors")
    before = sha256_file(fit)
    save_file({name: tensor * 0.9 for name, tensor in load_file(fit).items()}, fit)
    card = fit.with_name("fit.json")
    card.write_text(card.read_text().replace(before, sha256_file(fit)))
    path = outcome.records[0].path
    assert [v.verdict for v in verify(path)] == ["agree"]
    assert [v.verdict for v in verify(path, cached_fit=True)] == ["disagree"]


def test_verifying_leaves_the_folder_and_the_threads_as_they_were(copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    threads = torch.get_num_threads()
    path = record(copy, "toy_world", "mean_only")
    list(harness.verify(edit(path, lambda r: r["provenance"].update(threads=threads + 1)), include_path=[PLUGINS]))
    assert torch.get_num_threads() == threads
    assert set(before) == set(copy.rglob("*"))


def test_the_tolerance_is_relative_to_the_value_or_to_its_interval() -> None:
    """A difference near 0 is held against the width of its interval, never against 0."""
    metric = all_metrics()["delta_ce"]
    rng = np.random.default_rng(0)
    n = np.full(40, 50.0)
    clean = rng.uniform(90, 110, 40)
    parts = {"n": n, "n_ce": n, "ce_clean": clean, "ce_splice": clean + rng.normal(0, 5, 40)}
    again = parts | {"ce_splice": parts["ce_splice"] + 1e-3}
    spec = {"metrics": ["delta_ce"]}
    one = _record_like(metric.name, parts, spec)
    loose = compare(one, {metric.name: metric}, parts, again, tolerances({metric.name: metric}, False, None))
    tight = compare(one, {metric.name: metric}, parts, again, tolerances({metric.name: metric}, True, None))
    assert [c.verdict for c in (*loose, *tight)] == ["agree", "disagree"]
    assert loose[0].difference == pytest.approx(1e-3 / 50)


def _record_like(name: str, parts: dict[str, Any], spec: dict[str, Any]) -> Any:
    plain = board_records.record(board_records.Case(spec=spec), board_records.Cell("m"), {})
    return plain.model_copy(update={"metrics": {name: metric_part(all_metrics()[name], parts, None)}})


def test_the_command_says_it_in_its_exit_code_and_in_json(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(copy, "toy_world", "mean_only")
    words = ("verify", str(path), "--include-path", str(PLUGINS))
    done = call(capsys, *words, "--json")
    assert done.code == 0
    assert [one["verdict"] for one in done.json] == ["agree"]
    assert "1 agree, 0 disagree, 0 cannot" in done.err
    edit(path, lambda r: r["metrics"]["l0"].update(value=1.0))
    done = call(capsys, *words)
    assert done.code == 1
    assert done.out.splitlines()[0].split("\t")[:3] == ["record", "metric", "stored"]
    assert "disagree: toy_world: mean_only, seed 0" in done.err
    edit(path, lambda r: r["method"].update(name="gone"))
    assert call(capsys, *words).code == 1
    done = call(capsys, *words, "--device", "gpu")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("harness: device 'gpu' is not known; use auto, cpu")


def test_a_sample_is_the_same_for_the_same_seed(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every = choose([copy])
    assert len(every) == 10
    some = {tuple(choose([copy], 3, seed)) for seed in range(5)}
    assert len(some) > 1
    assert all(set(three) < set(every) and len(three) == 3 for three in some)
    assert choose([copy], 3, 1) == choose([copy], 3, 1)
    assert choose([copy], 99) == every
    for word, says in (("nothing.json", "neither a record nor a folder"), (str(PLUGINS), "holds no records")):
        done = call(capsys, "verify", word)
        assert (done.code, says in done.err) == (2, True)


def test_a_broken_record_in_a_folder_costs_its_own_verdict_only(copy: Path) -> None:
    world = copy / "results" / "toy_world"
    for name in ("topk", "permuted_decoder", "random_dictionary", "identity"):
        shutil.rmtree(world / name)
    for task in ("toy_task", "toy_prompts"):
        shutil.rmtree(copy / "results" / task)
    (world / "mean_only" / "seed9-000000000000.json").write_text("{", encoding="utf-8")
    found = verify(copy)
    assert [v.verdict for v in found] == ["agree", "cannot"]
    assert "is not a whole record" in found[1].reasons[0]
