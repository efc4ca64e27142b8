"""``harness.compare``: two methods of a folder, or two folders, on every table that has both."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.board import asked
from harness.board.pairs import Pair, Pairs, of_folders, of_methods
from harness.board.pool import Entry
from harness.board.rank import L0_BAND, seeds_missing
from harness.comparison.findings import Comparison, TableFinding
from harness.comparison.items import item_notes
from harness.comparison.judging import Questions, judge
from harness.comparison.measuring import numbers
from harness.errors import UserError, unknown
from harness.metrics.contract import Metric, all_metrics, clusters, get_metric
from harness.specs.reliability import Cards, cards_of, diagnostic
from harness.store.records import check_results


def compare(
    a: str | Path,
    b: str | Path,
    run: str | Path = "runs",
    *,
    tasks: Sequence[str] = (),
    margins: Mapping[str, float] | None = None,
    deltas: Mapping[str, float] | None = None,
) -> Comparison:
    """Compare two methods of one folder, or every method of one folder with itself in another.

    Args:
        a: label of a row, as boards show it; or a folder of results, and then ``b`` is one too.
        b: what ``a`` is compared with.
        run: where the rows of two methods are.
        tasks: compare on these alone; all by default.
        margins: by metric, how much worse A may be and still count as no worse.
        deltas: by metric, a true difference for which the needed clusters and seeds are told.

    Raises:
        UserError: no such method, folder, task or metric; nothing that both sides have; a negative margin or delta.
    """
    folders = _folders(a, b)
    pairs = of_folders(*folders) if folders else of_methods(_results(Path(run)), str(a), str(b))
    found, unpaired = _usable(_on_tasks(pairs, tasks))
    if not found:
        raise UserError(f"nothing can be compared: no table has measured cells of both. {'; '.join(unpaired)}".strip())
    _check_names("--margin", margins or {}, found)
    _check_names("--delta", deltas or {}, found)
    cards = cards_of(*(folders or (Path(run),)))
    tables = []
    for number, pair in enumerate(found):
        asked_of = Questions(margins or {}, deltas or {}, _diagnostic(pair, cards), _few_seeds(pair))
        tables.append(_table(pair, number, asked_of, bool(folders)))
    kind = "folders" if folders else "methods"
    return Comparison(str(a), str(b), kind, tuple(tables), unpaired, pairs.problems)  # type: ignore[arg-type]


def _folders(a: str | Path, b: str | Path) -> tuple[Path, Path] | None:
    """Return both as folders of results where both are, None where neither is."""
    are = [(Path(side) / "results").is_dir() for side in (a, b)]
    if all(are):
        return Path(a), Path(b)
    if any(are):
        folder, other = (a, b) if are[0] else (b, a)
        raise UserError(
            f"'{folder}' is a folder of results and '{other}' is none; give two folders, or two methods and --run"
        )
    return None


def _results(folder: Path) -> Path:
    check_results(folder, "--run")
    return folder


def _on_tasks(pairs: Pairs, tasks: Sequence[str]) -> Pairs:
    names = {pair.task for pair in pairs.pairs}
    for task in tasks:
        if task not in names:
            raise unknown("task", task, names, "--task")
    return Pairs(tuple(p for p in pairs.pairs if not tasks or p.task in tasks), pairs.unpaired, pairs.problems)


def _usable(pairs: Pairs) -> tuple[list[Pair], tuple[str, ...]]:
    """Return the pairs that were measured on the same clusters, and what stands alone, in words."""
    usable, alone = [], list(pairs.unpaired)
    for pair in pairs.pairs:
        failed = [entry.label for entry in (pair.a, pair.b) if not entry.measured]
        counts = {clusters(parts) for entry in (pair.a, pair.b) for parts in entry.measured.values()}
        if failed:
            alone.append(f"{pair.task}: {' and '.join(dict.fromkeys(failed))} has no measured cell")
        elif len(counts) > 1:
            alone.append(
                f"{pair.task}: {pair.a.label} was measured on {' and '.join(map(str, sorted(counts)))} clusters"
            )
        else:
            usable.append(pair)
    return usable, tuple(alone)


def _check_names(option: str, given: Mapping[str, float], pairs: Sequence[Pair]) -> None:
    known = {metric.name for pair in pairs for metric in _metrics(pair)[0]}
    for name, value in given.items():
        if name not in known:
            raise unknown("metric", name, known, option)
        if not value > 0:
            raise UserError(f"{option} {name}: must be above 0, got {value:g}")


def _diagnostic(pair: Pair, cards: Cards) -> dict[str, str]:
    """Return the metrics that cannot be trusted in this table, and why."""
    found = {m.name: diagnostic(cards, m, pair.task, pair.table) for m in all_metrics().values()}
    return {name: why for name, why in found.items() if why}


def _metrics(pair: Pair) -> tuple[list[Metric], tuple[tuple[str, str], ...]]:
    """Return the metrics both sides were asked for that have a better side and an interval, and why others are out."""
    known, compared, left_out = all_metrics(), [], []
    theirs = asked.metrics(pair.b.head)
    for name in asked.metrics(pair.a.head):
        if name not in known or name not in theirs:
            left_out.append((name, "not a metric of this version" if name not in known else "only A has it"))
        elif known[name].direction == "target":
            left_out.append((name, "has no better side"))
        elif known[name].interval == "none":
            left_out.append((name, "has no interval"))
        else:
            compared.append(known[name])
    return compared, tuple(left_out)


def _table(pair: Pair, number: int, questions: Questions, folders: bool) -> TableFinding:
    compared, left_out = _metrics(pair)
    l0_a, l0_b = _l0(pair.a), _l0(pair.b)
    matched = _matched(l0_a, l0_b)
    head = pair.a.head
    return TableFinding(
        key=f"{re.sub(r'[^A-Za-z0-9_-]', '-', pair.task)}-{pair.table[:8]}-{number}",
        task=pair.task,
        title=head.task.title,
        table=pair.table,
        row=pair.a.label if folders else "",
        seeds_a=len(pair.a.measured),
        seeds_b=len(pair.b.measured),
        clusters=clusters(next(iter(pair.a.measured.values()))),
        l0_a=l0_a,
        l0_b=l0_b,
        matched=matched,
        notes=(*_notes(pair), *item_notes(pair, compared)),
        metrics=judge(pair, [numbers(metric, pair) for metric in compared], matched, questions),
        left_out=left_out,
    )


def _l0(entry: Entry) -> float | None:
    found = [get_metric("l0").point(parts)[0] for parts in entry.measured.values()]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if len(known) == len(found) else None


def _matched(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return True  # a track that has no codes
    return abs(a - b) <= L0_BAND * min(a, b) * (1 + 1e-12)


def _notes(pair: Pair) -> tuple[str, ...]:
    """Return what a reader has to know before the numbers: few or failed seeds, controls, changed methods."""
    few = _few_seeds(pair)
    notes = [f"No side is called better, since seeds are missing: {few}."] if few else []
    for side, entry in (("A", pair.a), ("B", pair.b)):
        failed = [str(seed.seed) for seed in entry.seeds if seed.status == "failed"]
        if failed:
            notes.append(f"{side}: seed {', '.join(failed)} failed; the seeds that are left may flatter it.")
        # Held against itself in another folder, a control is no surprise.
        if entry.role is not None and pair.a.label != pair.b.label:
            notes.append(f"{side} is a control ({entry.role}).")
    if pair.a.key[2] != pair.b.key[2] and pair.a.label == pair.b.label:
        notes.append("Parameters or code of the method differ between the two folders.")
    tokens = [next(iter(entry.measured.values()))["n"] for entry in (pair.a, pair.b)]
    if (tokens[0] != tokens[1]).any():
        notes.append("The two were measured on different tokens of the same clusters.")
    return tuple(notes)


def _few_seeds(pair: Pair) -> str:
    """Return why the seeds of a side are too few to call one better, by the rule of a board's ranks; else nothing."""
    found = [(side, seeds_missing(entry)) for side, entry in (("A", pair.a), ("B", pair.b))]
    return "; ".join(f"{side}: {why}" for side, why in found if why)
