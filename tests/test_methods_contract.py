"""Every method in the methods folder keeps the contract of its kind, and its YAML says what its code reads."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

import pytest
import torch
from torch import Tensor

from harness.api import Dictionary, Method, Setting, Train
from harness.registry import build_method, check_params, method_class
from harness.specs.library import FoundMethod, Library
from harness.testing import SETTING, check_dictionary, check_next_token, planted

LIBRARY = Library()
DICTIONARIES = [
    name
    for name in LIBRARY.names("methods")
    if LIBRARY.method(name).spec.kind == "dictionary" and LIBRARY.method(name).spec.code
]


def fitted(name: str) -> Method:
    found = LIBRARY.method(name)
    if found.spec.kind == "next_token":
        make = method_class(found)
        params = check_params(found, make, found.spec.params)
        return check_next_token(make, params, uses=uses(found), needs=found.spec.needs, seeded=found.spec.seeded)
    method: Dictionary = build_method(found, found.spec.params, SETTING)
    train, val = planted(SETTING, 512, seed=1), planted(SETTING, 128, seed=2)
    method.fit(Train(train, val, 2, torch.device("cpu")))
    return method


def uses(found: FoundMethod) -> dict[str, Method]:
    any_method = "shared_pca" if found.spec.only == "shared" else "pca"
    return {role: fitted(any_method if name == "any" else name) for role, name in found.spec.uses.items()}


@pytest.mark.parametrize("name", DICTIONARIES)
def test_dictionary_keeps_the_contract(name: str) -> None:
    found = LIBRARY.method(name)
    make = method_class(found)
    params = check_params(found, make, found.spec.params)
    check_dictionary(make, params, uses=uses(found), needs=found.spec.needs, seeded=found.spec.seeded)


def shape(kind: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, nested ones as dictionaries, from its resolved annotations."""
    hints = get_type_hints(kind, localns=vars(kind))
    return {f.name: shape(hints[f.name]) if is_dataclass(hints[f.name]) else None for f in fields(kind)}


def keys(value: Any) -> Any:
    return {key: keys(inner) for key, inner in value.items()} if isinstance(value, dict) else None


@pytest.mark.parametrize("name", [name for name in LIBRARY.names("methods") if LIBRARY.method(name).spec.code])
def test_yaml_names_exactly_the_parameters_of_the_code(name: str) -> None:
    found = LIBRARY.method(name)
    assert keys(found.spec.params) == shape(method_class(found).Params)


class Plain(Dictionary):
    """Keeps the contract: codes are the positive parts of the activations."""

    @dataclass(frozen=True)
    class Params:
        """One parameter."""

        gain: float
        """what a code is multiplied with in ``decode``"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.register_buffer("rows", params.gain * torch.eye(setting.width))

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return positive parts."""
        return x_ND.relu()

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return codes times rows."""
        return z_NF @ self.rows

    def directions(self) -> Tensor:
        """Return rows."""
        return self.rows

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}


class Batchwise(Plain):
    """A code that depends on the rest of the batch."""

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return what exceeds the batch's mean."""
        return (x_ND - x_ND.mean(0)).relu()


class Unfolded(Plain):
    """Directions in other units than decode's."""

    def directions(self) -> Tensor:
        """Return rows at norm 1."""
        return torch.eye(len(self.rows))


class Drawing(Plain):
    """A fit that draws from the global generator."""

    def fit(self, train: Train) -> None:
        """Draw."""
        self.rows += torch.rand(())


class Silent(Plain):
    """A parameter nobody explained."""

    @dataclass(frozen=True)
    class Params:
        """One parameter."""

        gain: float


def test_a_method_of_ones_own_is_checked_in_one_call() -> None:
    assert isinstance(check_dictionary(Plain, Plain.Params(2.0), seeded=False), Plain)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (Batchwise, "a document's code does not depend on what else is in the batch"),
        (Unfolded, "one more unit of latent 0 adds directions"),
        (Drawing, "fit leaves the global generator of torch alone"),
        (Silent, r"these lack one: \['gain'\]"),
    ],
)
def test_a_broken_contract_is_named(make: type[Plain], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_dictionary(make, make.Params(2.0), seeded=False)


def test_a_seed_without_effect_is_named() -> None:
    with pytest.raises(AssertionError, match="another seed must give another fit"):
        check_dictionary(Plain, Plain.Params(2.0))
