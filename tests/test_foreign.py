"""Results of other tools: kept as they are, refused where they are not what they say, and never let out of a folder."""

from __future__ import annotations

import copy
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_cases import GOOD, controls
from board_records import Case, Cell, save
from commands import call
from lm_eval.utils import get_file_datetime, get_results_filenames, make_table

from harness.board import load_board
from harness.errors import UserError
from harness.exchange.converting import convert, import_results, read_results
from harness.exchange.imported import FOLDER, Imported, Tool, read_imported
from harness.exchange.strict_json import DEEPEST
from harness.metrics.contract import all_metrics
from harness.store.files import sha256_file
from harness.store.records import load_record, save_record

Capture = pytest.CaptureFixture[str]

# The fields of SAEBench's BaseEvalOutput, with categories of its core evaluation; the values are made up.
CORE: dict[str, Any] = {
    "eval_type_id": "core",
    "eval_config": {"model_name": "pythia-70m-deduped", "llm_dtype": "float32", "context_size": 128},
    "eval_id": "0c057d5e-973e-410e-8e32-32569323b5e6",
    "datetime_epoch_millis": 1741632776079,
    "eval_result_metrics": {
        "model_behavior_preservation": {"kl_div_score": 0.98, "kl_div_with_ablation": 10.06, "kl_div_with_sae": 0.2},
        "reconstruction_quality": {"explained_variance": 0.71, "mse": 0.003, "cossim": 0.93},
        "sparsity": {"l0": 63, "l1": 88.5},
        "misc_metrics": {"freq_over_1_percent": None},
    },
    "eval_result_details": [{"index": 0, "feature_density": 0.1}],
    "sae_bench_commit_hash": "2875b668fbe1f23ca83977e7461798fc7395e6b8",
    "sae_lens_id": "blocks.5.hook_resid_post__trainer_2",
    "sae_lens_release_id": "sae_bench_pythia_topk",
    "sae_lens_version": "5.5.2",
    "sae_cfg_dict": {"d_sae": 16384, "model_name": "pythia-70m-deduped"},
    "eval_result_unstructured": {"anything": [1, [2, {"deep": None}]]},
}
LM_EVAL: dict[str, Any] = {
    "results": {
        "mmlu": {" ": " ", "alias": "mmlu"},
        "boolq": {"alias": "boolq", "acc,none": 0.61, "acc_stderr,none": 0.0085, "sample_len": 3270},
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.0,
            "exact_match_stderr,strict-match": 0.0,
            "exact_match,flexible-extract": 0.02,
            "exact_match_stderr,flexible-extract": "N/A",
        },
        "lambada": {"perplexity,none": "N/A", "perplexity_stderr,none": "N/A", "acc": 0.5, "acc_stderr": 0.1},
    },
    "versions": {"boolq": 2.0, "gsm8k": 3.0},
    "configs": {"boolq": {"task": "boolq"}},
    "n-samples": {"boolq": {"original": 3270, "effective": 3270}},
    "config": {"model": "hf", "model_args": "pretrained=x"},
    "date": 1741632776.5,
    "model_name": "HuggingFaceTB/SmolLM2-135M",
    "lm_eval_version": "0.4.13",
}
HOSTILE = ("</script><img src=x onerror=alert(1)>", "../../etc/passwd", "a\0b", "=cmd|' /C calc'!A0", "\u202eevil")


def written(folder: Path, value: Any, name: str = "results.json") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def brought_in(folder: Path, value: Any, tool: Tool) -> Imported:
    import_results([written(folder, value)], tool, folder)
    found, problems = read_imported(folder)
    assert problems == []
    return found[-1]


def changed(value: dict[str, Any], path: str, new: Any) -> dict[str, Any]:
    value = copy.deepcopy(value)
    *outer, last = path.split(".")
    inner = value
    for key in outer:
        inner = inner[key]
    inner[last] = new
    return value


def test_saebench_is_kept_as_it_is(tmp_path: Path) -> None:
    found = brought_in(tmp_path, CORE, "saebench")
    assert (found.subject, found.model) == (
        "sae_bench_pythia_topk/blocks.5.hook_resid_post__trainer_2",
        "pythia-70m-deduped",
    )
    assert (found.measured, found.tool_version) == ("2025-03-10T18:52:56+00:00", CORE["sae_bench_commit_hash"])
    assert (found.file, found.sha256) == ("results.json", sha256_file(tmp_path / "results.json"))
    values = {value.metric: value.value for value in found.values}
    expected = {f"{c}/{name}": v for c, inner in CORE["eval_result_metrics"].items() for name, v in inner.items()}
    assert values == expected
    assert [(v.metric, v.reason) for v in found.values if v.reason] == [
        ("misc_metrics/freq_over_1_percent", "null in the file")
    ]
    assert {value.task for value in found.values} == {"core"}


