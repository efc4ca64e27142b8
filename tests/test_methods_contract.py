"""Every dictionary in the methods folder keeps the contract, and its YAML says what its code reads."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.api import Dictionary, Method, Setting, Train
from harness.registry import build_method, check_params, method_class
from harness.specs.library import FoundMethod, Library
from harness.testing import SETTING, check_dictionary, planted

LIBRARY = Library()
DICTIONARIES = [name for name in LIBRARY.names("methods") if LIBRARY.method(name).spec.kind == "dictionary"]


def fitted(name: str) -> Dictionary:
    found = LIBRARY.method(name)
    method: Dictionary = build_method(found, found.spec.params, SETTING)
    train, val = planted(SETTING, 512, seed=1), planted(SETTING, 128, seed=2)
    method.fit(Train(train, val, 2, torch.device("cpu")))
    return method


def uses(found: FoundMethod) -> dict[str, Method]:
    return {role: fitted("pca" if name == "any" else name) for role, name in found.spec.uses.items()}


@pytest.mark.parametrize("name", DICTIONARIES)
def test_dictionary_keeps_the_contract(name: str) -> None:
    found = LIBRARY.method(name)
    make = method_class(found)
    params = check_params(found, make, found.spec.params)
    check_dictionary(make, params, uses=uses(found), seeded=found.spec.seeded)


def shape(kind: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, nested ones as dictionaries, from its resolved annotations."""
    from typing import get_type_hints

    hints = get_type_hints(kind, localns=vars(kind))
    return {f.name: shape(hints[f.name]) if is_dataclass(hints[f.name]) else None for f in fields(kind)}


def keys(value: Any) -> Any:
    return {key: keys(inner) for key, inner in value.items()} if isinstance(value, dict) else None


@pytest.mark.parametrize("name", DICTIONARIES)
def test_yaml_names_exactly_the_parameters_of_the_code(name: str) -> None:
    found = LIBRARY.method(name)
    assert keys(found.spec.params) == shape(method_class(found).Params)


class Plain(Dictionary):
    """Keeps the contract: a fixed code."""

    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Params:
        """None."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.register_buffer("row", torch.eye(setting.width))

    def fit(self, train: Train) -> None: ...

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        return x_ND.relu()

    def decode(self, z_NF: Tensor) -> Tensor:
        return z_NF @ self.row

    def directions(self) -> Tensor:
        return self.row

    def summary(self) -> dict[str, float]:
        return {}
