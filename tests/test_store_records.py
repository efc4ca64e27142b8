"""Records on disk: strict JSON that comes back as it was, with parts that are the ones it was written with."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import UserError
from harness.metrics.contract import Array
from harness.specs.record import (
    SCHEMA,
    DataPart,
    MarginPart,
    MethodPart,
    MetricPart,
    ModelPart,
    Provenance,
    Record,
    SplitPart,
    StagePart,
    TaskPart,
)
from harness.store.files import sha256_file
from harness.store.records import BrokenRecordError, find_records, load_record, record_path, save_record

CELL = "0123456789abcdef01234567"
PARTS: dict[str, Array] = {"n": np.array([3.0, 4.0]), "se": np.array([0.1, 0.7]), "x_gram": np.eye(3) / 3}
SPLIT = SplitPart(documents=3, groups=2, tokens=30, cut=0, left_out=0)
METRIC = MetricPart(value=0.5, lo=0.4, hi=0.6, interval="clusters", unit="1", direction="down", version=1, source="x")


def made(**changes: Any) -> Record:
    """Return a record; ``changes`` replace its fields."""
    method = MethodPart(
        name="topk",
        title="TopK",
        kind="dictionary",
        source="tests",
        role=None,
        of=None,
        seeded=True,
        causal=True,
        params={"lr": 1e-3, "groups": [1, 2]},
        identity="id",
    )
    model = ModelPart(
        name="tiny",
        label="random",
        fingerprint="f",
        blocks=2,
        width=4,
        dtype="float32",
        layer=0,
        hidden_state=1,
        at="resid_post",
    )
    data = DataPart(
        source="folder",
        name="rows",
        config=None,
        revision=None,
        mirror=None,
        fingerprint="f",
        splits={"test": SPLIT},
        clusters=2,
        mask={"first": "drop"},
    )
    provenance = Provenance(
        version="0",
        commit=None,
        dirty=None,
        python="3",
        libraries={"torch": "2"},
        platform="p",
        device="cpu",
        threads=1,
        batch_tokens=128,
        command="harness eval",
        started="now",
        finished="then",
    )
    fields: dict[str, Any] = {
        "cell": CELL,
        "status": "ok",
        "seed": 1,
        "task": TaskPart(name="made", title="Made", version=1, track="t", table="b", spec={"text": "ü", "l0": 4}),
        "method": method,
        "model": model,
        "data": data,
        "fit": {"parameters": 8.0},
        "metrics": {"fvu": METRIC},
        "margins": {"fvu": MarginPart(control=None, value=None, reason="no control was run")},
        "bars": {"fvu": True, "l0": None},
        "details": {"tokens": 7.0},
        "warnings": ("one", "two"),
        "stages": {"fit": StagePart(seconds=1.0, peak_mb=None, shared=False)},
        "provenance": provenance,
    }
    return Record(**{**fields, **changes})


def strict(path: Path) -> dict[str, Any]:
    """Read JSON as the standard has it: without NaN and Infinity."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    return value


def test_a_record_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = save_record(tmp_path, made(), PARTS)
    found = load_record(saved.path)
    assert found == saved
    names = {"parts", "parts_sha256"}
    assert found.record.model_dump(exclude=names) == made().model_dump(exclude=names)
    assert found.record.parts_sha256 == sha256_file(saved.path.with_suffix(".npz"))
    for name, value in found.parts().items():
        np.testing.assert_allclose(value, PARTS[name], rtol=1e-7 if name.endswith("gram") else 0)
        assert value.dtype == np.float64
    assert set(found.parts()) == set(PARTS)


def test_a_record_without_parts_has_no_table(tmp_path: Path) -> None:
    saved = save_record(tmp_path, made(status="failed", reason="it broke", metrics={}), {})
    assert [path.name for path in saved.path.parent.iterdir()] == [saved.path.name]
    assert load_record(saved.path).parts() == {}


def test_a_record_is_called_after_method_seed_and_cell(tmp_path: Path) -> None:
    record = made()
    assert record_path(tmp_path, record) == tmp_path / "results" / "made" / "topk" / "seed1-0123456789ab.json"
    derived = made(method=record.method.model_copy(update={"name": "shadow", "of": "topk"}))
    expected = tmp_path / "results" / "made" / "shadow" / "of-topk-seed1-0123456789ab.json"
    assert record_path(tmp_path, derived) == expected


def test_records_are_found_in_order_and_temporary_files_are_none(tmp_path: Path) -> None:
    paths = [save_record(tmp_path, made(seed=seed), PARTS).path for seed in (2, 0, 1)]
    (paths[0].parent / ".seed9-x.json.abc.tmp").write_text("half")
    (paths[0].parent / ".seed9-x.json").write_text("half")
    assert list(find_records(tmp_path)) == sorted(paths)
    assert list(find_records(tmp_path / "absent")) == []


