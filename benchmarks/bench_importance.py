"""What importance costs: slopes beside a bare forward and backward pass, ablations beside a whole run for each latent.

    python benchmarks/bench_importance.py [--predictions 200] [--latents 64]

On the default model and the texts of ``explain_gsm_symbolic``, over a dictionary of random directions with 64 of 2 304
latents active. Prints how many backward passes the slopes of all latents took (one for each batch), what they take
beside a forward and backward pass of the same sequences, and what the exact ablation of a latent takes beside running
the rest of the model on the whole text. Ratios are of seconds in one run; the first should stay below 1.2.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import harness.cli  # noqa: F401 - sets what torch reads when it is loaded, as the command does
from harness.api import Dictionary, Explainer, silent
from harness.run.evaluate import Options, prepare
from harness.run.fitting import Fitter
from harness.run.tracks import make_track
from harness.tracks.explanation import Explanation
from harness.tracks.importance import Chosen, Importance

METHOD, TASK = "rank_attribution_random", "explain_gsm_symbolic"
ROUNDS = 3


def begin(predictions: int) -> tuple[Explanation, Dictionary]:
    """Return the track, ready to measure, and the dictionary of the method."""
    options: Options = {"controls": False, "seeds": (0,), "set": {"explanation.predictions": str(predictions)}}
    with tempfile.TemporaryDirectory() as folder:
        call = prepare([METHOD], TASK, Path(folder), options)
        track = make_track(call.groups[-1], call.resources(silent))
        if not isinstance(track, Explanation):
            raise TypeError(f"{TASK} is measured by {type(track).__name__}")
        method = Fitter(track, track.resources.cache / "fits").fit(call.groups[-1].cells[0]).method
    if not isinstance(method, Explainer):
        raise TypeError(f"{METHOD} is a {method.kind}")
    return track, method.dictionary


def timed(work: Callable[[], object]) -> float:
    """Return the seconds one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bare(importance: Importance, read: list[Chosen]) -> None:
    """Run the rest of the model once forwards and backwards on every batch."""
    for chosen in read:
        bare_batch(importance, chosen)


def bare_batch(importance: Importance, chosen: Chosen) -> None:
    """Run the rest of the model once forwards and backwards, on the texts of all predictions of a batch."""
    length_n = torch.tensor([len(point.ids_T) for point in chosen.points])
    row_n = torch.tensor([row for row, _ in chosen.at])
    longest = int(length_n.max())
    ids_nT = chosen.batch.ids_BT[row_n, :longest]
    mask_nT = torch.arange(longest) < length_n[:, None]
    x_nTD = chosen.x_BTD[row_n, :longest].clone().requires_grad_(True)
    final_nTD = importance.model.resume(ids_nT, mask_nT, importance.site.task.layer, x_nTD)
    logp_nV = importance.model.logits(final_nTD[torch.arange(len(row_n)), length_n - 1]).log_softmax(1)
    torch.autograd.grad(logp_nV.max(1).values.sum(), x_nTD)


def whole_runs(importance: Importance, chosen: Chosen, removed_AD: Tensor) -> None:
    """Run the rest of the model on the whole text of the first prediction for each activation."""
    point = chosen.points[0]
    ids_1T, mask_1T = point.ids_T[None], torch.ones(1, len(point.ids_T), dtype=torch.int64)
    for removed_D in removed_AD:
        changed_TD = point.x_TD.clone()
        changed_TD[-1] -= removed_D
        final_1TD = importance.model.resume(ids_1T, mask_1T, importance.site.task.layer, changed_TD[None])
        importance.model.logits(final_1TD[0, -1:]).log_softmax(1)


def slopes(track: Explanation, dictionary: Dictionary, read: list[Chosen]) -> None:
    """Print what the slopes of all latents cost."""
    passes, grad = 0, torch.autograd.grad

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal passes
        passes += 1
        return grad(*given, **named)

    seconds: dict[str, list[float]] = {"slopes": [], "bare": []}
    for _ in range(ROUNDS):
        asked = [track.importance.predictions(chosen, dictionary) for chosen in read]
        torch.autograd.grad, passes = counted, 0
        seconds["slopes"].append(timed(lambda asked=asked: [one.slope(0) for one in asked]))  # type: ignore[misc]
        torch.autograd.grad = grad
        with torch.enable_grad():
            seconds["bare"].append(timed(lambda: bare(track.importance, read)))
    predictions = sum(len(chosen.points) for chosen in read)
    active = sum(float((one.code_nF != 0).sum()) for one in asked)
    print(f"slopes of {active:.0f} active latents in {predictions} predictions: {passes} backward passes")
    print(f"{len(read)} batches; {min(seconds['slopes']):.2f} s, {ratio(seconds):.2f} of a forward and backward pass")


def ratio(seconds: dict[str, list[float]]) -> float:
    """Return the least time of the first over that of the second."""
    first, second = seconds.values()
    return min(first) / min(second)


@torch.no_grad()
def ablations(track: Explanation, read: list[Chosen], latents: int) -> None:
    """Print what exact ablation costs."""
    chosen = read[0]
    point = chosen.points[0]
    removed_AD = torch.randn(latents, point.x_TD.shape[1], generator=torch.Generator().manual_seed(0))
    seconds: dict[str, list[float]] = {"branches": [], "whole": []}
    for _ in range(ROUNDS):
        changed_AD = point.x_TD[-1] - removed_AD
        seconds["branches"].append(timed(lambda changed_AD=changed_AD: track.importance.values(point, changed_AD)))  # type: ignore[misc]
        seconds["whole"].append(timed(lambda: whole_runs(track.importance, chosen, removed_AD)))
    each = f"{1000 * min(seconds['branches']) / latents:.1f} ms each, {ratio(seconds):.3f} of whole runs"
    print(f"ablation of {latents} latents at token {len(point.ids_T)}: {each}")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--predictions", type=int, default=200)
    parser.add_argument("--latents", type=int, default=64)
    given = parser.parse_args()
    track, dictionary = begin(given.predictions)
    read = [track.importance.read(track.site.test.batches[number], at) for number, at in track.places]
    slopes(track, dictionary, read)
    ablations(track, read, given.latents)


if __name__ == "__main__":
    main()
