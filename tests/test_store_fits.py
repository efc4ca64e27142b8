"""Fitted methods on disk: whole, or fitted again."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from harness.store.fits import FitCard, load_fit, save_fit

STATE = {"w": torch.arange(6, dtype=torch.float32).reshape(2, 3), "steps": torch.tensor(7)}
CARD = FitCard(seconds=1.5, peak_mb=None, train_tokens=300, summary={"loss": 0.25, "l0": 8.0})


def strict(path: Path) -> dict[str, object]:
    """Read JSON as the standard has it: without NaN and Infinity."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    value: dict[str, object] = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    return value


def test_state_and_card_come_back_bit_for_bit(tmp_path: Path) -> None:
    save_fit(tmp_path, "key", STATE, CARD)
    found = load_fit(tmp_path, "key")
    assert found is not None
    state, card = found
    assert set(state) == set(STATE)
    assert all(torch.equal(state[name], STATE[name]) and state[name].dtype == STATE[name].dtype for name in STATE)
    assert card == CARD
    assert load_fit(tmp_path, "another key") is None


def test_a_method_without_state_is_a_whole_fit(tmp_path: Path) -> None:
    save_fit(tmp_path, "key", {}, CARD)
    assert load_fit(tmp_path, "key") == ({}, CARD)
    assert [path.name for path in (tmp_path / "key").iterdir()] == ["fit.json"]


def test_a_fit_is_replaced_as_a_whole(tmp_path: Path) -> None:
    save_fit(tmp_path, "key", STATE, CARD)
    save_fit(tmp_path, "key", {"w": torch.ones(1)}, CARD)
    found = load_fit(tmp_path, "key")
    assert found is not None
    assert list(found[0]) == ["w"]


@pytest.mark.parametrize("left", [0.0, 0.3, 0.99])
def test_a_torn_state_counts_as_none(tmp_path: Path, left: float) -> None:
    save_fit(tmp_path, "key", STATE, CARD)
    path = tmp_path / "key" / "state.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * left)])
    assert load_fit(tmp_path, "key") is None


def test_an_altered_state_counts_as_none_whichever_byte_it_is(tmp_path: Path) -> None:
    save_fit(tmp_path, "key", STATE, CARD)
    path = tmp_path / "key" / "state.safetensors"
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert load_fit(tmp_path, "key") is None


def test_a_state_of_another_fit_counts_as_none(tmp_path: Path) -> None:
    save_fit(tmp_path, "key", STATE, CARD)
    save_fit(tmp_path, "other", {"w": torch.ones(1)}, CARD)
    (tmp_path / "other" / "state.safetensors").replace(tmp_path / "key" / "state.safetensors")
    assert load_fit(tmp_path, "key") is None


@pytest.mark.parametrize("name", ["state.safetensors", "fit.json"])
def test_a_missing_file_counts_as_none(tmp_path: Path, name: str) -> None:
    save_fit(tmp_path, "key", STATE, CARD)
    (tmp_path / "key" / name).unlink()
    assert load_fit(tmp_path, "key") is None


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "null", '"x"', "3", '{"sha256": null}', "\xff"])
def test_a_card_of_garbage_counts_as_none(tmp_path: Path, text: str) -> None:
    save_fit(tmp_path, "key", STATE, CARD)
    (tmp_path / "key" / "fit.json").write_bytes(text.encode("latin-1"))
    assert load_fit(tmp_path, "key") is None


@pytest.mark.parametrize("change", [{"sha256": "0"}, {"summary": None}, {"summary": 3}, {"extra": 1}], ids=str)
def test_a_card_that_does_not_fit_counts_as_none(tmp_path: Path, change: dict[str, object]) -> None:
    save_fit(tmp_path, "key", STATE, CARD)
    path = tmp_path / "key" / "fit.json"
    path.write_text(json.dumps({**strict(path), **change}))
    assert load_fit(tmp_path, "key") is None


def test_a_kill_between_state_and_card_leaves_no_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.store.fits.write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        save_fit(tmp_path, "key", STATE, CARD)
    assert (tmp_path / "key" / "state.safetensors").is_file()
    assert load_fit(tmp_path, "key") is None


def test_a_number_that_is_not_finite_is_null_in_the_file_and_nan_when_read(tmp_path: Path) -> None:
    save_fit(tmp_path, "key", STATE, FitCard(1.0, 2.0, 3, {"loss": math.nan, "rate": math.inf, "l0": 8.0}))
    assert strict(tmp_path / "key" / "fit.json")["summary"] == {"loss": None, "rate": None, "l0": 8.0}
    found = load_fit(tmp_path, "key")
    assert found is not None
    assert math.isnan(found[1].summary["loss"])
    assert math.isnan(found[1].summary["rate"])
    assert found[1].summary["l0"] == 8.0
