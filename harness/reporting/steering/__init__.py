"""The report on steering: what each arm changes in what a model writes, how strongly, and what noise would show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.reporting.contract import Source, TrackReport
from harness.reporting.rows import blocks, in_order, notes
from harness.reporting.steering import text, words
from harness.reporting.steering.arms import SHOWN, arms
from harness.reporting.steering.findings import Findings, Table
from harness.reporting.steering.generations import generations
from harness.reporting.steering.marking import spellings, split
from harness.reporting.steering.missing import missing
from harness.reporting.steering.published import published
from harness.reporting.steering.responses import responses
from harness.reporting.steering.views import views


class SteeringReport(TrackReport[Findings]):
    """Steerers and the arms they are held against."""

    tracks = ("steering",)
    bare = ("steering",)
    title = words.TITLE
    template = "report_steering.html.j2"
    styles = ("report.css", "steering.css")

    def findings(self, sources: Sequence[Source]) -> Findings:
        """Return everything the report says."""
        return Findings(tuple(_table(source) for source in sources), *published())

    def views(self, findings: Findings) -> Mapping[str, Any]:
        """Return drawings, and the words of the template."""
        return {"views": views(findings), "words": words, "shown": SHOWN, "split": split}

    def markdown(self, findings: Findings) -> str:
        """Return the findings as Markdown."""
        return text.markdown(findings)

    def lines(self, findings: Findings) -> tuple[tuple[str, ...], list[list[str]]]:
        """Return the verdicts as a table."""
        return text.lines(findings)


def _table(source: Source) -> Table:
    head, parts = source.head.head, next(iter(source.head.measured.values()))
    spelled, unmarked = spellings(head.task.spec)
    return Table(
        task=source.task,
        title=head.task.title,
        table=source.table,
        model=head.model.label if head.model else "no model",
        layer=blocks(source.head),
        positions=_positions(head.task.spec),
        problems=round(parts["n"].sum()),
        clusters=len(parts["n"]),
        validation=round(head.details.get("validation problems", 0.0)),
        words=spelled,
        unmarked=unmarked,
        arms=arms(source),
        responses=responses(source),
        texts=generations(source),
        missing=missing(source),
        notes=notes(source, in_order(source)),
    )


def _positions(spec: Mapping[str, Any]) -> str:
    asked = spec.get("steering")
    everywhere = isinstance(asked, dict) and asked.get("positions") == "all"
    return "activations of the prompt and of new tokens" if everywhere else "activations of new tokens"


REPORT = SteeringReport()
