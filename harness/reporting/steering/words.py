"""Findings in words and figures; page, Markdown and terminal say them alike."""

from __future__ import annotations

from harness.board import formats
from harness.metrics.steering import LEXICAL_SHARE
from harness.reporting.contract import Measure
from harness.reporting.steering.findings import Arm, Count, Missing, Point, Response, Share, Table, Texts, Written

TITLE = "Steering"
# How a metric is called at the head of a column.
HEADS = {
    "d_acc": "change of accuracy",
    "d_reflect": "change of words per 100 tokens",
    "over_random": "slope over random",
    "d_gold_loglik": "change of ln p(right answer)",
    "side_kl": "side effect, KL",
    "side_acc": "side effect, accuracy",
    "ppl_base": "perplexity",
    "rep4": "repeated 4-grams",
    "hm_offline": "hm, offline",
    "len_ratio": "length ratio",
    "censored": "cut short",
}
# Differences are written with their sign.
SIGNED = ("d_acc", "d_reflect", "d_gold_loglik", "side_acc")
MEANINGS = {
    "STEERS": f"an effect is shown of which {LEXICAL_SHARE:.0%} exceed what a bias on the words brings about, and the "
    "dose–response is shown to exceed that of every random direction",
    "LEXICAL": "of every effect that is shown, a bias on the words of the same divergence on neutral text is shown to "
    f"bring about {LEXICAL_SHARE:.0%} or more",
    "NO_EFFECT": "all changes lie within the task's margins with their whole intervals",
    "INCONCLUSIVE": "no effect is shown and none is ruled out, or one is shown and cannot be told from what the words "
    "alone or random directions bring about; its reason says which",
}
READING = (
    "Every arm is held against the model as it is on the same problems. Intervals are over clusters of problems, and "
    "over seeds where there are several, at 95 %; every arm is judged by itself. A change of accuracy of one seed has "
    "the interval of a paired share.",
    "Doses of arms that change activations are relative edit norms (mean norm of the change / mean norm of the "
    "activations); of arms that change none, square roots of the divergence on neutral text.",
    "Strength is chosen for every arm among the same doses by the mean of hm_offline on validation problems, the "
    "weakest of equal ones; test problems choose nothing. A latent or a direction is chosen on the train split.",
    "Pictures show mean ln p that a word of the task begins, over what the model writes as it is, less that of the "
    "model as it is. The band is 95 % over clusters and is paired, so it is of no width at dose 0. Grey lines are the "
    "slopes of random directions at the same doses. A full mark is a dose that was chosen. Pictures of one table with "
    "the same kind of dose have the same scales.",
    "Generations are the first of each outcome in the order of the problems, of the first seed: they show how answers "
    "change, and not how often. Where several texts are written for a problem the first is shown, and right is what "
    "most of them answer. Words are marked by their spelling; the count beside a text is by tokens, as it is measured, "
    "and the two may differ.",
    "helped is wrong as the model is and right under the edit, harmed the reverse. p is exact (McNemar), given for one "
    "seed whose problems do not hang together.",
    "Quoted figures are of other models, tasks and protocols. They stand apart and are never ranked with what was "
    "measured here.",
)
GAPS = {"control": "Controls that were not measured", "arm": "Arms that could be measured beside these"}
NO_CLEAN = "the text of the model as it is was not kept, or is not the one this was held against"


def number(value: float | None) -> str:
    """Write a number with three figures, or a dash."""
    return formats.DASH if value is None else f"{value:.3g}"


def figure(found: Measure, signed: bool = False) -> str:
    """Write a value with its interval, or a dash."""
    return f"{value(found, signed)} {ends(found, signed)}".strip()


def value(found: Measure, signed: bool = False) -> str:
    """Write a value in three decimals, or a dash."""
    return formats.DASH if found.value is None else _fixed(found.value, signed)


def ends(found: Measure, signed: bool = False) -> str:
    """Write an interval, or nothing."""
    if found.value is None or found.lo is None or found.hi is None:
        return ""
    return f"[{_fixed(found.lo, signed)}, {_fixed(found.hi, signed)}]"


def _fixed(number: float, signed: bool) -> str:
    # What is below half of the last decimal keeps two figures, so that nothing small looks like nothing.
    small = number != 0 and abs(number) < 5e-4
    text = f"{number:+.1e}" if small else f"{number:+.3f}"
    return text if signed and number != 0 else text.removeprefix("+")


def count(found: Count, table: Table) -> str:
    """Write how many problems there are of a kind."""
    return f"{found.problems:.3g} of {table.problems}"


def p(arm: Arm) -> str:
    """Write a p-value, or a dash."""
    if arm.p is None:
        return formats.DASH
    return f"{arm.p:.3f}" if arm.p >= 1e-3 else f"{arm.p:.1e}"


def seeds(count: int) -> str:
    """Say how many fits are behind a row."""
    return "1 seed" if count == 1 else f"{count} seeds"


def size(table: Table) -> str:
    """Say what a table was measured on."""
    told = f"{table.problems} problems in {table.clusters} clusters; {table.layer}, {table.positions}; {table.model}"
    return f"{told}; strengths chosen on {table.validation} validation problems"


def words(table: Table) -> str:
    """Say which words the task is about."""
    if table.unmarked:
        return f"No word is marked: {table.unmarked}."
    return f"Words: {', '.join(table.words)}."


def response(found: Response) -> str:
    """Say what a dose–response comes to."""
    if found.reason:
        return found.reason
    random = f"; {len(found.random)} random directions from {min(found.random):+.3f} to {max(found.random):+.3f}"
    return f"slope {figure(found.slope, True)} nats per unit of {found.unit}{random if found.random else ''}"


def chosen(point: Point, found: Response) -> str:
    """Say in how many seeds a dose was chosen."""
    if found.seeds == 1:
        return "chosen" if point.chosen else ""
    return f"in {point.chosen} of {found.seeds} seeds" if point.chosen else ""


def outcomes(found: Texts) -> str:
    """Say how many answers of each outcome there are."""
    return found.reason or ", ".join(f"{name} {count}" for name, count in found.counts.items())


def right(found: Written) -> str:
    """Say whether an answer is right."""
    return "not judged" if found.right is None else "right" if found.right else "wrong"


def hits(found: Written) -> str:
    """Say how many words a text holds, as it is counted."""
    return "words not counted" if found.hits is None else "1 word" if found.hits == 1 else f"{found.hits:.0f} words"


def gap(found: Missing) -> str:
    """Name what is missing."""
    return f"{GAPS[found.kind]}: {', '.join(found.labels)}"


def share(found: Share) -> str:
    """Write a published share in percent."""
    return f"{100 * found.share:.1f}"


def share_ends(found: Share) -> str:
    """Write the interval of a published share in percent."""
    return f"[{100 * found.lo:.1f}, {100 * found.hi:.1f}]"


def score(found: float | None) -> str:
    """Write a published score, or a dash."""
    return formats.DASH if found is None else f"{found:.3f}"