def test_numbers_that_are_not_finite_are_left_out_with_a_warning(tmp_path: Path) -> None:
    record = made(fit={"parameters": 8.0, "loss": math.nan}, details={"ratio": math.inf, "tokens": 7.0})
    saved = save_record(tmp_path, record, PARTS)
    strict(saved.path)
    assert saved.record.fit == {"parameters": 8.0}
    assert saved.record.details == {"tokens": 7.0}
    assert saved.record.warnings == ("one", "two", "left out, not finite: fit.loss, details.ratio")
    assert load_record(saved.path) == saved


def test_an_infinite_bound_of_an_interval_is_null_in_memory_as_on_disk(tmp_path: Path) -> None:
    metric = METRIC.model_copy(update={"lo": -math.inf, "hi": math.nan})
    saved = save_record(tmp_path, made(metrics={"fvu": metric}), PARTS)
    assert (saved.record.metrics["fvu"].lo, saved.record.metrics["fvu"].hi) == (None, None)
    assert strict(saved.path)["metrics"]["fvu"]["value"] == 0.5
    assert load_record(saved.path) == saved


def test_an_infinite_parameter_is_kept_as_its_word(tmp_path: Path) -> None:
    method = made().method.model_copy(update={"params": {"clip": math.inf, "optim": {"bounds": [-math.inf, 1.0]}}})
    saved = save_record(tmp_path, made(method=method), PARTS)
    assert strict(saved.path)["method"]["params"] == {"clip": ".inf", "optim": {"bounds": ["-.inf", 1.0]}}
    assert load_record(saved.path) == saved


def test_altered_or_missing_parts_are_broken(tmp_path: Path) -> None:
    saved = save_record(tmp_path, made(), PARTS)
    table = saved.path.with_suffix(".npz")
    data = table.read_bytes()
    for position in (0, len(data) // 2, len(data) - 1):
        table.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with pytest.raises(BrokenRecordError, match=r"\.npz is missing or is not the file that seed1-"):
            load_record(saved.path).parts()
    table.write_bytes(data[:-1])
    with pytest.raises(BrokenRecordError):
        load_record(saved.path).parts()
    table.unlink()
    with pytest.raises(BrokenRecordError):
        load_record(saved.path).parts()


@pytest.mark.parametrize("left", [0.0, 0.2, 0.5, 0.99])
def test_a_torn_record_is_broken(tmp_path: Path, left: float) -> None:
    path = save_record(tmp_path, made(), PARTS).path
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * left)])
    with pytest.raises(BrokenRecordError, match="is not a whole record"):
        load_record(path)


@pytest.mark.parametrize("text", ["[]", "null", '"x"', "3", "{}", "\xff"])
def test_garbage_is_broken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BrokenRecordError, match="is not a whole record"):
        load_record(path)
    with pytest.raises(BrokenRecordError, match="is not a whole record"):
        load_record(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "change", [{"status": "fine"}, {"seed": "x"}, {"cell": None}, {"extra": 1}, {"fit": []}], ids=str
)
def test_a_record_with_a_field_that_does_not_fit_is_broken(tmp_path: Path, change: dict[str, Any]) -> None:
    path = save_record(tmp_path, made(), PARTS).path
    path.write_text(json.dumps({**strict(path), **change}))
    with pytest.raises(BrokenRecordError, match="is not a whole record"):
        load_record(path)


@pytest.mark.parametrize("schema", [0, SCHEMA + 1, "1", None])
def test_a_record_of_an_unknown_schema_is_never_guessed(tmp_path: Path, schema: object) -> None:
    path = save_record(tmp_path, made(), PARTS).path
    path.write_text(json.dumps({**strict(path), "schema_version": schema}))
    with pytest.raises(
        UserError, match=rf"record schema {schema} is not known here; this version reads schema {SCHEMA}"
    ):
        load_record(path)


def test_a_kill_between_parts_and_record_leaves_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.store.records.write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        save_record(tmp_path, made(), PARTS)
    assert list(find_records(tmp_path)) == []
    assert len(list((tmp_path / "results" / "made" / "topk").glob("*.npz"))) == 1


def test_the_same_parts_are_the_same_bytes(tmp_path: Path) -> None:
    one, two = (save_record(tmp_path / name, made(), PARTS) for name in ("one", "two"))
    assert one.record.parts_sha256 == two.record.parts_sha256
    assert one.path.read_bytes() == two.path.read_bytes()
