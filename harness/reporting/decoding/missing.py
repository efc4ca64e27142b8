"""What measures what a run folder lacks: commands that can be typed as they stand."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import cache

from harness.errors import UserError
from harness.reporting.contract import Source
from harness.specs.library import Library
from harness.specs.method import MethodSpec
from harness.specs.task import TaskSpec

# What stands for a method that is to be chosen.
ANY = "METHOD"


class Commands:
    """Commands for one run folder."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._library = Library()
        self._run = str(sources[0].folder)
        self._labels = tuple(dict.fromkeys(name for source in sources for name in source.methods))
        self._models = {s.head.head.model.name for s in sources if s.head.head.model}

    def evaluate(
        self, track: str, metric: str = "", *, apart: bool = False, all_tasks: bool = False
    ) -> tuple[str, ...]:
        """Return the command that measures a metric on the tasks of a track.

        Args:
            track: the track.
            metric: a metric the task has to ask for, or its namesake over a vocabulary; any by default.
            apart: tasks on other texts than their methods were fitted on, in place of those on the same.
            all_tasks: whether the command names every such task, or the first.
        """
        if track not in self._library.tracks():
            return (f"nothing here measures it: there is no track '{track}'",)
        fitting = [task for task in _tasks() if self._fits(task, track, metric, apart)]
        if not fitting:
            return (f"nothing here measures it: no task of track '{track}' asks for it",)
        methods = self._methods(track) or (ANY,)
        chosen = fitting if all_tasks else self._near(fitting)[:1]
        return (self._command("eval", methods, ",".join(task.task for task in chosen), "--task", fitting[0]),)

    def features(self) -> tuple[str, ...]:
        """Return the command that labels the latents of a dictionary."""
        fitting = [task for task in _tasks() if self._fits(task, "reconstruction", "", False)]
        methods = self._methods("reconstruction")[:1] or (ANY,)
        chosen = self._near(fitting)[0]
        return (self._command("features", methods, chosen.task, "--task", chosen),)

    def _command(self, verb: str, methods: Sequence[str], tasks: str, option: str, task: TaskSpec) -> str:
        named = [",".join(methods)] if verb == "features" else ["--method", ",".join(methods)]
        other = self._models - {task.model}
        model = ["--model", *sorted(other)] if len(self._models) == 1 and other else []
        words = ["harness", verb, *named, option, tasks, *model, "--output-path", self._run]
        return " ".join(shlex.quote(word) for word in words)

    def _fits(self, task: TaskSpec, track: str, metric: str, apart: bool) -> bool:
        asked = not metric or any(name.removesuffix("_subvocab") == metric for name in task.metrics)
        return task.track == track and asked and (task.corpus is not None) == apart and task.model is not None

    def _near(self, tasks: Sequence[TaskSpec]) -> list[TaskSpec]:
        """Put first what needs no data set from elsewhere."""
        return sorted(tasks, key=lambda task: (task.data.source in ("hub", "folder"), task.task))

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


@cache
def _tasks() -> tuple[TaskSpec, ...]:
    """Return every task there is; reading them takes longer than a small report."""
    library = Library()
    return tuple(library.task(name) for name in library.names("tasks"))


@cache
def _methods() -> tuple[tuple[str, MethodSpec], ...]:
    """Return every method that is no control built from another."""
    library = Library()
    named = ((name, library.method(name).spec) for name in library.names("methods"))
    return tuple((name, spec) for name, spec in named if spec.uses.get("of") != "any")
