"""What measures what a run folder lacks: commands that can be typed as they stand."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal

from harness.errors import UserError
from harness.metrics.contract import SUBVOCAB
from harness.reporting.contract import Source
from harness.specs.library import Library
from harness.specs.method import MethodSpec
from harness.specs.task import TaskSpec

# What stands for a method that is to be chosen.
ANY = "METHOD"
# Of a task: those its methods are fitted on, others, or either.
Texts = Literal["own", "other", "any"]


class Commands:
    """Commands for one run folder."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._library = Library()
        self._run = str(sources[0].folder)
        self._labels = tuple(dict.fromkeys(name for source in sources for name in source.methods))
        self._models = {s.head.head.model.name for s in sources if s.head.head.model}

    def evaluate(self, track: str, metric: str = "", texts: Texts = "own") -> tuple[str, ...]:
        """Return the command that measures a metric on a task of a track, or why there is none.

        Args:
            track: the track.
            metric: a metric the task has to ask for, or its namesake over a vocabulary; any by default.
            texts: tasks on the texts their methods are fitted on, on others (all of them), or on any (all of them).
        """
        if track not in self._library.tracks():
            return (f"nothing here measures it: there is no track '{track}'",)
        fitting = [task for task in _tasks() if _fits(task, track, metric, texts)]
        if not fitting:
            return (f"nothing here measures it: no task of track '{track}' asks for it",)
        return self._commands("eval", track, self._methods(track), fitting[:1] if texts == "own" else fitting)

    def features(self) -> tuple[str, ...]:
        """Return the command that labels the latents of a dictionary."""
        track = "reconstruction"
        fitting = [task for task in _tasks() if _fits(task, track, "", "own")]
        return self._commands("features", track, self._methods(track)[:1], fitting[:1])

    def _commands(self, verb: str, track: str, methods: Sequence[str], tasks: Sequence[TaskSpec]) -> tuple[str, ...]:
        names = ",".join(methods or (ANY,))
        named = [names] if verb == "features" else ["--method", names]
        other = self._models - {tasks[0].model}
        model = ["--model", *other] if len(self._models) == 1 and other else []
        task = ["--task", ",".join(task.task for task in tasks)]
        command = shlex.join(["harness", verb, *named, *task, *model, "--output-path", self._run])
        if methods:
            return (command,)
        kinds = ", ".join(self._library.track(track).kinds)
        return command, f"{ANY}: one of kind {kinds}; `harness list methods` names them"

    def _methods(self, track: str) -> tuple[str, ...]:
        """Return the methods of the run that a track takes, with what they are built on, and all of a kind of its own.

        Where neither gives one, those that learn from rewards if the track is about these.
        """
        card, cards = self._library.track(track), [self._library.track(name) for name in self._library.tracks()]
        own = set(card.kinds) - {kind for other in cards if other.track != track for kind in other.kinds}
        known = dict.fromkeys(name for label in self._labels for name in self._with_used(label))
        taken = [name for name in known if card.takes(self._spec(name))]
        taken += [name for name, spec in _methods() if spec.kind in own and name not in taken]
        if not taken and card.rewarded:
            taken = [name for name, spec in _methods() if card.takes(spec)][:1]
        return tuple(taken)

    def _with_used(self, name: str) -> Iterator[str]:
        try:
            spec = self._spec(name)
        except UserError:  # a method of another installation, a checkpoint, or a label with its hash
            return
        yield name
        for used in spec.uses.values():
            yield from self._with_used(used)

    def _spec(self, name: str) -> MethodSpec:
        return self._library.method(name).spec


def _fits(task: TaskSpec, track: str, metric: str, texts: Texts) -> bool:
    asked = not metric or any(name.removesuffix(SUBVOCAB) == metric for name in task.metrics)
    on = "own" if task.corpus is None else "other"
    return task.track == track and asked and texts in (on, "any") and task.model is not None


@cache
def _tasks() -> tuple[TaskSpec, ...]:
    """Return every task there is, first those that need no data from elsewhere; reading them takes a while."""
    library = Library()
    found = (library.task(name) for name in library.names("tasks"))
    return tuple(sorted(found, key=lambda task: task.data.source in ("hub", "folder")))


@cache
def _methods() -> tuple[tuple[str, MethodSpec], ...]:
    """Return every method that is no control built from another."""
    library = Library()
    named = ((name, library.method(name).spec) for name in library.names("methods"))
    return tuple((name, spec) for name, spec in named if spec.uses.get("of") != "any")
