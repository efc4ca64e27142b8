"""The one place where text is generated: batches of similar length, kept on disk, the same whatever the batch.

Greedy, or sampled by the Gumbel-max trick (Gumbel 1954; Maddison, Tarlow and Minka, "A* Sampling", 2014, section 2):
the token is the argmax of ``logits / temperature`` plus Gumbel noise, an exact draw from the softmax. The noise of a
row comes from its own name and the seed, so that two runs of one prompt differ by their logits alone (common random
numbers), and neither order nor company of the prompts matters.

Rows of a batch are padded on the left and share a key-value cache. A kernel may round another way in a batch of another
size (some 1e-4 of a logit): greedy tokens change only where the two largest logits lie that near.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria

from harness.api import Progress, silent
from harness.errors import UserError
from harness.lm.model import LanguageModel
from harness.lm.padding import padded_left
from harness.specs.identity import digest
from harness.store.files import write_text

# Up whenever the same prompts and settings would give other texts.
VERSION = 1


@dataclass(frozen=True)
class Prompt:
    """What is continued. ``name`` decides the random numbers of its samples; equal names share them."""

    name: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Sampling:
    """How prompts are continued.

    Attributes:
        max_tokens: new tokens at most.
        temperature: 0 takes the likeliest token.
        stop: strings that end a text; they are no part of it.
        samples: continuations of each prompt.
        seed: of the random numbers, besides the prompts' names.
    """

    max_tokens: int
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    samples: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Continuation:
    """What followed a prompt.

    Attributes:
        ids: the tokens, without the end token; the last one may reach into a stop string.
        text: what they say, before any stop string.
        ended: by the model's end token, by a stop string, or by the length.
    """

    ids: tuple[int, ...]
    text: str
    ended: Literal["end", "stop", "length"]


def generate(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    asked: Sampling,
    batch_tokens: int,
    folder: Path | None = None,
    progress: Progress = silent,
) -> list[tuple[Continuation, ...]]:
    """Return the samples of every prompt, in the order given.

    Args:
        model: the language model; hooks on its blocks act at the prompt's positions and at the new ones.
        prompts: what is continued.
        asked: how.
        batch_tokens: tokens of a batch, padding and new ones included; a longer prompt makes a batch by itself.
        folder: where batches are kept by everything that decides them, so that a killed run goes on; None keeps
            nothing. Who edits the model gives each edit a folder of its own.
        progress: told about batches.

    Raises:
        UserError: a prompt without tokens, or longer, with its new tokens, than the model can read.
    """
    _check(model, prompts, asked)
    rows = [(prompt, sample) for prompt in prompts for sample in range(asked.samples)]
    batches = _batches([len(prompt.ids) for prompt, _ in rows], asked.max_tokens, batch_tokens)
    info = model.info
    # Batches and device are part of it: a kernel may round another way in another company, or elsewhere.
    made_by = [VERSION, info.fingerprint, info.dtype, info.device]
    key = digest([*made_by, asdict(asked), [asdict(p) for p in prompts], batches])
    found: list[Continuation | None] = [None] * len(rows)
    for index, batch in enumerate(batches):
        path = folder / key / f"{index:05d}.json" if folder else None
        kept = _kept(path, len(batch)) if path else None
        if kept is None:
            kept = _continue(model, [rows[row] for row in batch], asked)
            if path:
                write_text(path, json.dumps([asdict(one) for one in kept]))
        for row, one in zip(batch, kept, strict=True):
            found[row] = one
        progress("generating", index + 1, len(batches))
    every = [one for one in found if one is not None]
    return [tuple(every[first : first + asked.samples]) for first in range(0, len(every), asked.samples)]


def _check(model: LanguageModel, prompts: Sequence[Prompt], asked: Sampling) -> None:
    most = model.info.context
    for prompt in prompts:
        if not prompt.ids:
            raise UserError(f"model '{model.info.name}': prompt '{prompt.name}' has no tokens to continue.")
        if most is not None and len(prompt.ids) + asked.max_tokens > most:
            raise UserError(
                f"model '{model.info.name}': prompt '{prompt.name}' has {len(prompt.ids)} tokens, and with "
                f"{asked.max_tokens} new ones goes beyond the {most} that the model can read."
            )


def _batches(lengths: Sequence[int], new: int, batch_tokens: int) -> list[list[int]]:
    """Return rows by batch: of similar length, longest first, so that what does not fit shows at once."""
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        widest = lengths[batches[-1][0]] + new if batches else 0
        if batches and (len(batches[-1]) + 1) * widest <= batch_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def _kept(path: Path, rows: int) -> list[Continuation] | None:
    """Return a batch from disk; None where there is none, or the file is not whole."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        found = [Continuation(tuple(one["ids"]), one["text"], one["ended"]) for one in held]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if len(found) == rows else None


