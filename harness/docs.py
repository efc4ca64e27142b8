"""One Markdown page per track, written from the cards of tracks, metrics, methods and tasks. Needs no torch.

What a page says is what the harness does: nothing in it is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.metrics.contract import Metric, all_metrics
from harness.specs.ask import Ask
from harness.specs.library import Library
from harness.specs.method import MethodSpec, TrackCard
from harness.specs.steering import Steering
from harness.specs.task import Bar, TaskSpec
from harness.store.files import write_text

_BETTER = {"up": "more is better", "down": "less is better", "target": "neither more nor less is better"}
_INTERVAL = {
    "clusters": "over documents, and seeds where there are several",
    "seeds": "over seeds: it says something of the fit, which documents cannot vary",
    "none": "none",
}


@dataclass(frozen=True)
class Specs:
    """What a library names, read once for all pages."""

    methods: tuple[MethodSpec, ...]
    tasks: tuple[TaskSpec, ...]

    @classmethod
    def of(cls, library: Library) -> Specs:
        """Read everything; raises ``UserError``."""
        methods = (library.method(name).spec for name in library.names("methods"))
        return cls(tuple(methods), tuple(library.task(name) for name in library.names("tasks")))


def write_docs(library: Library, folder: Path) -> list[Path]:
    """Write one page per track and ``index.md`` into ``folder``, and return their paths."""
    cards, specs = [library.track(name) for name in library.tracks()], Specs.of(library)
    pages = {f"{card.track}.md": track_page(card, specs) for card in cards}
    pages["index.md"] = _index(cards)
    for name, text in pages.items():
        write_text(folder / name, text)
    return [folder / name for name in pages]


def _index(cards: Sequence[TrackCard]) -> str:
    rows = [(f"[{card.title}]({card.track}.md)", card.summary) for card in cards]
    return _join("# Tracks", "Written by `harness docs`.", *_table(("track", "what it asks"), rows))


def track_page(card: TrackCard, specs: Specs) -> str:
    """Return the page of one track as Markdown."""
    name = card.track
    metrics = [metric for metric in all_metrics().values() if name in metric.tracks]
    tasks = [task for task in specs.tasks if task.track == name]
    return _join(
        f"# {card.title} (`{name}`)",
        "Written by `harness docs` from the cards of the track, its metrics, methods and tasks.",
        card.summary,
        *_track(card),
        "## Metrics",
        *(line for metric in metrics for line in _metric(metric)),
        "## Methods",
        *_methods([spec for spec in specs.methods if fits(spec, card)]),
        "## Tasks",
        *(line for task in tasks for line in _task(task)),
    )


def fits(spec: MethodSpec, card: TrackCard) -> bool:
    """Whether a track can measure a method, or build a control from what it measures."""
    runs_model = spec.model is None or "hub" in card.sources or "prompts" in card.sources
    return (
        card.takes(spec) and all(need in card.offers for need in spec.needs) and spec.keeps != card.reads and runs_model
    )


def _track(card: TrackCard) -> Iterator[str]:
    optional = f"; may give {_code(card.optional_budget)}" if card.optional_budget else ""
    trained = ", trained by a reward (`reward: true`)" if card.rewarded else ""
    yield _list(
        f"measures methods of kind: {_code(card.kinds)}{trained}",
        f"reads of a method: {card.reads}",
        f"data from: {_code(card.sources)}",
        f"documents need a label: {_yes(card.labels or 'ask' in card.wants)}",
        f"can measure the means of steps: {_yes(card.steps)}",
        f"gives a method that needs it: {_code(card.offers)}",
        f"budget of a task: {_code((*(card.fit_budget if card.fits else ()), *card.test_budget))}{optional}",
        *(("refuses methods that read later tokens",) if card.causal else ()),
        *(() if card.fits else (f"budget of its corpus, for methods that use others: {_code(card.fit_budget)}",)),
    )


def _metric(metric: Metric) -> Iterator[str]:
    yield f"### `{metric.name}`"
    yield _words(metric.summary)
    yield f"    {metric.formula}"
    facts = [
        f"unit: {_unit(metric.unit)}; {_BETTER[metric.direction]}; version {metric.version}",
        f"interval: {_INTERVAL[metric.interval]}",
        f"null value: {_words(metric.null)}",
        f"source: {_words(metric.source)}",
        f"needs the parts: {_code(metric.needs)}",
    ]
    if not metric.margin:
        facts.append("no margin over controls is taken")
    if not metric.derived:
        facts.append("controls derived from a method are no nulls of it: they leave what it reads as it is")
    if metric.within_model:
        facts.append("compared within one language model only")
    yield _list(*facts)


def _methods(specs: Sequence[MethodSpec]) -> Iterator[str]:
    yield from _table(
        ("method", "title", "source", "notes", "parameters and defaults"),
        [(f"`{s.method}`", s.title, s.source, _notes(s), _params(s.params)) for s in specs],
    )


def _notes(spec: MethodSpec) -> str:
    found = [f"needs {', '.join(spec.needs)}"] if spec.needs else []
    found += ["a control built from each method"] if spec.derived else []
    found += ["only from those with a shared code"] if spec.only == "shared" else []
    found += [f"uses {name}" for name in spec.uses.values() if name != "any"]
    found += ["on the language model with its weights drawn anew"] if spec.model else []
    found += [] if spec.seeded or spec.derived else ["no seed changes it"]
    found += [] if spec.causal else ["a code may depend on later tokens"]
    found += ["a part of the code is the document's"] if spec.shared else []
    return "; ".join(found) or "—"


def _params(params: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}={value}`" for key, value in _flat(params)) or "—"


def _flat(value: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{inside}{key}.")
        else:
            yield f"{inside}{key}", _plain(inner)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_plain(inner)}' for key, inner in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _task(task: TaskSpec) -> Iterator[str]:
    yield f"### `{task.task}`"
    yield f"{_words(task.title)}. Version {task.version}."
    # The prompts themselves are data, and would fill the page.
    data = task.data.model_dump(exclude_none=True, exclude={"prompts"})
    facts = [
        f"data: {_params(data)}",
        f"budget: {_params(task.budget.model_dump(exclude_none=True))}",
        f"metrics: {_code(task.metrics)}",
        f"controls: {_controls(task)}",
        f"bars: {', '.join(f'`{name}` {_bar(bar)}' for name, bar in task.bars.items()) or 'none'}",
        f"seeds: {', '.join(map(str, task.seeds))}",
    ]
    if task.model:
        site = _params(task.site.model_dump(exclude_none=True)) if task.site else ""
        facts.insert(0, f"language model: `{task.model}` at {site}")
    if task.vocab:
        facts.append(f"next tokens told apart: the {task.vocab.top} most frequent, and all others as one")
    if task.explanation:
        asked = task.explanation
        facts.append(f"predictions: {asked.predictions}; to learn from: {asked.train_predictions}")
    if task.ask:
        facts.append(f"asks: {_asked(task.ask)}")
    if task.steering:
        facts.append(f"steers: {_steered(task.steering)}")
    if task.corpus:
        facts.insert(1, f"methods are fitted on the task `{task.corpus}`")
    yield _list(*facts)


def _asked(ask: Ask) -> str:
    if ask.lm_eval is not None:
        return f"what lm-eval's task `{ask.lm_eval.name}` asks, behind {ask.lm_eval.shots} examples"
    if ask.written is None:
        return f"which is the likeliest of {_code(ask.choices or ())}"
    judge = {"exact": "an exact match", "words": "SQuAD's exact match and F1"}[ask.written.judge]
    extract = f", of the last match of `{ask.written.extract}`" if ask.written.extract else ""
    return f"for at most {ask.written.max_tokens} tokens, judged by {judge}{extract}"


def _steered(given: Steering) -> str:
    words = given.vocabulary
    named = (
        f"the words of `{words.path}`"
        if words.path
        else _code(w if isinstance(w, str) else w.word for w in words.words)
    )
    doses = f"at edit norms {_numbers(given.norms)}, or {_numbers(given.kls)} nats per token of neutral text"
    return (
        f"towards {named}, {doses}; {given.problems} problems, the strength chosen on {given.val_problems} others; "
        f"{given.directions} random directions"
    )


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _controls(task: TaskSpec) -> str:
    roles = task.controls.model_dump()
    return "; ".join(f"{role} {_code(names)}" for role, names in roles.items() if names) or "none"


def _bar(bar: Bar) -> str:
    ends = (
        f"at least {bar.min:g}" if bar.min is not None else "",
        f"at most {bar.max:g}" if bar.max is not None else "",
    )
    return " and ".join(end for end in ends if end) + (" by its whole interval" if bar.by else "")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    lines = [head, ["---"] * len(head), *([_words(cell).replace("|", "\\|") for cell in row] for row in rows)]
    yield "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _words(text: str) -> str:
    """Return text as Markdown shows it: one line, and nothing in it is taken for a tag."""
    return " ".join(text.split()).replace("<", "&lt;")


def _unit(unit: str) -> str:
    return "none (a ratio)" if unit == "1" else unit


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _list(*items: str) -> str:
    return "\n".join(f"- {item}" for item in items)


def _join(*blocks: str) -> str:
    return "\n\n".join(blocks) + "\n"
