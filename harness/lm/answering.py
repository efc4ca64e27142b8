"""lm-eval on a language model that is already here, as it is or under an edit.

Whatever lm-eval does with its own ``HFLM`` it does here: prompts, batches, padding, scoring. Importing this takes
seconds, so nothing imports it that only plans.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

from datasets import Dataset
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM

from harness.api import Bias
from harness.lm.model import LanguageModel
from harness.lm.quiet import quiet
from harness.lm.spliced import Splice
from harness.lm.under import biased, spliced

# The one split of a task that is given rows.
SPLIT = "test"


class _Quiet(HFLM):  # type: ignore[misc]
    """lm-eval's own, which draws no bars."""

    def __init__(self, model: LanguageModel) -> None:
        # lm-eval gives its tokenizer a padding token and changes the side it pads on.
        super().__init__(pretrained=model.network, tokenizer=copy.deepcopy(model.tokenizer))

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> Any:
        return super().loglikelihood(requests, disable_tqdm=True)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> Any:
        return super().loglikelihood_rolling(requests, disable_tqdm=True)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> Any:
        return super().generate_until(requests, disable_tqdm=True)


@final
class Answering:
    """Asks one language model what lm-eval asks.

    Requests of a batch change each other's numbers, by rounding alone: equal batches give equal bits.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        with _still():
            self._lm = _Quiet(model)

    def lengths(self, prompt: str, answer: str) -> tuple[int, int]:
        """Return how many tokens lm-eval reads before an answer, and how many the answer has."""
        before, after = self._lm._encode_pair(prompt, answer)
        return len(before), len(after)

    def batches(self, texts: Sequence[tuple[str, str] | str], size: int) -> list[list[int]]:
        """Return the batches that lm-eval makes of requests, by their numbers.

        Args:
            texts: of each request its prompt, where an answer is written, or prompt and answer.
            size: requests of a batch: lm-eval's ``batch_size``.
        """
        order = sorted(range(len(texts)), key=lambda i: self._place(texts[i]))
        return [order[first : first + size] for first in range(0, len(order), size)]

    def _place(self, text: tuple[str, str] | str) -> tuple[Any, ...]:
        """Return what lm-eval sorts by: long before short, and then by tokens or letters."""
        if isinstance(text, str):
            return -len(self._lm.tok_encode(text)), text
        ids = [i for part in self._lm._encode_pair(*text) for i in part]
        return -len(ids), tuple(ids)

    def ask(
        self,
        task: Mapping[str, Any],
        rows: Sequence[Mapping[str, Any]],
        size: int,
        edits: Mapping[int, Splice] | None = None,
        bias: Bias | None = None,
    ) -> list[dict[str, Any]]:
        """Return lm-eval's record of every row, in their order; of each filter where the task has several.

        Args:
            task: keys of a task as lm-eval's YAML has them; ``task``, its name, among them. Where its data come from
                is not asked: ``rows`` are its test split.
            rows: documents.
            size: requests of a batch.
            edits: what is done to the model, by block.
            bias: what is added to its logits.
        """
        self._lm.batch_size_per_gpu = size
        with _still(), spliced(self.model, edits or {}), biased(self.model, bias or {}):
            made = ConfigurableTask(config=_config(task, rows))
            if made.get_config("num_fewshot") is None:
                made.set_config(key="num_fewshot", value=0)
            loaded = {"tasks": {task["task"]: made}, "groups": {}}
            found = evaluate(self._lm, loaded, bootstrap_iters=0, log_samples=True)
        samples: list[dict[str, Any]] = found["samples"][task["task"]]
        return samples


def _config(task: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    data = {SPLIT: Dataset.from_list([dict(row) for row in rows])}
    # A copy: lm-eval fills what it is given in.
    return {**copy.deepcopy(dict(task)), "test_split": SPLIT, "custom_dataset": lambda **_: data}


@contextlib.contextmanager
def _still() -> Iterator[None]:
    """Keep lm-eval's advice and bars off the terminal; its errors are raised."""
    log = logging.getLogger("lm_eval")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with quiet(), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        log.setLevel(level)
