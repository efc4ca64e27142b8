"""The pages of tracks are what the cards say, and the committed ones are those that the command writes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from commands import call

from harness.cli.commands import cli
from harness.docs import Specs, fits, track_page, write_docs
from harness.metrics.contract import all_metrics, metric
from harness.specs.library import Library

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "docs" / "tracks"


def test_the_committed_pages_are_those_the_command_writes(tmp_path: Path) -> None:
    """Where this fails: `harness docs docs/tracks`."""
    written = write_docs(Library(), tmp_path)
    assert {path.name for path in written} == {path.name for path in COMMITTED.iterdir()}
    assert [path.name for path in written if path.read_bytes() != (COMMITTED / path.name).read_bytes()] == []


def test_every_metric_has_a_formula_of_one_line() -> None:
    formulas = {name: m.formula for name, m in all_metrics().items()}
    assert len(formulas) == len(set(formulas.values())) > 40
    assert [name for name, text in formulas.items() if not text.strip() or "\n" in text or len(text) > 110] == []
    # A formula that names a metric names itself or one that exists.
    heads = {name: text.partition(" = ")[0] for name, text in formulas.items() if " = " in text.split(",")[0]}
    assert {name: head for name, head in heads.items() if " " not in head and head != name} == {}


def test_a_metric_without_a_formula_is_refused() -> None:
    with pytest.raises(TypeError, match="formula"):
        metric(unit="1", direction="up", needs=(), tracks=(), source="x", null="x")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="'nothing' has no formula"):

        @metric(unit="1", direction="up", formula=" ", needs=(), tracks=(), source="x", null="x")
        def nothing(parts, w):  # type: ignore[no-untyped-def]
            """Nothing."""

    assert "nothing" not in all_metrics()


def test_the_formulas_of_reconstruction_are_what_is_computed() -> None:
    """Each formula, computed from activations as it is written down, is what its function makes of their sums."""
    rng = np.random.default_rng(0)
    x_ND, cluster_N = rng.normal(1.0, 2.0, (60, 5)), np.repeat(np.arange(6), 10)
    xhat_ND = 0.8 * x_ND + rng.normal(0.1, 0.3, x_ND.shape)
    e_ND, sum_C = x_ND - xhat_ND, np.equal.outer(np.arange(6), cluster_N).astype(float)
    cos_N = (x_ND * xhat_ND).sum(1) / (np.linalg.norm(x_ND, axis=1) * np.linalg.norm(xhat_ND, axis=1))
    parts = {
        "n": sum_C.sum(1), "width": np.array(5.0), "cos": sum_C @ cos_N, "xxhat": sum_C @ (x_ND * xhat_ND).sum(1),
        **{k: sum_C @ (v_ND**2).sum(1) for k, v_ND in (("se", e_ND), ("sxx", x_ND), ("x2", x_ND), ("xhat2", xhat_ND))},
        **{name: (sum_C @ v_ND) @ (sum_C @ v_ND).T for name, v_ND in (("x_gram", x_ND), ("e_gram", e_ND))},
    }  # fmt: skip
    spread = ((x_ND - x_ND.mean(0)) ** 2).sum()
    expected = {
        "fvu": (e_ND**2).sum() / spread,
        "fvu_centred": ((e_ND - e_ND.mean(0)) ** 2).sum() / spread,
        "se_token": (e_ND**2).sum(1).mean(),
        "mse_elem": (e_ND**2).sum() / (60 * 5),
        "mse_elem_norm": (e_ND**2).sum() / (x_ND**2).sum(),
        "cosine": cos_N.mean(),
        "rrb": (xhat_ND**2).sum() / (x_ND * xhat_ND).sum(),
    }
    found = {name: all_metrics()[name].point(parts)[0] for name in expected}
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_page_holds_what_its_track_measures_and_nothing_else() -> None:
    library = Library()
    read = Specs.of(library)
    track_of = {task: library.task(task).track for task in library.names("tasks")}
    specs = {method: library.method(method).spec for method in library.names("methods")}
    for name in library.tracks():
        card = library.track(name)
        page = track_page(card, read)
        metrics = {m.name for m in all_metrics().values() if name in m.tracks}
        tasks = {task for task, track in track_of.items() if track == name}
        assert {line[5:-1] for line in page.splitlines() if line.startswith("### `")} == metrics | tasks
        assert all(f"    {all_metrics()[metric].formula}\n" in page for metric in metrics)
        rows = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
        assert rows == {method for method, spec in specs.items() if fits(spec, card)}


def test_controls_that_say_nothing_on_a_track_are_not_on_its_page() -> None:
    library = Library()
    card = {name: library.track(name) for name in library.tracks()}
    specs = {method: library.method(method).spec for method in library.names("methods")}
    found = {name: {m for m, spec in specs.items() if fits(spec, card[name])} for name in card}
    assert "permuted_decoder" in found["reconstruction"] - found["reasoning"]
    assert "oracle" in found["world"] - found["reconstruction"]
    assert "random_model" in found["reconstruction"] - found["world"]


def test_hostile_words_of_a_method_stay_words(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "odd.yaml").write_text(
        'method: odd\nvariant_of: topk\ntitle: "<img src=x onerror=alert(1)> | a\\nb"\n', encoding="utf-8"
    )
    library = Library([tmp_path])
    page = track_page(library.track("world"), Specs.of(library))
    (row,) = [line for line in page.splitlines() if line.startswith("| `odd`")]
    assert row.startswith("| `odd` | &lt;img src=x onerror=alert(1)> \\| a b | arXiv")


def test_the_command_writes_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = call(capsys, "docs", str(tmp_path / "out"))
    assert done.code == 0
    assert sorted(done.out.split()) == sorted(str(path) for path in (tmp_path / "out").iterdir())
    (tmp_path / "file").write_text("x")
    done = call(capsys, "docs", str(tmp_path / "file"))
    assert (done.code, "is a file, not a folder" in done.err) == (2, True)


def guide() -> list[list[str]]:
    """Return the words of every `harness` call of the guide."""
    text = (ROOT / "docs" / "first-comparison.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith(".venv/bin/harness ")]


def test_every_command_of_the_guide_is_one_that_parses_and_names_what_there_is() -> None:
    library, context = Library(), cli.make_context("harness", [], resilient_parsing=True)
    calls = guide()
    assert len(calls) > 8
    for name, *words in calls:
        command = cli.get_command(context, name)
        assert command is not None, name
        given = command.make_context(name, list(words), parent=context).params
        methods = [word for word in (given.get("method") or "").split(",") if word not in ("", "my_method")]
        assert {*methods} <= {*library.names("methods")}
        assert {*filter(None, (given.get("task") or "").split(","))} <= {*library.names("tasks")}
