"""Compiled loops for the CPU: selecting active latents and ordering them, where array operators pass memory too often.

Rows are shared out among as many threads as torch uses; the loops hold no lock and each writes its own rows, so results
do not depend on the number of threads. Compiled code is kept on disk (numba's cache), so only the first process waits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba
import numpy as np
import torch

Array = np.ndarray[Any, np.dtype[Any]]
Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])

PIECES = 4
"""Pieces a thread takes: a thread that was held up leaves some to the others."""

_threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="rows")


def compiled(function: Function) -> Function:
    """Compile a loop over arrays; it runs without the lock that Python code holds."""
    # sums may be reordered and signs of zero dropped, which vector instructions need; nothing is assumed of NaN
    loop: Function = numba.njit(nogil=True, cache=True, fastmath={"nsz", "contract", "reassoc"})(function)
    return loop


def over_rows(work: Callable[[int, int], Result], rows: int) -> list[Result]:
    """Return ``work(start, stop)`` for contiguous pieces of the rows, in order; on as many threads as torch uses."""
    threads = torch.get_num_threads()
    step = max(math.ceil(rows / (PIECES * threads)), 1)
    pieces = [(start, min(start + step, rows)) for start in range(0, max(rows, 1), step)]
    if threads == 1 or len(pieces) < 2:
        return [work(*piece) for piece in pieces]
    share = [_threads.submit(lambda own: [work(*piece) for piece in own], pieces[t::threads]) for t in range(threads)]
    done = [future.result() for future in share]
    return [done[i % threads][i // threads] for i in range(len(pieces))]


@compiled
def kth_largest(value_N: Array, n: int, k: int) -> float:
    """Return the ``k``-th largest (from 1) of ``value_N[:n]``, which is reordered (Hoare's selection)."""
    low, high, want = 0, n - 1, k - 1
    while low < high:
        pivot = value_N[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while value_N[i] > pivot:
                i += 1
            while value_N[j] < pivot:
                j -= 1
            if i <= j:
                value_N[i], value_N[j] = value_N[j], value_N[i]
                i += 1
                j -= 1
        if want <= j:
            high = j
        elif want >= i:
            low = i
        else:
            break
    return value_N[want]  # type: ignore[no-any-return]


@compiled
def group_maxima(row_F: Array, best_G: Array) -> None:
    """Write the maximum of each group; group ``g`` holds every ``G``-th value from ``g`` on, so loops are vectors."""
    latents, groups = len(row_F), len(best_G)
    for g in range(groups):
        best_G[g] = row_F[g]
    for start in range(groups, latents, groups):
        for g in range(min(groups, latents - start)):
            best_G[g] = max(best_G[g], row_F[start + g])


@compiled
def gather_from(row_F: Array, best_G: Array, bound: float, latent_F: Array, value_F: Array) -> int:
    """Write latents and values from ``bound`` up, looking only into groups whose maximum is; returns how many."""
    latents, groups = len(row_F), len(best_G)
    found = 0
    for g in range(groups):
        if best_G[g] >= bound:
            for f in range(g, latents, groups):
                if row_F[f] >= bound:
                    latent_F[found] = f
                    value_F[found] = row_F[f]
                    found += 1
    return found


@compiled
def top_k_rows(pre_NF: Array, groups: int, latent_Nk: Array, start: int, stop: int) -> bool:
    """Write the latents of the ``k`` largest of each row; returns ``False`` if a row holds what is not a number.

    The ``k`` largest lie in the ``k`` groups of largest maximum, and none lies below the least of those maxima.
    """
    latents, k = pre_NF.shape[1], latent_Nk.shape[1]
    best_G, sorted_G = np.empty(groups, pre_NF.dtype), np.empty(groups, pre_NF.dtype)
    latent_F, value_F = np.empty(latents, np.int64), np.empty(latents, pre_NF.dtype)
    sorted_F = np.empty(latents, pre_NF.dtype)
    for n in range(start, stop):
        group_maxima(pre_NF[n], best_G)
        sorted_G[:] = best_G
        found = gather_from(pre_NF[n], best_G, kth_largest(sorted_G, groups, k), latent_F, value_F)
        if found < k:
            return False
        sorted_F[:found] = value_F[:found]
        bound = kth_largest(sorted_F, found, k)
        spare = k
        for i in range(found):
            spare -= value_F[i] > bound
        taken = 0
        for i in range(found):
            if value_F[i] == bound:
                spare -= 1
            if value_F[i] > bound or (value_F[i] == bound and spare >= 0):
                latent_Nk[n, taken] = latent_F[i]
                taken += 1
        if taken < k:
            return False
    return True


@compiled
def above_rows(pre_NF: Array, bound: float, groups: int, count_N: Array, start: int, stop: int) -> tuple[Array, Array]:
    """Return latents and values above ``bound`` of rows ``start`` to ``stop``; writes how many each row has."""
    latents = pre_NF.shape[1]
    above = np.nextafter(pre_NF.dtype.type(bound), pre_NF.dtype.type(np.inf))
    best_G = np.empty(groups, pre_NF.dtype)
    latent_E, value_E = np.empty(4 * latents, np.int64), np.empty(4 * latents, pre_NF.dtype)
    entries = 0
    for n in range(start, stop):
        if entries + latents > len(latent_E):
            latent_E, value_E = lengthened(latent_E, entries), lengthened(value_E, entries)
        group_maxima(pre_NF[n], best_G)
        count_N[n] = gather_from(pre_NF[n], best_G, above, latent_E[entries:], value_E[entries:])
        entries += count_N[n]
    return latent_E[:entries].copy(), value_E[:entries].copy()


@compiled
def lengthened(array: Array, used: int) -> Array:
    """Return a copy twice as long, of which ``used`` are filled."""
    longer = np.empty(2 * len(array), array.dtype)
    longer[:used] = array[:used]
    return longer


@compiled
def keep_largest(latent_E: Array, value_E: Array, count_N: Array, border: float, wanted: int) -> Array:
    """Return the latents of the ``wanted`` values from ``border`` up (of equal ones the first); counts anew."""
    spare = wanted
    for e in range(len(value_E)):
        spare -= value_E[e] > border
    kept_E = np.empty(wanted, np.int64)
    e = kept = 0
    for n in range(len(count_N)):
        before = kept
        for _ in range(count_N[n]):
            if value_E[e] == border:
                spare -= 1
            if value_E[e] > border or (value_E[e] == border and spare >= 0):
                kept_E[kept] = latent_E[e]
                kept += 1
            e += 1
        count_N[n] = kept - before
    return kept_E


@compiled
def count_above(value_NF: Array, bound: float, start: int, stop: int) -> int:
    """Return how many values of rows ``start`` to ``stop`` exceed ``bound``."""
    least = value_NF.dtype.type(bound)
    found = 0
    for n in range(start, stop):
        row_F = value_NF[n]
        for f in range(len(row_F)):
            found += row_F[f] > least
    return found


@compiled
def order_by_latent(latent_E: Array, row_E: Array, start_F: Array, order_E: Array, row_by_latent_E: Array) -> None:
    """Write the order of entries by latent, rows ascending, and their rows; ``start_F`` holds where latents begin."""
    next_F = start_F.copy()
    for e in range(len(latent_E)):
        place = next_F[latent_E[e]]
        order_E[place] = e
        row_by_latent_E[place] = row_E[e]
        next_F[latent_E[e]] += 1
