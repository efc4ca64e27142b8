"""Which methods explain, on which task, and which task's feature page speaks of the same dictionary."""

from __future__ import annotations

from typing import Any

from harness.errors import UserError
from harness.specs.library import FoundMethod, Library
from harness.specs.task import TaskSpec

# Kinds of method, of which the first two always explain and the third does where it reads codes alone.
_KINDS = ("explainer", "dictionary", "next_token")
# Data that is there without a download or a folder.
_AT_HAND = ("reasoning_gym", "prompts", "planted")
# Keys of a task that decide what a dictionary is fitted on.
FITTING = ("data", "text", "site", "mask", "budget", "corpus")


def explaining_method(library: Library, name: str) -> FoundMethod:
    """Return a method that can explain; raises ``UserError`` for any other."""
    found = library.method(name)
    if found.spec.kind not in _KINDS or found.spec.derived:
        what = "a control of other methods" if found.spec.derived else found.spec.what
        raise UserError(
            f"--method: '{name}' is {what}, which explains no prediction; explainers, dictionaries and decoders over "
            "codes do."
        )
    return found


def fitting_task(library: Library, found: FoundMethod) -> str:
    """Return the first task by name that measures such a method on text which needs no download."""
    for name in library.names("tasks"):
        spec = library.task(name)
        if spec.corpus is None and spec.step is None and spec.data.source in _AT_HAND and spec.model is not None:
            card = library.track(spec.track)
            if card.takes(found.spec) and not card.rewarded and set(found.spec.needs) <= set(card.offers):
                return name
    raise UserError(f"--task: no task that is at hand measures '{found.slug}' on text; name one.")


def read_task(library: Library, name: str) -> TaskSpec:
    """Return a task whose methods meet the tokens of a text; raises ``UserError`` for any other."""
    spec = library.task(name)
    if spec.model is None:
        raise UserError(f"--task: '{name}' runs no language model, so it reads no text; name another.")
    if spec.step is not None:
        raise UserError(f"--task: methods of '{name}' meet the means of steps and not tokens; name another.")
    return spec


def features_task(library: Library, spec: TaskSpec) -> str | None:
    """Return a task whose feature page would be about the same fitted dictionary; None where there is none.

    It fits on the same tokens of the same documents, and its track takes dictionaries.
    """
    for name in dict.fromkeys((spec.task, *library.names("tasks"))):
        other = spec if name == spec.task else library.task(name)
        if "dictionary" in library.track(other.track).kinds and _fits_on(other) == _fits_on(spec):
            return name
    return None


def _fits_on(spec: TaskSpec) -> Any:
    budget = spec.budget
    sizes = (budget.train_tokens, budget.val_tokens, budget.passes, budget.latents, budget.l0)
    whole = spec.model_dump(include={*FITTING, "model"} - {"budget"})
    return whole, sizes, budget.context, budget.packing