def test_lm_eval_is_kept_as_it_is(tmp_path: Path) -> None:
    found = brought_in(tmp_path, LM_EVAL, "lm-eval")
    assert (found.subject, found.model, found.tool_version) == ("HuggingFaceTB/SmolLM2-135M", "hf", "0.4.13")
    assert [(v.task, v.metric, v.value, v.stderr, v.reason) for v in found.values] == [
        ("boolq", "acc,none", 0.61, 0.0085, None),
        ("gsm8k", "exact_match,strict-match", 0.0, 0.0, None),
        ("gsm8k", "exact_match,flexible-extract", 0.02, None, None),
        ("lambada", "perplexity,none", None, None, "'N/A' in the file"),
        ("lambada", "acc", 0.5, 0.1, None),
    ]


def test_no_metric_of_theirs_takes_the_name_of_one_of_ours(tmp_path: Path) -> None:
    metrics = {value.metric for value in brought_in(tmp_path, CORE, "saebench").values}
    metrics |= {value.metric for value in brought_in(tmp_path, LM_EVAL, "lm-eval").values}
    assert not metrics & set(all_metrics())


def test_imported_results_change_nothing_in_the_tables_of_a_board(tmp_path: Path) -> None:
    for cell in (*controls(("topk",), (0,)), Cell("topk", 0, GOOD)):
        save(tmp_path, Case(clusters=12), cell)
    before = load_board(tmp_path)
    found = brought_in(tmp_path, CORE, "saebench")
    assert load_board(tmp_path) == replace(before, imported=(found,))


def test_importing_a_file_twice_keeps_it_once(tmp_path: Path) -> None:
    first = import_results([written(tmp_path, CORE)], "saebench", tmp_path)
    data = first[0].read_bytes()
    assert import_results([written(tmp_path, CORE, "renamed.json")], "saebench", tmp_path) == first
    assert first[0].read_bytes() == data.replace(b'"results.json"', b'"renamed.json"')
    import_results([written(tmp_path, changed(CORE, "sae_lens_id", "other"))], "saebench", tmp_path)
    assert len(read_imported(tmp_path)[0]) == 2


@pytest.mark.parametrize("words", HOSTILE)
@pytest.mark.parametrize("tool", ["saebench", "lm-eval"])
def test_hostile_names_are_text_and_lead_nowhere(tmp_path: Path, words: str, tool: Tool) -> None:
    folder = tmp_path / "deep" / "run"
    if tool == "saebench":
        value = changed(CORE, "eval_type_id", words) | {"sae_lens_id": words, "sae_bench_commit_hash": words}
        value["eval_result_metrics"] = {words: {words: 1.0}}
    else:
        value = changed(LM_EVAL, "model_name", words) | {"results": {words: {f"{words},none": 1.0}}}
    source = written(tmp_path, value)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    import_results([source], tool, folder)
    (new,) = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert new.parent == folder / FOLDER
    (found,), problems = read_imported(folder)
    assert problems == []
    assert found.values[0].task == words
    assert words in found.values[0].metric


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[]", "'eval_type_id' is missing"),
        ("3", "'eval_type_id' is missing"),
        ('{"eval_type_id": "core", "eval_type_id": "core"}', "'eval_type_id' is given twice"),
        ("[" * 100_000, "nested too deep"),
        ("[" * (DEEPEST + 5) + "]" * (DEEPEST + 5), f"nested more than {DEEPEST} deep"),
        ('{"a": ' * (DEEPEST + 5) + "1" + "}" * (DEEPEST + 5), f"nested more than {DEEPEST} deep"),
        ("1" * 5000, "not JSON"),
    ],
    ids=range(8),
)
def test_what_is_no_result_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        import_results([written(tmp_path, text)], "saebench", tmp_path / "run")
    assert len(str(error.value)) < 400
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", "-1e400"])
def test_numbers_that_are_none_are_refused(tmp_path: Path, word: str) -> None:
    text = json.dumps(CORE).replace("0.71", word)
    assert word in text
    with pytest.raises(UserError, match="not JSON: "):
        read_results(written(tmp_path, text), "saebench")