@torch.no_grad()
def _continue(model: LanguageModel, rows: Sequence[tuple[Prompt, int]], asked: Sampling) -> list[Continuation]:
    ids_BT, mask_BT = padded_left([prompt.ids for prompt, _ in rows], model.pad_id)
    ends = end_ids(model)
    settings = GenerationConfig(
        max_new_tokens=asked.max_tokens, do_sample=False, pad_token_id=model.pad_id, eos_token_id=ends or None
    )
    width = ids_BT.shape[1]
    noise = [_Noise(rows, asked)] if asked.temperature > 0 else []
    stops = [_Stops(model, asked.stop, width)] if asked.stop else []
    with _plain(model):
        out_BT = model.network.generate(
            input_ids=ids_BT.to(model.device),
            attention_mask=mask_BT.to(model.device),
            generation_config=settings,
            logits_processor=noise,
            stopping_criteria=stops,
        )
    return [_trimmed(row_T, frozenset(ends), asked.stop, model) for row_T in out_BT[:, width:].tolist()]


def end_ids(model: LanguageModel) -> list[int]:
    """Return the tokens that end a text: the tokenizer's, and those of the model's own settings (often several)."""
    own = getattr(model.network.generation_config, "eos_token_id", None)
    several = own if isinstance(own, list) else [own]
    return sorted({int(one) for one in (model.eos_id, *several) if one is not None})


@contextmanager
def _plain(model: LanguageModel) -> Iterator[None]:
    """Put the settings that came with the model aside: its repetition penalty is nothing anybody here asked for."""
    network = model.network
    own = network.generation_config
    network.generation_config = GenerationConfig()
    try:
        yield
    finally:
        network.generation_config = own


def _trimmed(ids: list[int], ends: frozenset[int], stop: tuple[str, ...], model: LanguageModel) -> Continuation:
    """Cut what a row was given after it had ended, as other rows of its batch had not."""
    decode = model.tokenizer.decode
    length = next((i for i, id in enumerate(ids) if id in ends), len(ids))
    text = str(decode(ids[:length]))
    if not any(word in text for word in stop):
        return Continuation(tuple(ids[:length]), text, "end" if length < len(ids) else "length")
    # The shortest beginning that holds a stop string: where the row would have ended by itself.
    length = next(n for n in range(1, length + 1) if any(word in str(decode(ids[:n])) for word in stop))
    text = str(decode(ids[:length]))
    return Continuation(tuple(ids[:length]), text[: min(text.find(word) for word in stop if word in text)], "stop")


class _Noise(LogitsProcessor):  # type: ignore[misc]
    """Adds Gumbel noise to the logits of every row, from the row's own generator."""

    def __init__(self, rows: Sequence[tuple[Prompt, int]], asked: Sampling) -> None:
        self._temperature = asked.temperature
        self._generators = [_generator(asked.seed, prompt.name, sample) for prompt, sample in rows]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        draws = [one.standard_exponential(scores.shape[1], dtype=np.float32) for one in self._generators]
        # Minus the logarithm of an exponential draw is a Gumbel draw.
        noise_BV = -torch.from_numpy(np.stack(draws)).clamp_min(1e-38).log()
        return scores / self._temperature + noise_BV.to(scores)


def _generator(seed: int, name: str, sample: int) -> np.random.Generator:
    words = hashlib.sha256(f"{seed}/{sample}/{name}".encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(words[:16], "big"))


class _Stops(StoppingCriteria):  # type: ignore[misc]
    """Ends each row whose new text holds a stop string."""

    def __init__(self, model: LanguageModel, stop: tuple[str, ...], width: int) -> None:
        self._decode, self._stop, self._width = model.tokenizer.batch_decode, stop, width

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        texts = self._decode(input_ids[:, self._width :])
        held = [any(word in text for word in self._stop) for text in texts]
        return torch.tensor(held, device=input_ids.device)
