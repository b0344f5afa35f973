"""The search behind splits: shares, whole groups, and the best of the shuffles."""

from __future__ import annotations

import numpy as np
import pytest

from gi_edge.data.folds import fold_numbers, parts_by_frame, parts_by_group


@pytest.mark.parametrize(
    ("members", "held", "expected"),
    [
        (100, ("test", "val"), [70, 15, 15]),
        (20, ("test", "val"), [14, 3, 3]),
        (3, ("test", "val"), [1, 1, 1]),
        (2, ("test", "val"), [2, 0, 0]),
        (2, ("val",), [1, 1, 0]),
        (1, ("val",), [1, 0, 0]),
    ],
)
def test_the_share_of_a_class(members, held, expected):
    parts = parts_by_frame(np.zeros(members, dtype=np.int64), held, fraction=0.15, seed=0)
    assert np.bincount(parts, minlength=3).tolist() == expected


@pytest.mark.parametrize("held", [("test", "val"), ("val",)])
def test_groups_stay_whole_and_classes_come_everywhere(held):
    groups = np.array([f"v{n // 10}" for n in range(400)])
    labels = np.arange(400) % 7 % 3
    parts = parts_by_group(labels, groups, held, fraction=0.2, seed=0)
    assert all(len(np.unique(parts[groups == group])) == 1 for group in np.unique(groups))
    assert np.bincount(parts, minlength=3).tolist() == ([240, 80, 80] if len(held) == 2 else [320, 80, 0])
    assert all(set(labels[parts == part]) == {0, 1, 2} for part in np.unique(parts))


@pytest.mark.parametrize(("groups", "held"), [(2, ("test", "val")), (1, ("val",))])
def test_too_few_groups_make_no_parts(groups, held):
    names = np.array([f"v{n % groups}" for n in range(20)])
    assert parts_by_group(np.zeros(20, dtype=np.int64), names, held, fraction=0.2, seed=0) is None
    assert fold_numbers(np.zeros(20, dtype=np.int64), names, folds=3, seed=0) is None


@pytest.mark.parametrize("grouped", [True, False])
def test_folds_are_of_near_equal_size_and_hold_each_class(grouped):
    groups = np.array([f"v{n // 5}" for n in range(300)])
    labels = (np.arange(300) % 10 == 0).astype(np.int64)
    numbers = fold_numbers(labels, groups if grouped else None, folds=5, seed=1)
    assert np.bincount(numbers).tolist() == [60] * 5
    assert np.bincount(numbers[labels == 1]).tolist() == [6] * 5


def test_a_class_of_three_groups_lies_in_three_of_five_folds():
    groups = np.array([f"v{n // 5}" for n in range(300)])
    labels = np.isin(groups, ["v3", "v20", "v40"]).astype(np.int64)
    numbers = fold_numbers(labels, groups, folds=5, seed=0)
    assert len(np.unique(numbers[labels == 1])) == 3
