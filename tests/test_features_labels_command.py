"""``harness features --judge --ratings`` from the command to the page, against a real server, on the tiny model."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Answer, call
from judges import HASTY, Reply, kind, pieces, serve, yes

from harness.content import PACKAGE
from harness.features.making import prepare_features
from harness.specs.code import with_imports
from harness.specs.features import FeatureFile
from harness.stats.proportions import wilson
from harness.store.features import load_features, save_features, windows_path

SETS = {
    "budget.latents": "32", "budget.l0": "4", "budget.passes": "1", "budget.context": "96",
    "budget.train_tokens": "2000", "budget.val_tokens": "500", "budget.test_tokens": "14000",
    "budget.splice_tokens": "1000", "budget.density_tokens": "14000",
}  # fmt: skip
COMMAND = [
    "features", "topk", "--task", "gsm_symbolic", "--model", "tiny-random", "--limit", "400", "--seeds", "0",
    *(word for key, value in SETS.items() for word in ("--set", f"{key}={value}")),
]  # fmt: skip


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, FeatureFile]]:
    """The data file of a call, in a run folder, made once."""
    folder = tmp_path_factory.mktemp("labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        patch.setattr("harness.features.endpoint.Patience.__init__.__defaults__", tuple(vars(HASTY).values()))
        options = {"model": "tiny-random", "seeds": [0], "limit": 400, "set": SETS}
        made = prepare_features("topk", "gsm_symbolic", folder / "runs", options, None)  # type: ignore[arg-type]
        save_features(made.data_path, made.collect(lambda *_: None, "test"))
        yield made.data_path, load_features(made.data_path)


@pytest.fixture
def data(read: tuple[Path, FeatureFile], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data file as it was read, whatever other tests added to it, and a model that cannot be read again."""

    def refuse(*words: object) -> None:
        raise AssertionError("the model is read")

    monkeypatch.setattr("harness.features.making.PreparedFeatures.collect", refuse)
    path, file = read
    save_features(path, file)
    return path


def blind(request: dict[str, Any]) -> str:
    """Give every latent a label of its own, and answer by lot."""
    lot = random.Random(str(request["messages"]))
    if kind(request) == "label":
        return f"[EXPLANATION]: label {lot.random()}"
    return str([lot.randint(0, 1) for _ in pieces(request)])


def features(capsys: pytest.CaptureFixture[str], data: Path, *words: str) -> Answer:
    return call(capsys, *COMMAND, "--output-path", str(data.parents[3]), "--json", *words)


