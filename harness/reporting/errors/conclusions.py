"""What may be concluded, by rules that the report states beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.reporting.contract import Measure
from harness.reporting.errors.findings import Conclusion, Effects, Localisation, Score, Verdict
from harness.reporting.errors.words import figure
from harness.reporting.writing import signed

RULES = (
    "Beyond a control: yes where the whole interval of the margin in AUROC lies above 0, no where it lies below, else "
    "undecided. The intervals hold for everything that is judged in the table together (Bonferroni: every method over "
    "every floor, its added AUROC, its selectivity and its leak), so a table with many methods asks more of each. "
    "Undecided is not no: the answers may be too few. All these bounds are 1.5 times as wide as those of probes "
    "held fixed (Nadeau and Bengio 2003, five folds): each fold's answers also fitted the probes of the others, and of "
    "pure noise 95 % intervals without it hold one half in 82 to 87 of 100 draws.",
    "Beyond the model's own view of its answer: the same rule for added_auroc, which fits both together.",
    "More than memory of the problems: the same rule for selectivity, which subtracts the score on random labels of "
    "problems under the same split.",
    "Single features: yes where at least one |d| exceeds the 95th percentile of the largest |d| under exchanged "
    "labels, for each method by itself. A table of the largest hundred says nothing alone: noise has a largest hundred "
    "too.",
    "A place: yes where one block and position is better alone than every other (adjusted p below .05 over all pairs); "
    "undecided where some tell errors and none leads; no where none has its lower bound above one half (Bonferroni "
    "over the places). Where errors can be read is not where they are made.",
    "A leak: yes where balanced accuracy on random labels of problems lies above one half when answers, not problems, "
    "are divided. A score from a split by rows then counts the problem's recognition as skill.",
)

# Of every metric in ``JUDGED``: the question, what its number is called, and the value that says nothing.
_QUESTIONS = {
    "added_auroc": ("adds to the model's own view of its answers", "added AUROC", 0.0),
    "selectivity": ("tells more than which problem an answer belongs to", "selectivity", 0.0),
    "leak_check": ("would gain from a split by rows (a leak)", "balanced accuracy on random labels", 0.5),
}


def conclusions(
    scores: Sequence[Score], effects: Sequence[Effects], localisations: Sequence[Localisation]
) -> tuple[Conclusion, ...]:
    """Return what every contestant's numbers say."""
    of_effects = {one.label: one for one in effects}
    of_place = {one.label: one for one in localisations}
    found: list[Conclusion] = []
    for score in (one for one in scores if one.role is None):
        found += _of_score(score)
        found.append(_features(of_effects[score.label]))
        found.append(_place(of_place[score.label]))
    return tuple(found)


def _of_score(score: Score) -> Iterator[Conclusion]:
    for one in score.versus:
        yield _judged(score.label, f"tells wrong answers beyond {one.control}", one.adjusted, "margin in AUROC")
    for name, (question, what, null) in _QUESTIONS.items():
        found = _judged(score.label, question, score.adjusted[name], what, null)
        yield replace(found, praise=name != "leak_check")


def _judged(label: str, question: str, found: Measure, name: str, null: float = 0.0) -> Conclusion:
    if found.value is None:
        return Conclusion(label, question, "not measured", found.reason or "no value")
    lo, hi = found.ends
    if lo is None or hi is None:
        return Conclusion(label, question, "undecided", f"{name} {found.value:.3f}; {found.reason or 'no interval'}")
    verdict: Verdict = "yes" if lo > null else "no" if hi < null else "undecided"
    return Conclusion(label, question, verdict, f"{name} {figure(found) if null else signed(found)}")


def _features(found: Effects) -> Conclusion:
    question = "has features that differ more between wrong and right answers than noise"
    if found.reason or found.largest is None or found.threshold is None:
        return Conclusion(found.label, question, "not measured", found.reason or "no threshold in the record")
    above = f"{found.above} of {found.features} features above {found.threshold:.3f}"
    return Conclusion(
        found.label, question, "yes" if found.above else "no", f"{above}; the largest |d| is {found.largest:.3f}"
    )


def _place(found: Localisation) -> Conclusion:
    question = "tells errors at one place better than at the others"
    if found.reason or found.informative is None:
        return Conclusion(found.label, question, "not measured", found.reason or "no block has a value")
    leading = [block for block in found.blocks if block.leads]
    null = "" if found.informative_null is None else f" ({found.informative_null} under exchanged labels)"
    told = f"{found.informative} of {len(found.blocks)} places tell errors alone{null}"
    if found.informative == 0:
        return Conclusion(found.label, question, "no", told)
    if len(leading) == 1:
        return Conclusion(found.label, question, "yes", f"{leading[0].layer}, {leading[0].position} leads; {told}")
    return Conclusion(
        found.label, question, "undecided", f"{len(leading)} places cannot be told apart at the top; {told}"
    )
