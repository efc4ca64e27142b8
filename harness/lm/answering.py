"""lm-eval on a language model that is already here, as it is or under an edit.

Whatever lm-eval does with its own ``HFLM`` it does here: prompts, batches, padding, scoring. Importing this takes
seconds, so nothing imports it that only plans.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

from datasets import Dataset
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import Collator, normalize_gen_kwargs

from harness.api import Bias
from harness.data.lm_eval_task import still
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
        before, after = self._encoded(prompt, answer)
        return len(before), len(after)

    def _encoded(self, prompt: str, answer: str) -> tuple[list[int], list[int]]:
        """Return the tokens of a prompt and of what follows it, as lm-eval reads them."""
        if prompt:
            before, after = self._lm._encode_pair(prompt, answer)
            return before, after
        ids, start = self._lm.tok_encode(answer, add_special_tokens=False), self._lm.prefix_token_id
        return ([start], ids) if ids[:1] != [start] else (ids[:1], ids[1:])

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
        ids = [i for part in self._encoded(*text) for i in part]
        return -len(ids), tuple(ids)

    def merged(self, pairs: Sequence[tuple[str, str]], size: int) -> list[list[int]]:
        """Return the batches that lm-eval makes of log-likelihoods, by the numbers of their requests.

        Requests that differ in their last token alone are read at once, and count as one of the ``size``.
        """
        asked = [(pair, *self._encoded(*pair)) for pair in pairs]
        same: dict[tuple[int, ...], list[int]] = {}
        for number, (_, before, after) in enumerate(asked):
            same.setdefault(tuple(before + after[:-1]), []).append(number)
        order = Collator(asked, _length_first, group_by="contexts", group_fn=lambda one: one[1] + one[2][:-1])
        return [
            [number for _, before, after in batch for number in same[tuple(before + after[:-1])]]
            for batch in order.get_batched(n=size)
        ]

    def longest_answer(self, how: Mapping[str, Any]) -> int:
        """Return how many tokens an answer has at most, of ``generation_kwargs`` as lm-eval's YAML has them."""
        return int(normalize_gen_kwargs(dict(how), self._lm.max_gen_toks)["max_gen_toks"])

    def read(
        self, pairs: Sequence[tuple[str, str]], size: int, edits: Mapping[int, Splice], bias: Bias
    ) -> list[tuple[float, bool]]:
        """Return the log-likelihood of what follows each prompt, and whether the model would write it."""
        found = self._asked("loglikelihood", pairs, size, edits, bias)
        return [(float(nats), bool(greedy)) for nats, greedy in found]

    def write(
        self, prompts: Sequence[str], how: Mapping[str, Any], size: int, edits: Mapping[int, Splice], bias: Bias
    ) -> list[str]:
        """Return what the model writes after each prompt; ``how`` is lm-eval's ``generation_kwargs``."""
        asked = [(prompt, copy.deepcopy(dict(how))) for prompt in prompts]
        return [str(text) for text in self._asked("generate_until", asked, size, edits, bias)]

    def _asked(
        self, what: str, arguments: Sequence[tuple[Any, ...]], size: int, edits: Mapping[int, Splice], bias: Bias
    ) -> list[Any]:
        requests = [Instance(what, {}, one, i) for i, one in enumerate(arguments)]
        self._lm.batch_size_per_gpu = size
        with _still(), spliced(self.model, edits), biased(self.model, bias):
            found: list[Any] = getattr(self._lm, what)(requests)
        return found

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


def _length_first(request: tuple[Any, list[int], list[int]]) -> tuple[int, tuple[int, ...]]:
    """What lm-eval sorts log-likelihoods by."""
    ids = request[1] + request[2]
    return -len(ids), tuple(ids)


@contextlib.contextmanager
def _still() -> Iterator[None]:
    """Keep lm-eval's advice and bars off the terminal; its errors are raised."""
    with quiet(), still():
        yield
