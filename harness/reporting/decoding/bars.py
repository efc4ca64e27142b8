"""The bars that a faithful decoder over sparse features is to meet: set before anything was measured.

Every bar is judged by the whole interval: met where all of it is inside, missed where none of it is, else undecided.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.reporting.contract import Source
from harness.reporting.decoding.domains import AGREE, DROP, KL, LOSS
from harness.reporting.decoding.findings import Bar
from harness.reporting.decoding.labels import NAME as LABELLED
from harness.reporting.decoding.missing import Commands, Texts
from harness.reporting.decoding.readings import (
    Asked,
    Readings,
    anywhere,
    divergence,
    lost,
    named,
    out_of_domain,
    plain,
    silent,
    turned,
)
from harness.stats.bars import Level


def bars(sources: Sequence[Source], commands: Commands) -> tuple[Bar, ...]:
    """Return every bar with every row of the run that was held against it."""
    return tuple(_bar(asked, sources, commands) for asked in ASKED)


def _bar(asked: Asked, sources: Sequence[Source], commands: Commands) -> Bar:
    found = sorted(asked.readings(asked, sources), key=lambda reading: reading.role is not None)
    measured = any(one.role is None and one.outcome != "not measured" for one in found)
    return Bar(
        key=asked.key,
        title=asked.title,
        rule=asked.rule,
        about=asked.about,
        unit=asked.unit,
        readings=tuple(found),
        commands=() if measured else _commands(asked, commands),
    )


def _commands(asked: Asked, commands: Commands) -> tuple[str, ...]:
    if not asked.track:
        return commands.features()
    texts: dict[Readings, Texts] = {out_of_domain: "other", anywhere: "any"}
    return commands.evaluate(asked.track, asked.metric, texts.get(asked.readings, "own"))


ASKED = (
    Asked(
        "divergence",
        "The decoder's predictions are the model's",
        "KL(p‖q) from the model's next-token distribution to the decoder's, on texts of the domain it was fitted on. "
        "Where a task tells some tokens apart and calls all others one, the number is no larger than that over all "
        "tokens (data processing): above the bar it misses it, below the bar nothing is decided.",
        Level(high=0.5),
        "nats/token",
        "decoding",
        KL,
        divergence,
    ),
    Asked(
        "sparsity",
        "A token has few active latents",
        "Mean number of latents that are not 0, as the dictionary is used.",
        Level(low=50, high=100),
        "latents/token",
        "reconstruction",
        "l0",
        plain,
    ),
    Asked(
        "error",
        "Activations are rebuilt: mean squared error",
        "Mean squared error of an element, with inputs scaled to unit mean square; in the model's own units the level "
        "would mean nothing. Where activations have a small mean this is 1 − EV, so the bar asks for EV above 0.99, "
        "more than the next one does; where their mean is large, a constant can come near it.",
        Level(high=0.01),
        "",
        "reconstruction",
        "mse_elem_norm",
        plain,
    ),
    Asked(
        "variance",
        "Activations are rebuilt: explained variance",
        "EV = 1 − FVU, with the variance about the mean of the test tokens.",
        Level(low=0.95),
        "",
        "reconstruction",
        "fvu",
        turned,
    ),
    Asked(
        "dead",
        "Latents fire",
        "Share of latents that fire on no token. It falls with the number of tokens that are looked at, and its "
        "interval is over seeds, so one seed decides nothing.",
        Level(high=0.05),
        "%",
        "reconstruction",
        "dead_frac",
        silent,
    ),
    Asked(
        "accuracy",
        "Accuracy is not lost",
        "Accuracy on the text's next token, the model's less the decoder's on the same tokens; and, where answers were "
        "measured, the share of right answers, the model's less that under the dictionary's reconstructions. Met is "
        "non-inferiority at 3 points: the whole interval lies below.",
        LOSS,
        "points",
        "decoding",
        DROP,
        lost,
    ),
    Asked(
        "labels",
        "Latents have labels",
        "Share of the latents that fire whose lexical label tells windows where they fire from windows where they do "
        "not, on other texts: balanced accuracy with a lower 95 % bound above 0.7. Wilson interval over the latents of "
        "one fit. Latents of random dictionaries get labels too, and stand beside.",
        Level(low=0.85),
        "%",
        "",
        LABELLED,
        named,
    ),
    Asked(
        "domains",
        "It holds out of domain",
        "Read as: of its agreement with the model's likeliest token (agree1) in the domain it was fitted on, a decoder "
        "keeps at least 80 % on other texts. Some texts are easier to predict than others, whoever predicts, so what "
        "the controls keep stands beside.",
        Level(low=0.8),
        "%",
        "decoding",
        AGREE,
        out_of_domain,
    ),
    Asked(
        "importance",
        "Ten features carry about 30 % of the importance",
        "Share of all importance of a prediction's active features that its ten largest have, as a method measures "
        "importance; what the controls say of it, exact ablation among them, stands beside. About is read as within 5 "
        "points.",
        Level(low=0.25, high=0.35),
        "%",
        "explanation",
        "topk_mass10",
        anywhere,
    ),
)
