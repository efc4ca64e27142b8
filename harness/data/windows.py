"""Documents become windows of tokens: one document each, or packed end to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from harness.data.splits import Document
from harness.errors import UserError

# Texts handed to the tokenizer at once: enough to use its threads, few enough not to tokenize far past the budget.
TEXTS = 64


class Tokenized(Protocol):
    """Token ids of each text, and whether the text was longer than the context and lost its end."""

    @property
    def ids(self) -> list[list[int]]:
        """Ids, at most the context of them."""

    @property
    def cut(self) -> list[bool]:
        """Whether there were more."""


class TextModel(Protocol):
    """What tokenizing wants of a language model."""

    @property
    def bos_id(self) -> int | None:
        """Id of the token that starts a text."""

    @property
    def eos_id(self) -> int | None:
        """Id of the token that ends a text."""

    @property
    def pad_id(self) -> int | None:
        """Id of the token that fills rows."""

    @property
    def tokenizer(self) -> Any:
        """Called with texts, returns whole ``input_ids``."""

    def tokenize(self, texts: Sequence[str], context: int) -> Tokenized:
        """Return ids with the tokenizer's own special tokens; raises ``UserError`` on a context beyond the model's."""


@dataclass(frozen=True)
class Window:
    """One sequence as the model reads it.

    Attributes:
        ids_T: int64 token ids.
        doc_T: int64, index of the document each token belongs to; a separator belongs to the document it ends, BOS to
            the document that follows.
        text_T: bool, whether the token is of a document's own text (BOS and separators are not).
        keep_T: bool, whether the token counts.
        cut: the document that goes on past the end of this window, or lost the rest there; None where none does.
    """

    ids_T: Tensor
    doc_T: Tensor
    text_T: Tensor
    keep_T: Tensor
    cut: int | None

    def documents(self) -> list[int]:
        """Return the documents of the tokens that count, in order."""
        return sorted(set(self.doc_T[self.keep_T].tolist()))


@dataclass(frozen=True)
class Shape:
    """How windows are made: see ``Budget`` and ``Mask`` of a task."""

    context: int
    packing: Literal["truncate", "pack"]
    keep_first: bool


def windows(model: TextModel, documents: Sequence[Document], shape: Shape) -> Iterator[Window]:
    """Yield windows in the order of the documents, those without a token that counts left out.

    The model is asked for more texts only as windows are taken. Raises ``UserError`` on a context the model cannot
    read, and on packing for a model that has no EOS.
    """
    # Refuses the context even where there is no text, and where packing asks for whole texts.
    model.tokenize([], shape.context)
    made = _packed(model, documents, shape) if shape.packing == "pack" else _truncated(model, documents, shape)
    return (window for window in made if bool(window.keep_T.any()))


def _truncated(model: TextModel, documents: Sequence[Document], shape: Shape) -> Iterator[Window]:
    for start in range(0, len(documents), TEXTS):
        texts = [document.text for document in documents[start : start + TEXTS]]
        tokenized = model.tokenize(texts, shape.context)
        for i, (ids, cut) in enumerate(zip(tokenized.ids, tokenized.cut, strict=True), start=start):
            stretch = _Stretch()
            stretch.add(ids, i, [token != model.bos_id for token in ids])
            yield stretch.window(shape.keep_first, i if cut else None)


def _packed(model: TextModel, documents: Sequence[Document], shape: Shape) -> Iterator[Window]:
    """Cut the stream of documents joined by EOS; where the tokenizer starts a text by BOS, so does every window."""
    if model.eos_id is None:
        raise UserError("budget.packing: the model has no end-of-text token to pack documents with; use 'truncate'.")
    stream, start, last = _Stretch(), [], None
    for i, ids in enumerate(_whole(model, documents)):
        if model.bos_id is not None and ids[:1] == [model.bos_id]:
            start, ids = ids[:1], ids[1:]
        if ids and last is not None:
            stream.add([model.eos_id], last, [False])
        if ids:
            stream.add(ids, i, [token != model.bos_id for token in ids])
            last = i
        room = shape.context - len(start)
        # A window that is just full waits for what follows, which tells whether its last document goes on.
        while len(stream.ids) > room:
            cut = stream.doc[room] if stream.text[room] and stream.doc[room] == stream.doc[room - 1] else None
            yield stream.take(room, start).window(shape.keep_first, cut)
    if stream.ids:
        yield stream.take(len(stream.ids), start).window(shape.keep_first, None)


def _whole(model: TextModel, documents: Sequence[Document]) -> Iterator[list[int]]:
    for start in range(0, len(documents), TEXTS):
        texts = [document.text for document in documents[start : start + TEXTS]]
        yield from model.tokenizer(texts, truncation=False, padding=False, verbose=False)["input_ids"]


class _Stretch:
    """Tokens with their document and whether they are text; grows at the end, is taken from at the front."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.doc: list[int] = []
        self.text: list[bool] = []

    def add(self, ids: list[int], doc: int, text: list[bool]) -> None:
        """Append tokens of one document."""
        self.ids += ids
        self.doc += [doc] * len(ids)
        self.text += text

    def take(self, count: int, start: list[int]) -> _Stretch:
        """Remove the first ``count`` tokens and return them behind ``start``, which is no text."""
        taken = _Stretch()
        taken.add(start, self.doc[0], [False] * len(start))
        for mine, theirs in ((self.ids, taken.ids), (self.doc, taken.doc), (self.text, taken.text)):
            theirs.extend(mine[:count])  # type: ignore[arg-type]
            del mine[:count]
        return taken

    def window(self, keep_first: bool, cut: int | None) -> Window:
        """Return the tokens as a window."""
        text_T = torch.tensor(self.text, dtype=torch.bool)
        keep_T = text_T.clone()
        if not keep_first:
            # Position 0 carries the attention sink, whatever token it is.
            keep_T[:1] = False
        return Window(torch.tensor(self.ids), torch.tensor(self.doc), text_T, keep_T, cut)
