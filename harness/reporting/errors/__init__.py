"""The report of track ``errors``: which answers a probe tells to be wrong, where, and what noise would show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.reporting.contract import Source, TrackReport
from harness.reporting.errors import summary, text, words
from harness.reporting.errors.conclusions import RULES, conclusions
from harness.reporting.errors.decisions import TOLD, calibration, examples
from harness.reporting.errors.effects import effects
from harness.reporting.errors.findings import Findings, Table
from harness.reporting.errors.localisation import localisation
from harness.reporting.errors.published import published
from harness.reporting.errors.summary import comparisons, family_level, scores
from harness.reporting.errors.views import views


class ErrorsReport(TrackReport[Findings]):
    """Error probes."""

    tracks = ("errors",)
    title = "Which answers are wrong"
    template = "report_errors.html.j2"
    styles = ("report.css",)

    def findings(self, sources: Sequence[Source]) -> Findings:
        """Return everything the report says."""
        return Findings(tuple(_table(source) for source in sources), published())

    def views(self, findings: Findings) -> Mapping[str, Any]:
        """Return drawings, and the words of the template."""
        return {"views": views(findings), "words": words, "rules": RULES, "summary": summary, "told": TOLD}

    def markdown(self, findings: Findings) -> str:
        """Return the findings as Markdown."""
        return text.markdown(findings, RULES)

    def lines(self, findings: Findings) -> tuple[tuple[str, ...], list[list[str]]]:
        """Return the conclusions as a table."""
        return text.lines(findings)


def _table(source: Source) -> Table:
    entries = source.contestants
    head = entries[0].head
    parts = next(iter(entries[0].measured.values()))
    found, sizes, places = (
        scores(source),
        tuple(effects(source, entry) for entry in entries),
        tuple(localisation(entry) for entry in entries),
    )
    return Table(
        task=source.task,
        title=head.task.title,
        table=source.table,
        model=head.model.label if head.model else "no model",
        data=head.data.name,
        answers=len(parts["item_y"]),
        groups=len(parts["n"]),
        wrong=float(parts["item_y"].mean()),
        level=family_level(comparisons(source)),
        comparisons=comparisons(source),
        scores=found,
        localisations=places,
        effects=sizes,
        calibrations=tuple(calibration(entry) for entry in entries),
        examples=tuple(examples(source, entry) for entry in entries),
        conclusions=conclusions(found, sizes, places),
        notes=source.notes,
    )


REPORT = ErrorsReport()
