"""What `harness new` writes works as it stands, and writes over nothing; installed packages bring content too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import call

import harness
from harness.api import Method
from harness.registry import check_params, method_class
from harness.scaffold import new_method, new_plugin, new_task
from harness.specs.library import Library
from harness.specs.plugins import GROUP, plugins
from harness.testing import check_dictionary, check_error_probe, check_explainer, check_next_token

ROOT = Path(__file__).resolve().parent.parent
TRACKS = Library().tracks()
KINDS = sorted({kind for track in TRACKS for kind in Library().track(track).kinds})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new method of every kind and a new task of every track."""
    folder = tmp_path_factory.mktemp("made")
    for kind in KINDS:
        new_method(f"my_{kind}", kind, folder)
    for track in TRACKS:
        new_task(f"my_{track}", track, folder)
    return folder


def test_every_track_has_a_task_to_start_from(made: Path) -> None:
    assert {path.stem for path in (made / "tasks").iterdir()} == {f"my_{track}" for track in TRACKS}


def test_new_files_are_valid_at_once(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [path.stem for path in made.glob("*/*.yaml")]
    done = call(capsys, "validate", *names, "--include-path", str(made))
    assert (done.code, done.err) == (0, f"{len(names)} of {len(names)} files are valid\n")


CHECKS: dict[str, Callable[..., Method]] = {
    "dictionary": check_dictionary,
    "error_probe": check_error_probe,
    "explainer": check_explainer,
    "next_token": check_next_token,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_method_keeps_the_contract_at_once(kind: str, made: Path) -> None:
    found = Library([made]).method(f"my_{kind}")
    cls = method_class(found)
    assert cls.__name__ == "My" + "".join(word.capitalize() for word in kind.split("_"))
    needs = {"needs": found.spec.needs} if found.spec.needs else {}
    CHECKS[kind](cls, check_params(found, cls, found.spec.params), seeded=found.spec.seeded, **needs)


@pytest.mark.parametrize("track", TRACKS)
def test_a_new_task_demands_controls_and_measures_a_new_method(
    track: str, made: Path, cache: Path, tmp_path: Path
) -> None:
    library = Library([made])
    task = library.task(f"my_{track}")
    card = library.track(track)
    # The control of a reward is in its arms, and takes a method that is trained by one.
    assert task.controls.floor or card.rewarded
    method = "lens_rl" if card.rewarded else f"my_{card.kinds[0]}"
    # A word of the vocabulary has to be frequent, so traces are read in full, and fewer shifts drawn.
    limit: dict[str, Any] = {"set": {"reasoning.shifts": "100"}} if track == "reasoning" else {"limit": 60}
    limit |= {"set": {"params.ppo.updates": "2"}} if card.rewarded else {}
    model: Any = {} if task.model is None else {"model": "tiny-random", **limit}
    outcome = harness.evaluate(method, task.task, tmp_path, include_path=[made], seeds=[0], controls=False, **model)
    (stored,) = outcome.records
    assert stored.record.status == "ok"
    values = {name: metric.value for name, metric in stored.record.metrics.items()}
    if "l0" in values:
        assert values["l0"] == pytest.approx(stored.record.task.spec["budget"]["l0"], rel=0.01)
    # Of random weights nothing reasons, and nothing that passes can survive.
    assert [name for name, value in values.items() if value is None] in ([], ["rs_survive"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("method", "My-Method"), "begins with a letter. Did you mean 'my_method'?"),
        (("method", "MyMethod"), "Did you mean 'my_method'?"),
        (("method", "2fast"), "begins with a letter. Did you mean 'fast'?"),
        (("method", "../up"), "begins with a letter. Did you mean 'up'?"),
        (("task", "t" * 61), "has up to 60 of a-z, 0-9 and _"),
        (("method", "lambda"), "a word of Python"),
        (("method", "topk"), "the name is taken (see `harness show topk`)"),
        (("task", "world"), "the name is taken"),
        (("plugin", "pca"), "the name is taken"),
        (("task", "mine", "--track", "worlds"), "unknown track 'worlds'. Did you mean 'world'?"),
        (("method", "mine", "--kind", "dictionnary"), "Did you mean 'dictionary'?"),
        (("method", "mine", "--track", "world"), "--track: only a new task has one"),
        (("metod", "mine"), "Did you mean 'method'?"),
    ],
)
def test_what_cannot_be_a_name_is_refused_and_nothing_is_written(
    words: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = call(capsys, "new", *words, "--to", str(tmp_path / "inside"))
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert list(tmp_path.rglob("*")) == []


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even half: the second of two files is there, and the first is not made."""
    mine = tmp_path / "methods" / "mine.yaml"
    mine.parent.mkdir()
    mine.write_text("precious")
    done = call(capsys, "new", "method", "mine", "--to", str(tmp_path))
    assert (done.code, f"'{mine}' is there already; nothing was written" in done.err) == (2, True)
    assert (mine.read_text(), sorted(mine.parent.iterdir())) == ("precious", [mine])


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_steps_are_commands_that_work(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(capsys, "new", "method", "mine", "--to", "my files", "--kind", kind)
    assert done.out.split("\n")[:2] == ["my files/methods/mine.py", "my files/methods/mine.yaml"]
    validate, evaluate = done.err.split("\n")[1:3]
    assert validate.split() == ["harness", "validate", "mine", "--include-path", "'my", "files'"]
    assert call(capsys, "validate", "mine", "--include-path", "my files").code == 0
    task = evaluate.partition("--task ")[2].split()[0]
    assert call(capsys, "eval", "--method", "mine", "--task", task, "--include-path", "my files", "--plan").code == 0


def install(where: Path, package: str, value: str) -> Path:
    """Lay down what an installer leaves of a package: its folder, and the metadata with the entry point."""
    info = where / f"{package}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{package} = {value}\n")
    return where / package


def test_an_installed_package_is_found_listed_and_run(tmp_path: Path) -> None:
    """Built and installed by pip as anybody's package is, in an interpreter of its own."""
    new_plugin("acme_saes", tmp_path)
    new_task("acme_world", "world", tmp_path / "acme_saes" / "acme_saes")
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    built = subprocess.run(
        (*pip, "--target", str(site), str(tmp_path / "acme_saes")), capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{site}", "HARNESS_CACHE": str(tmp_path / "cache")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        words = (sys.executable, "-m", "harness", *words)
        return subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=250, check=False)

    origins = {row["method"]: row["origin"] for row in json.loads(run("list", "methods", "--json").stdout)}
    assert origins["acme_saes"] == "acme-saes 0.1.0"
    assert {origin for name, origin in origins.items() if name != "acme_saes"} == {"interp-harness"}
    short = ("--seeds", "0", "--no-controls", "--set", "budget.train_tokens=4096", "--set", "budget.passes=1")
    done = run("eval", "--method", "acme_saes", "--task", "acme_world", *short, "--json")
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)
    # The name does not depend on where the package lies.
    assert record["method"]["name"] == "acme_saes-679693fc"
    (path,) = (tmp_path / "runs").rglob("seed0-*.json")
    assert run("verify", str(path)).returncode == 0


def test_finding_a_package_runs_none_of_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = install(tmp_path, "acme_code", "acme_code.deep.content") / "deep" / "content" / "methods"
    inside.mkdir(parents=True)
    for folder in (inside.parents[2], inside.parents[1], inside.parents[0]):
        (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (inside / "acme.yaml").write_text("method: acme\nvariant_of: topk\ntitle: Ours\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    library = Library()
    assert library.origin("methods", "acme") == "acme_code 1.2"
    assert library.method("acme").spec.title == "Ours"


def test_a_name_of_ours_is_refused_from_a_package_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = install(tmp_path, "acme_clash", "acme_clash") / "methods"
    methods.mkdir(parents=True)
    (methods.parent / "__init__.py").touch()
    (methods / "pca.yaml").write_text("method: pca\nvariant_of: topk\ntitle: Not ours\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    done = call(capsys, "list", "methods")
    assert done.code == 2
    assert "method 'pca' of the installed package 'acme_clash' is already defined in" in done.err
    assert "Traceback" not in done.err


def test_a_metric_of_ours_is_refused_from_a_package(tmp_path: Path) -> None:
    """In an interpreter of its own: a metric, once registered, stays."""
    metrics = install(tmp_path, "acme_metrics", "acme_metrics") / "metrics"
    metrics.mkdir(parents=True)
    (metrics.parent / "__init__.py").touch()
    text = (
        "from harness.metrics.contract import metric\n\n"
        '@metric(unit="1", direction="up", formula="x", needs=(), tracks=(), source="x", null="x")\n'
        'def NAME(parts, w):\n    """One."""\n'
    )
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}

    def run() -> subprocess.CompletedProcess[str]:
        words = (sys.executable, "-m", "harness", "list", "metrics", "--json")
        return subprocess.run(words, env=env, capture_output=True, text=True, timeout=100, check=False)

    (metrics / "own.py").write_text(text.replace("NAME", "acme_metric"))
    assert "acme_metric" in {row["metric"] for row in json.loads(run().stdout)}
    (metrics / "own.py").write_text(text.replace("NAME", "fvu"))
    done = run()
    assert done.returncode == 2
    assert f"{metrics / 'own.py'} cannot be imported: ValueError: metric 'fvu' is defined twice" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("value", "says"),
    [("nowhere_at_all", "is not a package that can be imported"), ("acme_empty", "holds none of the folders methods")],
)
def test_a_package_without_content_is_named_and_the_doctor_says_so(
    value: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = install(tmp_path, "acme_empty", value)
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [plugin.package for plugin in plugins()] == ["acme_empty"]
    done = call(capsys, "list", "tasks")
    assert done.code == 2
    assert f"package 'acme_empty' names '{value}' under {GROUP}, which {says}" in done.err
    doctor = {check["what"]: check for check in call(capsys, "doctor", "--json").json}
    assert doctor["plug-in acme_empty"]["ok"] is False
    assert says in doctor["plug-in acme_empty"]["found"]
