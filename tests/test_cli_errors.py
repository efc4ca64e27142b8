"""A user's mistake is one line on stderr and exit code 2, before torch is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import call
from running import PLUGINS
from spec_files import DERIVED, METHOD, TASK, edit, line_of, write_content, write_rows

# One process for all calls: what is asked for is that none of them has imported torch when it is refused.
CALLS = """
import contextlib, io, json, sys
from harness.cli import main
answers = []
for words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as stopped:
            code = stopped.code
    heavy = [name for name in ("torch", "transformers", "datasets") if name in sys.modules]
    answers.append({"code": code, "out": out.getvalue(), "err": err.getvalue(), "heavy": heavy})
json.dump(answers, sys.stdout)
"""

NO_ROWS = edit(TASK, ("task: made", "task: empty"), ("path: rows", "path: empty"))
COLUMN = edit(TASK, ("task: made", "task: column"), ("{{ text }}", "{{ txet }}"))
GROUPS = edit(TASK, ("task: made", "task: groups"), ("path: rows", "path: few"))
KEY = edit(TASK, ("task: made", "task: key"), ("metrics:", "metrisc:"))
TWICE = edit(TASK, ("task: made", "task: twice"), ("seeds: [0, 1]", "seeds: [0, 1]\ntitle: Again"))
METRIC = edit(TASK, ("task: made", "task: metric"), ("[fvu, l0]", "[fvu, l00]"))
TASKS = {"made": TASK, "empty": NO_ROWS, "column": COLUMN, "groups": GROUPS, "metric": METRIC}
BROKEN = {"made": TASK, "key": KEY, "twice": TWICE}
BAD_METHOD = "method: bad\nvariant_of: nought\ntitle: Bad\nparams: {sise: 2}\n"


def words(text: str = "", **options: str) -> list[str]:
    """Return an eval call in which all is right but for what is given."""
    right = {"method": "nought", "task": "made", "include-path": "content", **options}
    return ["eval", *(f"--{name}={value}" for name, value in right.items() if value), *text.split()]


WRONG: dict[str, tuple[list[str], str]] = {
    "command": (["evl"], "unknown command 'evl'. Did you mean 'eval'? Allowed: audit, "),
    "listing": (["list", "method"], "unknown listing 'method'. Did you mean 'methods'?"),
    "shown": (["show", "fvuu"], "unknown method, task, track or metric 'fvuu'. Did you mean 'fvu'?"),
    "validated": (["validate", "fvuu"], "unknown method or task 'fvuu'."),
    "model asked": (["model", "info", "tiny_random"], "unknown model 'tiny_random'. Did you mean 'tiny-random'?"),
    "model command": (["model", "fetc"], "no such command 'fetc'. Did you mean 'fetch'? See 'harness model --help'."),
    "option": ([*words(), "--sede", "1"], "no such option '--sede'."),
    "no option": (["eval", "--task", "made"], "missing option '--method'. See 'harness eval --help'."),
    "no value": (["eval", "--task"], "option '--task' requires an argument."),
    "no argument": (["show"], "missing argument 'NAME'. See 'harness show --help'."),
    "further argument": (["schema", "task"], "got unexpected extra argument (task). See 'harness schema --help'."),
    "method": (words(method="nougt"), "unknown method 'nougt'. Did you mean 'nought'? Allowed: "),
    "one of two methods": (words(method="nought,nougt"), "unknown method 'nougt'."),
    "no method": (words(method=","), "--method: give at least one method"),
    "derived method": (words(method="shadow"), "'shadow' is built from another method: name that one, and the task"),
    "task": (words(task="maed"), "unknown task 'maed'. Did you mean 'made'? Allowed: "),
    "file": (words(task="absent.yaml"), "task file 'absent.yaml' does not exist"),
    "metric": (words(task="metric"), f"content/tasks/metric.yaml:{line_of(METRIC, 'l00')}: unknown metric of track "),
    "model": (words(model="smollm2-135m-instruc"), "unknown model 'smollm2-135m-instruc'. Did you mean 'smollm2-135m-"),
    "model folder": (words(model="./absent"), "model './absent': no such file or folder."),
    "revision": (words(revision="main"), "model 'tiny-random' is not on the hub, so it has no revision (got 'main')."),
    "layer": (words(layers="0,99"), "--layers: layer 99 is out of range; model 'tiny-random' has blocks 0.."),
    "layers": (words(layers="all"), "--layers: give whole numbers separated by commas, got 'all'"),
    "negative layer": (words(layers="-1"), "--layers: numbers start from 0, got -1"),
    "layer twice": (words(layers="0,0"), "--layers: 0 is given twice"),
    "seeds": (words(seeds="0,x"), "--seeds: give whole numbers separated by commas, got '0,x'"),
    "empty seed": (words(seeds="0,"), "--seeds: give whole numbers separated by commas, got '0,'"),
    "seed twice": (words(seeds="1,0,1"), "--seeds: 1 is given twice"),
    "derived seeds": (words(**{"derived-seeds": "0.5"}), "--derived-seeds: give whole numbers separated by commas"),
    "dtype": (words(dtype="float33"), "dtype 'float33' is not known. Allowed: float32, bfloat16, float16, int8."),
    "limit": (words(limit="0"), "invalid value for '--limit': 0 is not in the range x>=1."),
    "limit word": (words(limit="ten"), "invalid value for '--limit': 'ten' is not a valid"),
    "batch size": (words(**{"batch-size": "-3"}), "invalid value for '--batch-size': -3 is not in the range x>=1."),
    "set key": (words(set="bugdet.l0=3"), "--set bugdet.l0=3: unknown key 'bugdet' in a task. Did you mean 'budget'?"),
    "set value": (words(set="budget.l0=x"), "--set budget.l0=x: 'budget.l0': input should be a valid integer, got 'x'"),
    "set word": (words(set="budget.l0"), "--set: write key=value, as in --set budget.l0=32, got 'budget.l0'"),
    "set nothing": (words(set="=3"), "--set: write key=value"),
    "set twice": (words("--set budget.l0=1 --set budget.l0=2"), "--set: key 'budget.l0' is given twice"),
    "set parameter": (
        words(set="params.sise=3"),
        "--set params: method 'nought' has no parameter 'sise'. Did you mean",
    ),
    "set inner": (words(set="params.optim.lrr=3"), "--set params: method 'nought' has no parameter 'optim.lrr'."),
    "set both": (words("--set params.a=1 --set params.a.b=2"), "--set params.a.b: 'a' is given a value of its own"),
    "no rows": (words(task="empty"), "task 'empty': the data set 'empty' is empty: there are no rows."),
    "column": (words(task="column"), "task 'column': 'text' names the column 'txet', which the data do not have. Did"),
    "groups": (words(task="groups"), "task 'groups': the source has 2 group(s) in 2 documents, too few for"),
    "data folder": (
        words(set="data.path=absent"),
        "'absent' is not a folder, here or under --data-dir (it should hold",
    ),
    "data dir": (words(**{"data-dir": "absent"}), "--data-dir (HARNESS_DATA): 'absent' is not a folder"),
    "checkpoint": (words(method="path:"), "--method: 'path:' wants the folder of a dictionary behind it."),
    "include path": (["list", "tasks", "--include-path=absent"], "--include-path: 'absent' is not a folder"),
    "include folder": (["list", "tasks", "--include-path=rows"], "--include-path: 'rows' holds none of the folders"),
    "key": (
        words(task="broken/tasks/key.yaml"),
        f"key.yaml:{line_of(KEY, 'metrisc')}: unknown key 'metrisc' in a task",
    ),
    "key twice": (
        words(task="broken/tasks/twice.yaml"),
        f"twice.yaml:{line_of(TWICE, 'Again')}: duplicate key 'title' (first on line {line_of(TWICE, 'title')})",
    ),
    "method file": (words(method="broken/methods/bad.yaml"), "bad.yaml:4: method 'nought' has no parameter 'sise'."),
    "no choice": (
        ["convert", "absent"],
        "missing option '--format'. Choose from: saebench, lm-eval. See 'harness conv",
    ),
    "leaderboard": (["leaderboard", "absent"], "'absent' holds no results; give a folder that `harness eval --output"),
    "output file": (words(**{"output-path": "rows/all.jsonl"}), "--output-path: 'rows/all.jsonl' is a file, not a fol"),
}

# Right calls that need no torch either.
LIGHT = {
    "plan": words("--plan --json"),
    "methods": ["list", "methods", "--json"],
    "metrics": ["list", "metrics", "--json"],
    "models": ["list", "models", "--json"],
    "shown": ["show", "made", "--include-path=content"],
    "schema": ["schema"],
    "model": ["model", "info", "tiny-random"],
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("calls")
    methods = {"nought": METHOD, "shadow": DERIVED}
    write_content(folder / "content", TASKS, methods)
    write_content(folder / "broken", BROKEN, {"nought": METHOD, "bad": BAD_METHOD})
    write_rows(folder / "rows")
    write_rows(folder / "few", 2)
    write_rows(folder / "empty", 0)
    named = {f"wrong {name}": words for name, (words, _) in WRONG.items()}
    named |= {f"light {name}": words for name, words in LIGHT.items()}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HARNESS_")}
    done = subprocess.run(
        [sys.executable, "-c", CALLS],
        input=json.dumps(list(named.values())),
        env={**environment, "HARNESS_CACHE": str(folder / "cache")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "runs").exists()
    assert not (folder / "cache").exists()
    return dict(zip(named, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_one_line_and_exit_code_2(answers: dict[str, dict[str, Any]], name: str) -> None:
    answer = answers[f"wrong {name}"]
    first, *others = answer["err"].splitlines()
    assert WRONG[name][1] in first
    assert first.startswith("harness: ")
    assert others == (["0 of 1 files are valid"] if name == "validated" else [])
    assert (answer["code"], answer["out"]) == (2, "")


@pytest.mark.parametrize("name", [*(f"wrong {name}" for name in WRONG), *(f"light {name}" for name in LIGHT)])
def test_torch_is_not_imported_for_a_mistake_or_a_listing(answers: dict[str, dict[str, Any]], name: str) -> None:
    assert answers[name]["heavy"] == []


@pytest.mark.parametrize("name", LIGHT)
def test_what_needs_no_model_prints_data_on_stdout_and_nothing_else(
    answers: dict[str, dict[str, Any]], name: str
) -> None:
    answer = answers[f"light {name}"]
    assert (answer["code"], answer["err"]) == (0, "")
    json.loads(answer["out"])


def test_the_folder_of_an_audit_is_named_by_the_option_that_gave_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    for option in ("--output-path", "--cards"):
        answer = call(capsys, "audit", "fvu", "--records-only", option, str(file))
        assert (answer.code, answer.out) == (2, "")
        assert answer.err == f"harness: {option}: '{file}' is a file, not a folder\n"


def test_a_parameter_of_the_wrong_type_costs_no_model(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--method=toys", "--task=toy_task", f"--include-path={PLUGINS}", f"--output-path={tmp_path / 'run'}"]
    answer = call(capsys, "eval", *asked, "--set", "params.factor=half")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("harness: method 'toys': parameter 'factor': input should be a valid number")
    assert not cache.exists()
    assert not (tmp_path / "run").exists()
