"""Findings in words and figures; page, Markdown and terminal say them alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.board import formats
from harness.reporting.contract import Measure
from harness.reporting.decoding.findings import (
    SHARES,
    Anchor,
    Anchors,
    Bar,
    Decoders,
    Domains,
    Explained,
    Reading,
    Reward,
    Row,
    Where,
)

TITLE = "Decoders over sparse features"
NOT_MEASURED = "not measured"
HEADS = {
    "kl_model_method": "KL(p‖q), nats",
    "agree1": "same first token",
    "acc_gold": "accuracy on the text",
}
SECTIONS = {
    "bars": "The bars",
    "decoders": "Decoders by block",
    "answers": "What the model itself can do",
    "rewards": "What the reward did",
    "domains": "In domain and out of it",
    "explained": "Explanations",
}
READING = (
    "Intervals are over clusters (problems, passages) and over seeds where there are several, at 95 % where nothing "
    "else is said; never over tokens. One seed says nothing of other fits.",
    "A bar is met where the whole interval is inside, missed where none of it is, and undecided between; a number "
    "without an interval decides nothing. Every bar is judged by itself. A bar that a control meets says little.",
    "Bars are about the texts a method was fitted on, except the one about other texts.",
    "Where a task tells some tokens apart, the model is projected onto them as every method is. Such numbers are not "
    "those over all tokens, and are only to be held against each other.",
    "KL(p‖q) is in nats per token, p the model and q the decoder. Accuracy on the text counts the text's next token; "
    "same first token counts the model's.",
    "Tokens per second are the decoder's alone, without the model that reads the text, on the machine of its record. "
    "Memory is the largest peak of the process in the stages of the row's own (its fit).",
    "Accuracy lost out of domain is judged as in domain: non-inferiority at 3 points, by the whole interval.",
)


def amount(found: Measure, unit: str = "") -> str:
    """Write a value, a hundredfold where its unit is one of shares; a dash where there is none."""
    if found.value is None:
        return formats.DASH
    return f"{100 * found.value:.1f} {unit}" if unit in SHARES else number(found.value)


def ends(found: Measure, unit: str = "") -> str:
    """Write an interval, or nothing."""
    if found.value is None or found.lo is None or found.hi is None:
        return ""
    share = unit in SHARES
    lo, hi = (f"{100 * end:.1f}" if share else number(end, found.value) for end in (found.lo, found.hi))
    return f"[{lo}, {hi}]"


def number(value: float, beside: float | None = None) -> str:
    """Write a number with three figures, or with the decimals of the value it stands beside."""
    return formats.fixed(value, formats.decimals([value if beside is None else beside]))


def figure(found: Measure, unit: str = "") -> str:
    """Write a value with its interval."""
    return f"{amount(found, unit)} {ends(found, unit)}".strip()


def points(found: Measure) -> str:
    """Write a share in points of a hundred, with its sign and its interval."""
    if found.value is None:
        return formats.DASH
    interval = "" if found.lo is None or found.hi is None else f" [{100 * found.lo:+.1f}, {100 * found.hi:+.1f}]"
    return f"{100 * found.value:+.1f}{interval}"


def because(reading: Reading) -> str:
    """Say what has to be known to read an outcome; why there is no number where there is none."""
    return reading.because if reading.found.value is not None else (reading.found.reason or "no value")


def seeds(count: int) -> str:
    """Say how many fits are behind a number."""
    return "1 seed" if count == 1 else f"{count} seeds"


def told(bar: Bar) -> str:
    """Say how the methods of a run stand at a bar."""
    if not any(one.found.value is not None for one in bar.methods):
        return NOT_MEASURED
    order = ("met", "missed", "undecided", NOT_MEASURED)
    counts = {name: sum(one.outcome == name for one in bar.methods) for name in order}
    return ", ".join(f"{name} by {count}" for name, count in counts.items() if count)


def of_controls(bar: Bar) -> str:
    """Say which controls meet a bar too; empty where none does."""
    names = sorted({one.label for one in bar.controls if one.outcome == "met" and one.role != "ceiling"})
    return f"Met by controls too: {', '.join(names)}. " if names else ""


def place(found: Where) -> str:
    """Name a table."""
    return f"{found.task}, {found.layer}"


def size(found: Decoders) -> str:
    """Say what a table of decoders was measured on."""
    told_apart = tokens(found.vocabulary)
    fitted = f"; fitted on {found.domain}" if found.domain else ""
    return f"{found.tokens} tokens of {found.clusters} clusters; {told_apart}{fitted}; {found.where.model}"


def tokens(vocabulary: int | None) -> str:
    """Say which next tokens are told apart."""
    return "all next tokens told apart" if vocabulary is None else f"{vocabulary} next tokens told apart, others one"


def cost(row: Row) -> tuple[str, str, str]:
    """Write tokens per second, memory and parameters of a row."""
    speed = formats.DASH if row.speed is None else f"{row.speed:,.0f}".replace(",", "\u202f")
    return speed, formats.megabytes(row.peak_mb), formats.amount(row.parameters)


def started(found: Reward) -> str:
    """Say what a reward was tried on."""
    beta = "" if found.beta is None else f"; the penalty weighs {found.beta:g}"
    return (
        f"{seeds(found.seeds)}; at the start {found.divergence} is {figure(found.start)} nats/token, "
        f"{tokens(found.vocabulary)}{beta}; {found.where.model}"
    )


def arm_rows(found: Reward) -> Iterator[tuple[str, str, tuple[Measure, ...]]]:
    """Yield name, meaning and the change in every regime: of every arm, and of the reward less another arm."""
    for arms_of_regimes in zip(*(regime.arms for regime in found.regimes), strict=True):
        yield arms_of_regimes[0].arm, arms_of_regimes[0].what, tuple(arm.change for arm in arms_of_regimes)
    for over in zip(*(regime.over for regime in found.regimes), strict=True):
        yield f"true − {over[0].arm}", f"the reward, less {over[0].what}", tuple(one.change for one in over)


def pair(found: Domains) -> str:
    """Say which two tables stand side by side."""
    told = f"fitted on {found.inside.task}; {tokens(found.vocabulary)}; {found.outside.model}"
    return f"{found.outside.title}: {told}"


def ratio(found: Anchor, arm: str) -> str:
    """Write what an arm ends at, in shares of the start."""
    lo, hi = found.ratios[arm]
    return f"{lo:.2f}" if f"{lo:.2f}" == f"{hi:.2f}" else f"{lo:.2f} to {hi:.2f}"


def arms(found: Sequence[Anchor]) -> tuple[str, ...]:
    """Return the arms that stand under every penalty."""
    return tuple(found[0].ratios)


def judged(found: Explained) -> str:
    """Say how margins between explanations are judged."""
    return (
        f"Margins in {' and '.join(found.judged)}, positive where the row is better, paired over clusters. "
        f"{found.comparisons} are judged together, each at {100 * found.level:.2f} %"
    )


def standings(found: Explained) -> Iterator[tuple[str, str, str]]:
    """Yield every row that was held against others, the metric, and whom it beats, loses to, or cannot be told from."""
    said = {"yes": "beats", "no": "loses to", "undecided": "cannot be told from"}
    for label, metric in dict.fromkeys((one.label, one.metric) for one in found.versus):
        own = [one for one in found.versus if (one.label, one.metric) == (label, metric)]
        named = {word: [one.other for one in own if one.beats == beats] for beats, word in said.items()}
        yield label, metric, "; ".join(f"{word} {', '.join(others)}" for word, others in named.items() if others)


def anchored(found: Anchors) -> str:
    """Say what the table of penalties shows."""
    return (
        "A penalty that pulls to the model itself is the reward under another name: rewards at random then seem to "
        "work, and no reward at all does as well as the reward, so such a control can show nothing. What every arm "
        f"ends at, in shares of the divergence it starts from ({found.start:g} nats; {found.setting}; smallest and "
        f"largest of {found.seeds} seeds):"
    )