@pytest.mark.parametrize(
    ("path", "new", "said"),
    [
        ("eval_type_id", None, "'eval_type_id' is missing"),
        ("eval_type_id", 3, "'eval_type_id' must be text, got a number"),
        ("eval_result_metrics", [1], "eval_result_metrics must be an object .* got a list"),
        ("eval_result_metrics", {}, "holds no result"),
        ("eval_result_metrics.sparsity", 3, "sparsity must be an object .* got a number"),
        ("eval_result_metrics.sparsity.l0", True, "l0 must be a number, got true or false"),
        ("eval_result_metrics.sparsity.l0", "63", "l0 must be a number, got text"),
        ("eval_result_metrics.sparsity.l0", {"a": 1}, "l0 must be a number, got an object"),
        ("eval_result_metrics.sparsity.l0", 10**400, "401 digits"),
        ("datetime_epoch_millis", 10**30, "is no time"),
        ("datetime_epoch_millis", "now", "must be a number, got text"),
        ("sae_lens_id", ["x"], "'sae_lens_id' must be text, got a list"),
        ("eval_config", "x", "eval_config must be an object"),
        ("eval_type_id", "x" * 3000, "at most 2000 characters"),
        ("eval_type_id", "\ud800", "valid string"),
    ],
)
def test_fields_of_another_kind_are_refused(tmp_path: Path, path: str, new: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        import_results([written(tmp_path, changed(CORE, path, new))], "saebench", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_refused_file_keeps_the_others_out_too(tmp_path: Path, capsys: Capture) -> None:
    good, bad = written(tmp_path, CORE, "good.json"), written(tmp_path, "{}", "bad.json")
    words = ("import", str(good), str(bad), "--format", "saebench", "--to", str(tmp_path / "run"))
    answer = call(capsys, *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"harness: {bad}: 'eval_type_id' is missing\n"
    assert not (tmp_path / "run").exists()
    answer = call(capsys, "import", str(good), "--format", "saebench", "--to", str(tmp_path / "run"), "--json")
    assert [Path(name).parent for name in answer.json] == [tmp_path / "run" / FOLDER]


def test_a_file_that_is_too_large_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as stream:
        stream.truncate(10**12)
    with pytest.raises(UserError, match="larger than the 64 MB"):
        read_results(path, "saebench")


@pytest.mark.parametrize("text", ["{", '{"schema_version": 2}', '{"tool": "x"}', "NaN", "[" * 9999])
def test_kept_files_that_were_altered_are_named_and_left_out(tmp_path: Path, text: str) -> None:
    import_results([written(tmp_path, CORE)], "saebench", tmp_path)
    written(tmp_path / FOLDER, text, "bad.json")
    found, problems = read_imported(tmp_path)
    assert len(found) == 1
    assert [problem.path for problem in problems] == [f"{FOLDER}/bad.json"]
    assert str(tmp_path) not in problems[0].reason


def records(folder: Path) -> list[Cell]:
    cells = [*controls(("topk",), (0,)), Cell("topk", 0, GOOD), Cell("broken", 0, GOOD, failed="it broke")]
    for cell in cells:
        save(folder, Case(clusters=12), cell)
    return cells


@pytest.mark.parametrize("tool", ["saebench", "lm-eval"])
def test_our_records_go_out_and_come_in_again(tmp_path: Path, tool: Tool, capsys: Capture) -> None:
    measured = [cell for cell in records(tmp_path / "run") if not cell.failed]
    words = ("convert", str(tmp_path / "run"), "--format", tool, "--to", str(tmp_path / "out"), "--json")
    answer = call(capsys, *words)
    assert (answer.code, len(answer.json)) == (0, len(measured))
    import_results([Path(name) for name in answer.json], tool, tmp_path / "back")
    found, problems = read_imported(tmp_path / "back")
    assert (len(found), problems) == (len(measured), [])
    expected, came = [], []
    for path in sorted((tmp_path / "run").rglob("results/*/*/*.json")):
        one = load_record(path).record
        if one.status == "ok":
            expected.append({name: part.value for name, part in one.metrics.items() if part.value is not None})
    for one in found:
        names = {v.metric: v.metric.split("/")[-1].removesuffix(",none") for v in one.values}
        came.append({names[v.metric]: v.value for v in one.values if v.value is not None})
    key = lambda held: sorted(held.items())  # noqa: E731
    assert sorted(came, key=key) == sorted(expected, key=key)


def test_lm_eval_itself_reads_what_we_write(tmp_path: Path) -> None:
    records(tmp_path / "run")
    files = convert(tmp_path / "run", "lm-eval", tmp_path / "out").files
    assert len(get_results_filenames([str(path) for path in files])) == len(files)
    assert {get_file_datetime(path.name) for path in files} == {"2026-11-20T12-00-00-00-00.json"}
    for path in files:
        value = json.loads(path.read_text())
        rows = make_table(value).splitlines()
        values = {name.split(",")[0]: v for name, v in value["results"]["gsm_symbolic"].items() if name != "alias"}
        metrics = [name for name in values if not name.endswith("_stderr")]
        assert len(rows) == 2 + len(metrics)
        shown = {row.split("|")[5].strip(): [cell.strip() for cell in row.split("|")] for row in rows[2:]}
        for name in metrics:
            expected = values[name] if isinstance(values[name], str) else f"{values[name]:.4f}"
            assert shown[name][7] == expected
        assert shown["fvu"][6] == "↓"
        assert shown["agree1"][6] == "↑"
        assert shown["l0"][6] == ""


def test_standard_errors_are_those_of_the_jackknife_over_clusters(tmp_path: Path) -> None:
    saved = save(tmp_path / "run", Case(clusters=12), Cell("topk", 0, GOOD))
    (path,) = convert(tmp_path / "run", "lm-eval", tmp_path / "out").files
    scores = json.loads(path.read_text())["results"]["gsm_symbolic"]
    parts = saved.parts()
    top_C, n_C = parts["ce_splice"] - parts["ce_clean"], parts["n_ce"]
    left_out_C = (top_C.sum() - top_C) / (n_C.sum() - n_C)
    assert scores["delta_ce_stderr,none"] == pytest.approx(math.sqrt(11 * np.var(left_out_C)))
    assert scores["dead_frac_stderr,none"] == "N/A", "its interval is over seeds"


def test_what_we_write_has_the_fields_of_saebench_and_names_of_our_own(tmp_path: Path) -> None:
    records(tmp_path / "run")
    for path in convert(tmp_path / "run", "saebench", tmp_path / "out").files:
        value = json.loads(path.read_text())
        assert set(value) == set(CORE)
        assert value["eval_type_id"] == "interp_harness_reconstruction"
        assert 0 <= value["datetime_epoch_millis"] <= 9_999_999_999_999
        for name in ("sae_lens_id", "sae_lens_release_id", "sae_lens_version"):
            assert value[name] is None or isinstance(value[name], str)
        for category, metrics in value["eval_result_metrics"].items():
            assert category == "interp_harness_reconstruction"
            assert all(type(number) is float for number in metrics.values()), "flat, and numbers only"
        assert set(value["eval_result_unstructured"]["not_computable"]).isdisjoint(metrics)


@pytest.mark.parametrize("words", HOSTILE)
@pytest.mark.parametrize("tool", ["saebench", "lm-eval"])
def test_no_record_writes_outside_the_folder(tmp_path: Path, words: str, tool: Tool) -> None:
    saved = save(tmp_path / "run", Case(clusters=12), Cell("topk", 0, GOOD))
    value = json.loads(saved.path.read_text())
    value["method"] |= {"name": words, "of": words}
    value["task"]["name"] = value["cell"] = value["provenance"]["finished"] = words
    saved.path.write_text(json.dumps(value))
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    done = convert(tmp_path / "run", tool, tmp_path / "out")
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert new == set(done.files)
    assert all(path.resolve().is_relative_to(tmp_path / "out") for path in new)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", path.name) for path in new)
    assert words in json.dumps(json.loads(done.files[0].read_text()), ensure_ascii=False).replace("\\u0000", "\0")


def test_metrics_without_a_value_go_out_with_their_reason(tmp_path: Path) -> None:
    saved = save(tmp_path / "run", Case(clusters=12), Cell("topk", 0, GOOD))
    part = saved.record.metrics["kl_splice"].model_copy(update={"value": None, "reason": "no token was spliced"})
    metrics = saved.record.metrics | {"kl_splice": part}
    save_record(tmp_path / "run", saved.record.model_copy(update={"metrics": metrics}), saved.parts())
    (bench,) = convert(tmp_path / "run", "saebench", tmp_path / "bench").files
    value = json.loads(bench.read_text())
    assert value["eval_result_unstructured"]["not_computable"] == {"kl_splice": "no token was spliced"}
    assert "kl_splice" not in value["eval_result_metrics"]["interp_harness_reconstruction"]
    (path,) = convert(tmp_path / "run", "lm-eval", tmp_path / "lm").files
    scores = json.loads(path.read_text())["results"]["gsm_symbolic"]
    assert (scores["kl_splice,none"], scores["kl_splice_stderr,none"]) == ("N/A", "N/A")
