"""Runs what is not ours: whatever one method raises fails its own cell alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from harness.api import Dictionary, ErrorProbe, Explainer, Method, NextToken, Rewarded, Steerer
from harness.errors import CellError

M = TypeVar("M", bound=Method)
R = TypeVar("R")


def dictionary(method: Method, track: str) -> Dictionary:
    """Return the method as what it has to be; raises ``CellError`` where it is something else."""
    if not isinstance(method, Dictionary):
        raise CellError(f"track '{track}' measures dictionaries, got a {method.kind}")
    return method


def error_probe(method: Method, track: str) -> ErrorProbe:
    """Return the method as what it has to be; raises ``CellError`` where it is something else."""
    if not isinstance(method, ErrorProbe):
        raise CellError(f"track '{track}' measures error probes, got a {method.kind}")
    return method


def next_token(method: Method, track: str) -> NextToken:
    """Return the method as what it has to be; raises ``CellError`` where it is something else."""
    if not isinstance(method, NextToken):
        raise CellError(f"track '{track}' measures decoders of next tokens, got a {method.kind}")
    return method


def rewarded(method: Method, track: str) -> Rewarded:
    """Return the method as what it has to be; raises ``CellError`` where it is something else."""
    if not isinstance(method, Rewarded):
        raise CellError(f"track '{track}' measures decoders trained by a reward, got a {method.kind} that is not one")
    return method


def explainer(method: Method, track: str) -> Explainer:
    """Return the method as what it has to be; raises ``CellError`` where it is something else."""
    if not isinstance(method, Explainer):
        raise CellError(f"track '{track}' measures explainers, got a {method.kind}")
    return method


def steerer(method: Method, track: str) -> Steerer:
    """Return the method as what it has to be; raises ``CellError`` where it is something else."""
    if not isinstance(method, Steerer):
        raise CellError(f"track '{track}' measures steerers, got a {method.kind}")
    return method


def each(
    methods: Mapping[str, Method], kind: Callable[[Method, str], M], track: str, work: Callable[[str, M], R]
) -> dict[str, R | CellError]:
    """Return what ``work`` gives for every method, or why it fails; ``kind`` is one of the functions above."""
    results: dict[str, R | CellError] = {}
    for name, method in methods.items():
        try:
            results[name] = work(name, kind(method, track))
        except CellError as error:
            results[name] = error
        except Exception as error:  # a method is foreign code
            results[name] = CellError(f"measuring raised {type(error).__name__}: {error}")
    return results
