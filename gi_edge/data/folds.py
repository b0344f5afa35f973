"""Which rows go into which part: the search behind every split, on arrays of labels and groups.

Whole groups are dealt greedily in many random orders, and the best of the deals is taken.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from gi_edge.data.split import PARTS, Part

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
_DEALS = (16, 2000)
"""How many deals there are at the least and at the most; between them, as many as make _PLACEMENTS."""
_PLACEMENTS = 1_000_000
"""Groups placed in all deals together: with very many groups few deals do, and time stays bounded."""
_SPREAD = 1.0
"""Standard deviation of the noise on the log of a group's size, by which a deal is ordered."""
_SIZE_SLACK = 0.01
_CLASS_SLACK = 0.01
"""Deals this close to the best are as good, so that the seed decides: share of the frames, mean share of a class."""


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

    Takes the deal with no part empty that leaves the fewest classes out of train and test, of these the fewest out of
    val, of these one whose parts are nearest to their sizes, then to their share of each class.

    labels, groups: [n]. Returns: [n] indices into PARTS; None if there are fewer groups than parts.
    """
    parts: tuple[Part, ...] = ("train", *held)
    table, rows = _table(labels, groups)
    if len(table) < len(parts):
        return None
    shares = np.array([1 - fraction * len(held)] + [fraction] * len(held))
    optional = np.array([part == "val" for part in parts])
    deals = _deals(table, shares, np.eye(len(parts)), 0.9 * optional, seed)
    support = _support(table, deals, len(parts))
    absent = support == 0
    faults = (absent[:, ~optional].sum(axis=(1, 2)), absent[:, optional].sum(axis=(1, 2)))
    numbers = np.array([PARTS.index(part) for part in parts], dtype=np.int64)
    return numbers[_best(deals, support, shares, faults)][rows]


def fold_numbers(labels: Rows, groups: NDArray[np.str_] | None, *, folds: int, seed: int) -> Rows | None:
    """Deal rows into folds of about equal size, whole groups where there are groups, stratified by class.

    Fold i tests, the next validates, the rest trains: of the deals of groups, takes the one in which training lacks
    the fewest classes, of these the fewest classes are absent from a fold, of these the most even.

    labels, groups: [n]. Returns: [n] fold numbers; None if there are fewer groups, or frames of each class, than folds.
    """
    if np.bincount(labels).max(initial=0) < folds:
        return None
    if groups is None:
        return _folds_by_frame(labels, folds, seed)
    table, rows = _table(labels, groups)
    if len(table) < folds:
        return None
    shares = np.full(folds, 1 / folds)
    same = np.eye(folds)
    neighbours = np.roll(same, 1, axis=0) + np.roll(same, -1, axis=0)  # together they leave training without the class
    deals = _deals(table, shares, same + 0.4 * neighbours, np.zeros(folds), seed)
    support = _support(table, deals, folds)
    rest = support.sum(axis=1, keepdims=True) - support - np.roll(support, -1, axis=1)
    faults = (np.sum(rest == 0, axis=(1, 2)), np.sum(support == 0, axis=(1, 2)))
    return _best(deals, support, shares, faults)[rows]


def _folds_by_frame(labels: Rows, folds: int, seed: int) -> Rows:
    numbers = np.empty(len(labels), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer frames than folds: absent from some
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        for fold, (_, members) in enumerate(splitter.split(labels, labels)):
            numbers[members] = fold
    return numbers


def _table(labels: Rows, groups: NDArray[np.str_]) -> tuple[Rows, Rows]:
    """Return frames per group and class, [groups, classes + 1], the last column of all classes; and [n] group rows."""
    names, rows = np.unique(groups, return_inverse=True)
    present, columns = np.unique(labels, return_inverse=True)
    table = np.zeros((len(names), len(present) + 1), dtype=np.int64)
    np.add.at(table, (rows, columns), 1)
    table[:, -1] = table.sum(axis=1)
    return table, rows


def _orders(table: Rows, parts: int, deals: int, random: np.random.Generator) -> Rows:
    """Return orders of the groups, [deals, groups]: first those that hold rare classes, then large before small, about.

    A class is rare if at most one group more holds it than there are parts; the fewer hold it, the earlier.
    """
    holders = np.sum(table > 0, axis=0)
    rarest = np.where(table > 0, holders, len(table)).min(axis=1)
    tiers = np.minimum(rarest, parts + 2)
    sizes = np.log(table[:, -1]) + random.normal(scale=_SPREAD, size=(deals, len(table)))
    return np.lexsort((-sizes, np.broadcast_to(tiers, sizes.shape)), axis=1)


def _deals(table: Rows, shares: Floats, clash: Floats, reluctance: Floats, seed: int) -> Rows:
    """Deal the groups into parts, in many random orders.

    A group goes where it least raises the squared distance of the parts from their shares, of each class and of all
    frames, relative to the share. Once a class has no more groups left than parts that lack it, its groups go to
    those parts, the reluctant ones last.

    table: [groups, classes + 1]. shares, reluctance: [parts]. clash: [parts, parts], how much a class in the one part
    keeps such a group from the other. Returns: [deals, groups] numbers of parts.
    """
    random = np.random.default_rng(seed)
    count, parts = int(np.clip(_PLACEMENTS // len(table), *_DEALS)), len(shares)
    classes = table.shape[1] - 1
    portions = table / table.sum(axis=0)
    weights = np.append(np.ones(classes), classes)
    pressing = np.append(np.ones(classes), 10 * (classes + 1))
    loads = np.zeros((count, parts, classes + 1))
    left = np.tile(np.sum(table > 0, axis=0), (count, 1))
    lacking = np.full((count, classes + 1), parts)
    ties = random.uniform(high=1e-6, size=(count, parts))
    deals = np.empty((count, len(table)), dtype=np.int64)
    every = np.arange(count)
    for group in _orders(table, parts, count, random).T:
        portion = portions[group]
        weighted = portion * weights
        growth = 2 * np.einsum("dc,dpc->dp", weighted, loads) + np.sum(weighted * portion, axis=1, keepdims=True)
        cost = growth / shares + ties
        urgent = (portion > 0) & (left <= lacking)
        if urgent.any():
            cost += 1e6 * np.einsum("dc,dpc->dp", urgent * pressing, loads > 0) @ clash
            cost += 1e6 * np.sum(urgent[:, :-1], axis=1, keepdims=True) * reluctance
        part = cost.argmin(axis=1)
        deals[every, group] = part
        lacking -= (portion > 0) & (loads[every, part] == 0)
        left -= portion > 0
        loads[every, part] += portion
    return deals


def _support(table: Rows, deals: Rows, parts: int) -> Rows:
    """Return frames per deal, part and class, [deals, parts, classes + 1]."""
    return np.stack([(deals == part).astype(np.int64) @ table for part in range(parts)], axis=1)


def _best(deals: Rows, support: Rows, shares: Floats, faults: tuple[Rows, ...]) -> Rows:
    """Return the deal, [groups], with the fewest faults, the first fault first, and about the best shares of these.

    deals: [deals, groups]. support: [deals, parts, classes + 1]. shares: [parts]. faults: each [deals].
    """
    misses = np.abs(support / support[0].sum(axis=0) - shares[:, None])
    empty = np.sum(support[:, :, -1] == 0, axis=1)
    kept = np.arange(len(deals))
    for fault in (empty, *faults):
        kept = kept[fault[kept] == fault[kept].min()]
    sizes, classes = misses[:, :, -1].max(axis=1), misses[:, :, :-1].mean(axis=(1, 2))
    for miss, slack in ((sizes, _SIZE_SLACK), (classes, _CLASS_SLACK)):
        kept = kept[miss[kept] <= miss[kept].min() + slack]
    best: Rows = deals[kept[0]]
    return best
