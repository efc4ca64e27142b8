"""A small model of sentences: a text becomes a direction, and texts that say alike things point alike.

Source: Reimers and Gurevych, "Sentence-BERT" (arXiv 1908.10084, section 3): the last hidden states of a BERT encoder
(arXiv 1810.04805, section 3) are averaged over tokens, and the mean has length 1.

It is computed in float64 with numpy: prompts are chosen before torch is loaded, and the rounding that machines, threads
and companions of a text differ by (1e-15) is far below the grid that numbers are kept on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.special import erf
from tokenizers import Tokenizer

Array = NDArray[np.float64]


class SentenceModel:
    """An encoder from a folder with ``config.json``, ``model.safetensors`` and ``tokenizer.json``, as published.

    Shapes: ``T`` tokens of all texts, ``t`` of one, ``D`` width.
    """

    def __init__(self, folder: Path, pieces: int) -> None:
        """Load it.

        Args:
            folder: where the files lie.
            pieces: word pieces that are read of a text at most, those that begin and end it included.
        """
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._heads, self._layers = int(config["num_attention_heads"]), int(config["num_hidden_layers"])
        self._eps = float(config["layer_norm_eps"])
        held = load_file(folder / "model.safetensors")
        self._weights = {name: value.astype(np.float64) for name, value in held.items() if value.dtype.kind == "f"}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(pieces)

    def __call__(self, texts: Sequence[str]) -> tuple[Array, NDArray[np.bool_]]:
        """Return unit vectors ``[N, D]``, and whether each text was longer than what is read of it."""
        encoded = self._tokenizer.encode_batch(list(texts))
        rows = [np.array(one.ids, dtype=np.int64) for one in encoded]
        mean_ND = np.stack([x_tD.mean(0) for x_tD in self._read(rows)])
        return mean_ND / np.linalg.norm(mean_ND, axis=1, keepdims=True), np.array(
            [bool(o.overflowing) for o in encoded]
        )

    def _read(self, rows: Sequence[NDArray[np.int64]]) -> list[Array]:
        """Return the last hidden states of each text; texts stand in one array, so that there is no padding."""
        ends = np.cumsum([len(ids) for ids in rows])
        place_T = np.concatenate([np.arange(len(ids)) for ids in rows])
        names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
        of = (np.concatenate(rows), place_T, np.zeros_like(place_T))
        tables = [self._weights[f"embeddings.{name}.weight"] for name in names]
        x_TD = self._normed(sum(table[at_T] for table, at_T in zip(tables, of, strict=True)), "embeddings.")
        for layer in range(self._layers):
            at = f"encoder.layer.{layer}."
            mixed_TD = self._attended(x_TD, ends, f"{at}attention.self.")
            x_TD = self._normed(self._linear(mixed_TD, f"{at}attention.output.dense") + x_TD, f"{at}attention.output.")
            inner_TH = self._linear(x_TD, f"{at}intermediate.dense")
            inner_TH *= 0.5 * (1 + erf(inner_TH / np.sqrt(2)))
            x_TD = self._normed(self._linear(inner_TH, f"{at}output.dense") + x_TD, f"{at}output.")
        return np.split(x_TD, ends[:-1])

    def _attended(self, x_TD: Array, ends: NDArray[np.int64], at: str) -> Array:
        """Return what each token takes from those of its own text."""
        q_TD, k_TD, v_TD = (self._linear(x_TD, at + name) for name in ("query", "key", "value"))
        size = x_TD.shape[1] // self._heads
        found_TD = np.empty_like(x_TD)
        for start, end in zip((0, *ends[:-1]), ends, strict=True):
            q, k, v = (of[start:end].reshape(-1, self._heads, size).swapaxes(0, 1) for of in (q_TD, k_TD, v_TD))
            score_Att = q @ k.swapaxes(1, 2) / np.sqrt(size)
            share_Att = np.exp(score_Att - score_Att.max(-1, keepdims=True))
            share_Att /= share_Att.sum(-1, keepdims=True)
            found_TD[start:end] = (share_Att @ v).swapaxes(0, 1).reshape(end - start, -1)
        return found_TD

    def _linear(self, x_TD: Array, at: str) -> Array:
        found: Array = x_TD @ self._weights[f"{at}.weight"].T + self._weights[f"{at}.bias"]
        return found

    def _normed(self, x_TD: Array, at: str) -> Array:
        centred_TD = x_TD - x_TD.mean(1, keepdims=True)
        scaled_TD = centred_TD / np.sqrt(np.square(centred_TD).mean(1, keepdims=True) + self._eps)
        found: Array = scaled_TD * self._weights[f"{at}LayerNorm.weight"] + self._weights[f"{at}LayerNorm.bias"]
        return found
