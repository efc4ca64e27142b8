"""What a checkpoint's files say about it, read without torch; whatever asks for something we do not do is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, overload, runtime_checkable

from harness.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
D = TypeVar("D")
Activation = Literal["relu", "topk", "groupmax", "threshold", "gated"]


@dataclass(frozen=True)
class Trained:
    """Where a dictionary was trained, as far as its files say so.

    Attributes:
        model: name of the language model, in the words of the file.
        hook: the site, in the words of the file.
        layer: block whose output the site is, from 0; None where the site is not a block's output or is not stated.
    """

    model: str | None = None
    hook: str | None = None
    layer: int | None = None


@dataclass(frozen=True)
class Card:
    """One checkpoint.

    Attributes:
        folder: where it lies.
        format: name of its format.
        architecture: what the format calls its kind.
        activation: what becomes of pre-activations.
        k: latents a token keeps, of ``topk`` and ``groupmax``.
        centred: whether ``b_dec`` is subtracted before encoding.
        rescaled: whether pre-activations are multiplied by decoder norms, and codes divided by them again.
        width: ``D``, where the files say it.
        latents: ``F``, where the files say it.
        trained: model and site.
    """

    folder: Path
    format: str
    architecture: str
    activation: Activation
    k: int | None = None
    centred: bool = True
    rescaled: bool = False
    width: int | None = None
    latents: int | None = None
    trained: Trained = Trained()

    def layer(self, tensors: Mapping[str, Tensor]) -> OneLayer:
        """Return the dictionary that tensors under our names are."""
        return OneLayer(self.activation, self.centred, k=self.k, **tensors)


@dataclass(frozen=True)
class OneLayer:
    """A dictionary of one hidden layer, as every format here holds it: rows are latents, units are raw.

    ``f = activation((x - b_dec) W_enc^T + b_enc)``, ``xhat = f W_dec + b_dec``.

    Attributes:
        activation: ``relu``; ``topk``: the ``k`` largest of a token; ``groupmax``: the largest of each of ``k`` groups;
            ``threshold``: what exceeds it; ``gated``: see ``r_mag``.
        centred: whether ``b_dec`` is subtracted before encoding.
        k: latents a token keeps.
        W_enc: ``[F, D]``.
        b_enc: ``[F]``; of a gated dictionary the bias of the gate.
        W_dec: ``[F, D]``.
        b_dec: ``[D]``.
        threshold: ``[F]`` or a scalar, above which a pre-activation passes.
        r_mag: ``[F]``, of a gated dictionary: its magnitude is ``ReLU(exp(r_mag) (x - b_dec) W_enc^T + b_mag)``.
        b_mag: ``[F]``, bias of its magnitude.
    """

    activation: Activation
    centred: bool
    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    k: int | None = None
    threshold: Tensor | None = None
    r_mag: Tensor | None = None
    b_mag: Tensor | None = None


@runtime_checkable
class Portable(Protocol):
    """A method that can be written in somebody else's format."""

    def portable(self) -> OneLayer:
        """Return the fitted dictionary; the codes it gives are those of ``encode``, to rounding."""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: what it is called in titles and messages.
        config: file with the options, None where the format has none.
        weights: file with the tensors.
        read: folder to card, from the options alone; raises ``UserError``.
        arrange: card and tensors by their names in the file to a dictionary; raises ``UserError``.
    """

    name: str
    config: str | None
    weights: str
    read: Callable[[Path], Card]
    arrange: Callable[[Card, Mapping[str, Tensor]], OneLayer]


class Options:
    """The options of a config file; each is taken or known to change nothing, and any other is refused by name."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.where = where
        self._left = dict(values)
        self._known: set[str] = set()

    @overload
    def take(self, name: str, kind: type[T]) -> T: ...
    @overload
    def take(self, name: str, kind: type[T], default: D) -> T | D: ...
    def take(self, name: str, kind: type[Any], default: Any = ...) -> Any:
        """Return an option and strike it off; null counts as absent. Raises ``UserError`` on another type."""
        self._known.add(name)
        value = self._left.pop(name, None)
        if value is None:
            if default is ...:
                raise UserError(f"{self.where}: the option '{name}' is missing")
            return default
        # bool is an int to Python, and nothing else is.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise UserError(f"{self.where}: option '{name}' must be {_WORDS[kind]}, got {json.dumps(value)}")
        return value

    def want(self, name: str, allowed: Iterable[Any], why: str) -> None:
        """Strike off an option of which only some values are supported; absent and null are."""
        self._known.add(name)
        value, allowed = self._left.pop(name, None), list(allowed)
        # 0 and False are equal to Python, and not to a reader.
        if value is not None and not any(value == word and type(value) is type(word) for word in allowed):
            words = ", ".join(json.dumps(word) for word in allowed)
            raise UserError(f"{self.where}: {name}={json.dumps(value)} is not supported: {why}. Allowed: {words}.")

    def ignore(self, names: Iterable[str]) -> None:
        """Strike off options that say how it was trained and change nothing when it is used."""
        for name in names:
            self._known.add(name)
            self._left.pop(name, None)

    def end(self) -> None:
        """Raise ``UserError`` for the first option nobody took."""
        for name in self._left:
            raise unknown("option", name, self._known, self.where)


_WORDS = {str: "a word", int: "a whole number", bool: "true or false", dict: "a mapping"}


def read_json(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file; raises ``UserError``."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not JSON that can be read: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: must hold a JSON object, got {type(value).__name__}")
    return value


def positive(value: T, name: str, where: str) -> T:
    """Return a count; raises ``UserError`` where it is below 1."""
    if isinstance(value, int) and value < 1:
        raise UserError(f"{where}: option '{name}' must be at least 1, got {value}")
    return value


def named(tensors: Mapping[str, Tensor], wanted: Mapping[str, str], card: Card) -> dict[str, Tensor]:
    """Return tensors under our names, given theirs; raises ``UserError`` on a missing or an unknown one."""
    for theirs in wanted.values():
        if theirs not in tensors:
            held = ", ".join(sorted(tensors))
            lacks = f"the weights lack the tensor '{theirs}' of {card.architecture}"
            raise UserError(f"{card.folder}: {lacks}; held: {held}")
    for theirs in tensors:
        if theirs not in wanted.values():
            raise unknown(f"tensor for {card.architecture}", theirs, wanted.values(), str(card.folder))
    return {ours: tensors[theirs] for ours, theirs in wanted.items()}
