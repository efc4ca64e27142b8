"""Data files of feature pages with labels of a judge and ratings of people, made by hand."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from feature_files import file, layer

from harness.features.asking import Asked
from harness.features.judged import draw, summed
from harness.features.ratings import add_ratings, read_ratings
from harness.specs.features import FeatureFile, Judged, LayerFeatures, Verdicts


def verdicts(balanced: float, unparsed: float = 0.0) -> Verdicts:
    return Verdicts(truth="10", said="1?", balanced=balanced, lower=balanced - 0.12, f1=balanced, unparsed=unparsed)


def judged_layer(
    number: int = 9, text: str = "numbers after an equals sign", model: str = "some/judge"
) -> LayerFeatures:
    """Return a layer of which a judge was asked about ten latents, and gave no label to one of them."""
    held = layer(number)
    sample = draw(held, 10, 0)
    found = {
        latent: Judged(
            label=f"{text} ({latent})",
            reason=None,
            detection=verdicts(0.6 + 0.03 * i, 0.05 if i == 2 else 0.0),
            fuzzing=verdicts(0.55 + 0.02 * i),
            permuted=verdicts(0.5),
        )
        for i, latent in enumerate(sample)
    }
    found[sample[0]] = Judged(label=None, reason="the judge gave none", detection=None, fuzzing=None, permuted=None)
    features = [f.model_copy(update={"judged": found.get(f.index)}) for f in held.features]
    sums = summed(held, features, sample, [], Asked("http://nowhere", model, 10, ()))
    return held.model_copy(update={"features": features, "judge": sums})


def ratings_csv(rows: list[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def rated_file(
    folder: Path, comment: str = "clear, I think", text: str = "numbers after an equals sign"
) -> FeatureFile:
    """Return a file with a judge's labels, of whose judged latents two people rated eight."""
    held = file(judged_layer(text=text))
    judged = [f.index for f in held.layers[0].features if f.judged][1:9]
    rows: list[dict[str, object]] = [
        {
            "latent": latent,
            "rating": min(1 + i // 2 + (who == "ben" and i % 3 == 0), 5),
            "rater": who,
            "comment": comment,
        }
        for i, latent in enumerate(judged)
        for who in ("ada", "ben")
    ]
    path = folder / "ratings.csv"
    path.write_text(ratings_csv(rows))
    return add_ratings(held, read_ratings(path, "1-5"))


def rated_latents(held: FeatureFile) -> list[int]:
    return [f.index for f in held.layers[0].features if f.ratings]
