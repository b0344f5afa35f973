"""Which rows go into which part: the search behind every split, on arrays of labels and groups."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from gi_edge.data.split import PARTS, Part

_ATTEMPTS = 10
Rows = NDArray[np.int64]


def parts_by_frame(labels: Rows, held: tuple[Part, ...], *, fraction: float, seed: int) -> Rows:
    """Hold out a fraction of each class for each of the held parts, and at least one frame where there is one.

    labels: [n] class indices. Returns: [n] indices into PARTS.
    """
    random = np.random.default_rng(seed)
    parts = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        size = min(max(1, round(len(members) * fraction)), len(members) // (len(held) + 1))
        for position, part in enumerate(held):
            parts[members[position * size : (position + 1) * size]] = PARTS.index(part)
    return parts


def parts_by_group(
    labels: Rows, groups: NDArray[np.str_], held: tuple[Part, ...], *, fraction: float, seed: int
) -> Rows | None:
    """Hold out whole groups, about a fraction of the frames for each of the held parts, stratified by class.

    Takes the first shuffle and choice of folds that leaves each class in each part; else the one that leaves the
    fewest classes out of train and test, and of these the fewest out of val.

    labels, groups: [n]. Returns: [n] indices into PARTS; None if there are too few groups.
    """
    smallest = len(held) + 1
    folds = _possible_folds(labels, groups, max(smallest, round(1 / fraction)))
    if folds < smallest:
        return None
    best, least = None, (len(labels), len(labels))
    for numbers in _shuffles(labels, groups, folds, seed):
        support = _support(labels, numbers, folds)
        for chosen in itertools.permutations(range(folds), len(held)):
            fault = _fault(support, dict(zip(held, chosen, strict=True)))
            if fault < least:
                parts = np.zeros(len(labels), dtype=np.int64)
                for part, fold in zip(held, chosen, strict=True):
                    parts[numbers == fold] = PARTS.index(part)
                best, least = parts, fault
            if least == (0, 0):
                return best
    return best


def fold_numbers(labels: Rows, groups: NDArray[np.str_] | None, *, folds: int, seed: int) -> Rows | None:
    """Deal rows into folds, whole groups where there are groups, stratified by class.

    Takes the first shuffle with each class in each fold; else the one with the fewest absences.

    labels, groups: [n]. Returns: [n] fold numbers; None if there are fewer groups, or frames of each class, than folds.
    """
    if _possible_folds(labels, groups, folds) < folds:
        return None
    best, least = None, (0, 0)
    for numbers in _shuffles(labels, groups, folds, seed):
        fault = _fold_fault(_support(labels, numbers, folds))
        if best is None or fault < least:
            best, least = numbers, fault
        if least == (0, 0):
            break
    return best


def _possible_folds(labels: Rows, groups: NDArray[np.str_] | None, wanted: int) -> int:
    members = len(labels) if groups is None else len(np.unique(groups))
    return min(wanted, members, int(np.bincount(labels).max(initial=0)))


def _shuffles(labels: Rows, groups: NDArray[np.str_] | None, folds: int, seed: int) -> Iterator[Rows]:
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    for attempt in range(1 if groups is None else _ATTEMPTS):
        numbers = np.empty(len(labels), dtype=np.int64)
        splitter = kind(folds, shuffle=True, random_state=seed + attempt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class with fewer frames than folds; weighed by the caller
            for fold, (_, members) in enumerate(splitter.split(labels, labels, groups)):
                numbers[members] = fold
        yield numbers


def _support(labels: Rows, numbers: Rows, folds: int) -> Rows:
    """Return frames per fold and class, [folds, classes], of the classes that have any."""
    present, position = np.unique(labels, return_inverse=True)
    support = np.zeros((folds, len(present)), dtype=np.int64)
    np.add.at(support, (numbers, position), 1)
    return support


def _fault(support: Rows, chosen: dict[Part, int]) -> tuple[int, int]:
    """Return how many classes train and test lack, and how many val lacks."""
    lacking = {part: int(np.sum(support[fold] == 0)) for part, fold in chosen.items()}
    rest = support.sum(axis=0) - support[list(chosen.values())].sum(axis=0)
    return int(np.sum(rest == 0)) + lacking.get("test", 0), lacking.get("val", 0)


def _fold_fault(support: Rows) -> tuple[int, int]:
    """Return in how many rounds train lacks a class, where a fold tests and the next validates; then absences."""
    rest = support.sum(axis=0) - support - np.roll(support, -1, axis=0)
    return int(np.sum(rest == 0)), int(np.sum(support == 0))
