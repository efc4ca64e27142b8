"""The report on decoders over sparse features: what they meet, what their reward did, and how far they carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.reporting.contract import Source, TrackReport
from harness.reporting.decoding import text, words
from harness.reporting.decoding.anchors import anchors
from harness.reporting.decoding.bars import bars
from harness.reporting.decoding.baselines import SHOWN, answers, decoders
from harness.reporting.decoding.domains import domains
from harness.reporting.decoding.explained import explained
from harness.reporting.decoding.findings import Findings
from harness.reporting.decoding.missing import Commands
from harness.reporting.decoding.rewards import rewards
from harness.reporting.decoding.views import views


class DecodingReport(TrackReport[Findings]):
    """Decoders, the dictionaries they read, their rewards and their explanations."""

    tracks = ("decoding", "reward_control", "reconstruction", "answers", "explanation")
    bare = ("answers",)
    title = words.TITLE
    template = "report_decoding.html.j2"
    styles = ("report.css", "decoding.css")

    def findings(self, sources: Sequence[Source]) -> Findings:
        """Return everything the report says."""
        commands = Commands(sources)
        found = Findings(
            bars=bars(sources, commands),
            decoders=decoders(sources),
            answers=answers(sources),
            rewards=rewards(sources),
            domains=domains(sources),
            explained=explained(sources),
            anchors=anchors(),
            missing={},
        )
        empty = {name: measured() for name, measured in _missing(commands).items() if not getattr(found, name)}
        return replace(found, missing=empty)

    def views(self, findings: Findings) -> Mapping[str, Any]:
        """Return drawings, and the words of the template."""
        return {"views": views(findings), "words": words, "shown": SHOWN}

    def markdown(self, findings: Findings) -> str:
        """Return the findings as Markdown."""
        return text.markdown(findings)

    def lines(self, findings: Findings) -> tuple[tuple[str, ...], list[list[str]]]:
        """Return bars and verdicts as a table."""
        return text.lines(findings)


def _missing(commands: Commands) -> dict[str, Callable[[], tuple[str, ...]]]:
    """Return what measures every section, by its name in ``Findings``."""
    return {
        "decoders": lambda: commands.evaluate("decoding"),
        "answers": lambda: commands.evaluate("answers", texts="any"),
        "rewards": lambda: commands.evaluate("reward_control"),
        "domains": lambda: commands.evaluate("decoding", texts="other"),
        "explained": lambda: commands.evaluate("explanation", texts="any"),
    }


REPORT = DecodingReport()
