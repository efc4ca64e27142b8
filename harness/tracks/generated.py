"""Answers that the model under study writes: problems of a fitting difficulty, answered and judged.

Difficulty is chosen on validation problems: their answers, level by level, until the share of right ones lies in the
task's band; where none does, the level nearest to the band's middle is taken, with a warning. Test problems are those
of that level alone. Which level is taken is decided by the model, so it is in no record's plan, but in its details.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.data.judging import Judge
from harness.data.splits import Document
from harness.errors import UserError
from harness.lm.generation import Continuation, Prompt, Sampling, generate
from harness.lm.model import LanguageModel
from harness.specs.answers import Generated
from harness.tracks.contract import Group, Resources


@dataclass(frozen=True)
class Answered:
    """Answers to the test problems, and how they came about.

    Attributes:
        documents: one for each answer, with its label; samples of a problem share its group.
        details: numbers for the record.
        notes: what a reader should know.
    """

    documents: tuple[Document, ...]
    details: dict[str, float]
    notes: tuple[str, ...]


class Answerer:
    """Lets the model of one group answer problems, and judges what it says."""

    def __init__(self, group: Group, resources: Resources, model: LanguageModel) -> None:
        self.group, self.resources, self.model = group, resources, model
        spec = group.task.spec
        if spec.answers is None or spec.answers.generated is None:
            raise ValueError("specs let a task without generated answers through")
        self.asked: Generated = spec.answers.generated
        self.right = spec.answers.right
        self.judge = Judge(spec)

    def answered(self) -> Answered:
        """Choose the level and answer its test problems; raises ``UserError`` where it has none."""
        splits = self.group.corpus.splits
        accuracy = self._by_level(splits.get("val", ()))
        level = chosen(accuracy, self.asked.band)
        problems = [document for document in splits["test"] if document.level == level]
        if not problems:
            raise UserError(f"task '{self.group.task.spec.task}': level {level} has no test problems.")
        found = self.answer(problems)
        kinds = Counter(str(document.label) for document, _ in found)
        details = {f"right on val, level {number}": share for number, share in accuracy.items()}
        details |= {} if level is None else {"level": float(level)}
        details |= {"problems": float(len(problems)), "right": kinds[self.right] / len(found)}
        details |= {f"answers {kind}": float(count) for kind, count in sorted(kinds.items())}
        details |= {"answers cut at max_tokens": float(sum(one.ended == "length" for _, one in found))}
        return Answered(tuple(document for document, _ in found), details, self._notes(accuracy, level))

    def answer(self, problems: Sequence[Document]) -> list[tuple[Document, Continuation]]:
        """Return every problem with its answers and their labels, in the order of the problems."""
        tokens = self.model.tokenizer([document.text for document in problems], verbose=False)["input_ids"]
        prompts = [Prompt(one.id, tuple(ids)) for one, ids in zip(problems, tokens, strict=True)]
        asked = Sampling(
            self.asked.max_tokens, self.asked.temperature, self.asked.stop, self.asked.samples, self.asked.seed
        )
        folder = self.resources.cache / "generations"
        found = generate(self.model, prompts, asked, self.resources.batch_tokens, folder, self.resources.progress)
        return [
            (self._judged(problem, sample, one), one)
            for problem, several in zip(problems, found, strict=True)
            for sample, one in enumerate(several)
        ]

    def _judged(self, problem: Document, sample: int, found: Continuation) -> Document:
        name = f"{problem.id}#{sample}" if self.asked.samples > 1 else problem.id
        return replace(problem, id=name, label=self.judge.label(problem, found.text), answer=found.text)

    def _by_level(self, problems: Sequence[Document]) -> dict[int, float]:
        """Return the share of right answers at each level up to the first within the band; all where none is."""
        accuracy: dict[int, float] = {}
        for level in sorted({document.level for document in problems if document.level is not None}):
            found = self.answer([document for document in problems if document.level == level])
            accuracy[level] = sum(document.label == self.right for document, _ in found) / len(found)
            if not outside(accuracy[level], self.asked.band):
                break
        return accuracy

    def _notes(self, accuracy: dict[int, float], level: int | None) -> tuple[str, ...]:
        if level is None or not outside(accuracy[level], self.asked.band):
            return ()
        low, high = self.asked.band
        return (
            f"at no level are {low:.0%} to {high:.0%} of the answers on val right; "
            f"level {level} ({accuracy[level]:.0%}) is nearest to the middle",
        )


def chosen(accuracy: dict[int, float], band: tuple[float, float]) -> int | None:
    """Return the first level within the band, else the one nearest to its middle, the earlier of two; None for none."""
    middle = sum(band) / 2
    inside = [level for level, share in accuracy.items() if not outside(share, band)]
    return inside[0] if inside else min(accuracy, key=lambda level: abs(accuracy[level] - middle), default=None)


def outside(share: float, band: tuple[float, float]) -> bool:
    """Say whether a share of right answers is too high or too low."""
    return not band[0] <= share <= band[1]