def test_a_judge_is_asked_about_a_sample_and_never_twice(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_JUDGE_KEY", "sk-secret")
    with serve(blind) as server:
        words = ["--judge", server.url, "--judge-model", "some/judge", "--judge-latents", "3"]
        first = features(capsys, data, *words)
        assert first.code == 0, first.err
        assert {headers["authorization"] for headers in server.headers} == {"Bearer sk-secret"}
        (layer,) = load_features(data).layers
        asked, labels = len(server.seen), sum(kind(request) == "label" for request in server.seen)
        assert (labels, asked) == (3, 3 + 3 * 60)
        assert features(capsys, data, *words).code == 0
        assert len(server.seen) == asked
        page = data.with_suffix(".html").read_text()
        few = next(f.index for f in layer.features if f.label is None)
        more = features(capsys, data, *words, "--judge-also", str(few))
        assert more.code == 0
        assert len(server.seen) == asked
    judge = layer.judge
    assert judge is not None
    assert (judge.model, judge.sampled, judge.labelled) == ("some/judge", 3, 3)
    assert first.json["layers"][0]["judge"]["coverage"] == judge.coverage
    assert [side.name for side in judge.sides] == ["judge", "lexical"]
    judged = [f for f in layer.features if f.judged]
    assert len(judged) == 3
    tests = [t for f in judged if f.judged for t in (f.judged.detection, f.judged.fuzzing, f.judged.permuted) if t]
    # Nine times 100 answers by lot: a standard error of .017.
    assert len(tests) == 9
    assert sum(test.balanced for test in tests) / 9 == pytest.approx(0.5, abs=0.06)
    assert judge.coverage == 0
    assert judge.hi == pytest.approx(judge.open / layer.own.alive * wilson(0, 3)[1], abs=1e-4)
    assert "some/judge was asked about 3 latents" in page
    (with_few,) = load_features(data).layers
    assert with_few.judge is not None
    assert (with_few.judge.asked, with_few.judge.sampled, with_few.judge.coverage) == ([few], 3, judge.coverage)
    refused = with_few.features[few].judged
    assert refused is not None
    assert "too few windows" in str(refused.reason)
    for path in [
        *data.parents[3].rglob("*.json"),
        *data.parents[3].rglob("*.html"),
        *data.parents[4].rglob("judge/**/*.json"),
    ]:
        text = path.read_text()
        assert "sk-secret" not in text
        assert server.url not in text


def test_an_endpoint_that_goes_away_costs_nothing_that_was_paid(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(range(70))
    with serve(lambda r: yes(r) if next(left, None) is not None else Reply(503, b"tired")) as server:
        words = ["--judge", server.url, "--judge-model", "yes", "--judge-latents", "2"]
        broken = features(capsys, data, *words)
        assert broken.code == 1
        assert "stays busy: HTTP 503, 'tired'; its answers so far are kept, call it again to go on" in broken.err
        assert "Traceback" not in broken.err
        assert Path(broken.json["page"]).is_file()
        assert load_features(data).layers[0].judge is None
    with serve(yes) as server:
        words[1] = server.url
        again = features(capsys, data, *words)
        assert again.code == 0, again.err
        # Both latents have the same label, so that the control asks what detection asks, and nothing is asked twice.
        assert len(server.seen) == 2 + 2 * 40 - 70
    judged = [f.judged for f in load_features(data).layers[0].features if f.judged]
    assert [(one.detection.balanced, one.fuzzing.balanced) for one in judged if one.detection and one.fuzzing] == [
        (0.5, 0.5)
    ] * 2


def test_ratings_are_added_without_the_model_and_stay(
    data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = tmp_path / "people.csv"
    table.write_text("latent,rating,rater\n1,4,ada\n1,5,ben\n2,1,ada\n2,2,ben\n3,3,ada\n")
    first = features(capsys, data, "--ratings", str(table))
    assert first.code == 0, first.err
    assert first.json["layers"][0]["ratings"]["rated"] == 3
    assert "there already" in first.err
    second = features(capsys, data)
    assert second.json == first.json
    page = Path(second.json["page"]).read_text()
    assert "5 ratings of 3 latents by 2 named raters, on a scale from 1 to 5" in page
    table.write_text("latent,rating\n32,4\n")
    wrong = features(capsys, data, "--ratings", str(table))
    assert (wrong.code, wrong.out) == (2, "")
    assert "people.csv, line 2, column latent: block" in wrong.err
    assert load_features(data).layers[0].ratings is not None


def test_windows_that_are_gone_are_read_again_and_ratings_stay(
    read: tuple[Path, FeatureFile], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data, file = read
    save_features(data, file)
    table = tmp_path / "people.csv"
    table.write_text("latent,rating\n1,4\n")
    assert features(capsys, data, "--ratings", str(table)).code == 0
    windows = windows_path(data, file.layers[0].layer)
    before = windows.read_bytes()
    windows.unlink()
    with serve(yes) as server:
        words = ["--judge", server.url, "--judge-model", "yes", "--judge-latents", "1"]
        assert features(capsys, data, *words).code == 0
    assert windows.read_bytes() == before
    (layer,) = load_features(data).layers
    assert layer.ratings is not None
    assert layer.judge is not None


WRONG = {
    "address": (["--judge", "localhost:8000", "--judge-model", "m"], "--judge: give a URL such as http://localhost"),
    "secret": (["--judge", "http://a:b@host/v1", "--judge-model", "m"], "without user, query and fragment"),
    "no name": (["--judge", "http://host/v1"], "--judge-model NAME is needed"),
    "no address": (["--judge-model", "m"], "need --judge URL"),
    "also": (["--judge", "http://host/v1", "--judge-model", "m", "--judge-also", "x"], "--judge-also: give whole"),
    "count": (["--judge-latents", "-1"], "--judge-latents"),
    "ratings": (["--ratings", "nowhere.csv"], "'nowhere.csv' cannot be read"),
    "scale": (["--scale", "five"], "--scale: give the least and the largest rating"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_mistakes_are_told_before_anything_is_read(
    case: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words, said = WRONG[case]
    found = call(capsys, *COMMAND, *words)
    assert (found.code, found.out) == (2, "")
    assert said in found.err
    assert found.err.startswith("harness: ")
    assert not (tmp_path / "runs").exists()


def test_the_variable_of_the_key_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert "HARNESS_JUDGE_KEY" in call(capsys, "features", "--help").out


def test_how_a_judge_is_asked_does_not_make_a_data_file_old() -> None:
    """What decides the name of a data file is the code that reads the model, not that which adds to the file later."""
    decides = {path.name for path in with_imports(PACKAGE / "features" / "making.py", "features")}
    assert {"collect.py", "labels.py", "lexical.py", "exhibits.py", "matching.py"} <= decides
    every = {path.name for path in (PACKAGE / "features").glob("*.py")}
    added = {"asking.py", "endpoint.py", "judged.py", "judging.py", "questions.py", "ratings.py"}
    assert every - decides == {*added, "__init__.py"}
