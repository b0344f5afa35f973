"""The search behind splits: shares, whole groups, and the best of the deals."""

from __future__ import annotations

import numpy as np
import pytest

from gi_edge.data.folds import fold_numbers, parts_by_frame, parts_by_group

TRAIN, VAL, TEST = range(3)
HELD = ("test", "val")


def names_from_sizes(sizes) -> np.ndarray:
    return np.repeat([f"v{number:03d}" for number in range(len(sizes))], sizes)


def unequal(videos: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of five classes, one of 2 %, and videos of lognormal sizes."""
    random = np.random.default_rng(seed)
    groups = names_from_sizes(random.lognormal(4, 1.2, videos).astype(int) + 5)
    return random.choice(5, len(groups), p=[0.8, 0.1, 0.05, 0.03, 0.02]), groups


def with_rare_classes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and 20 videos, where three classes lie in two or three videos each."""
    random = np.random.default_rng(seed)
    groups = names_from_sizes(random.lognormal(4, 1.2, 20).astype(int) + 20)
    labels = np.zeros(len(groups), dtype=np.int64)
    for label in (1, 2, 3):
        for video in random.choice(20, random.integers(2, 4), replace=False):
            labels[np.flatnonzero(groups == f"v{video:03d}")[5 * label : 5 * label + 5]] = label
    return labels, groups


def is_complete(parts: np.ndarray, labels: np.ndarray) -> bool:
    return all(set(labels[parts == part]) == set(labels) for part in (TRAIN, TEST))


def is_solvable(labels: np.ndarray, groups: np.ndarray) -> bool:
    """Whether one of 1,000 random splits has each class in train and test, and 8 to 22 % in test and val."""
    random = np.random.default_rng(0)
    names, rows = np.unique(groups, return_inverse=True)
    for _ in range(1000):
        parts = random.choice(3, len(names), p=[0.7, 0.15, 0.15])[rows]
        shares = np.bincount(parts, minlength=3)[[VAL, TEST]] / len(parts)
        if np.all((shares > 0.08) & (shares < 0.22)) and is_complete(parts, labels):
            return True
    return False


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


@pytest.mark.parametrize(
    ("videos", "within", "distinct"), [(12, 0.05, 3), (20, 0.02, 8), (43, 0.015, 8), (200, 0.011, 8)]
)
@pytest.mark.parametrize("sizes", [0, 1, 2])
def test_unequal_videos_are_held_out_near_the_fraction_and_the_seed_matters(videos, within, distinct, sizes):
    labels, groups = unequal(videos, sizes)
    made = [parts_by_group(labels, groups, HELD, fraction=0.15, seed=seed) for seed in range(10)]
    for parts in made:
        shares = np.bincount(parts, minlength=3) / len(parts)
        np.testing.assert_allclose(shares[[VAL, TEST]], 0.15, atol=within)
        assert is_complete(parts, labels)
    assert len({parts.tobytes() for parts in made}) >= distinct


@pytest.mark.parametrize(
    ("sizes", "held", "largest_share"),
    [
        ([60, *[4] * 17, 3], HELD, 0.16),
        ([600, *[20] * 20], HELD, 0.16),
        ([300, 300, *[20] * 20], HELD, 0.16),
        ([60, *[4] * 17, 3], ("val",), 0.16),
        ([60, 30, 10], HELD, 0.3),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_a_large_video_trains(sizes, held, largest_share, seed):
    groups = names_from_sizes(sizes)
    parts = parts_by_group(np.arange(len(groups)) % 2, groups, held, fraction=0.15, seed=seed)
    shares = np.bincount(parts, minlength=3) / len(parts)
    assert set(parts[groups == "v000"]) == {TRAIN}
    assert shares[[{"val": VAL, "test": TEST}[part] for part in held]].min() > 0
    assert shares[[VAL, TEST]].max() <= largest_share


def test_a_large_video_that_alone_shows_a_class_twice_is_trained_and_the_small_one_tested():
    groups = names_from_sizes([60, *[4] * 17, 3])
    labels = np.isin(groups, ["v000", "v005"]).astype(np.int64)
    parts = parts_by_group(labels, groups, HELD, fraction=0.15, seed=0)
    assert {name: set(parts[groups == name]) for name in ("v000", "v005")} == {"v000": {TRAIN}, "v005": {TEST}}


def test_nearly_every_set_that_can_be_split_is_split():
    sets = [with_rare_classes(seed) for seed in range(60)]
    solvable = [made for made in sets if is_solvable(*made)]
    solved = [is_complete(parts_by_group(*made, HELD, fraction=0.15, seed=0), made[0]) for made in solvable]
    assert len(solvable) > 40
    assert np.mean(solved) >= 0.95


def test_a_class_of_two_groups_prefers_train_and_test_to_val():
    groups = names_from_sizes([10] * 40)
    labels = np.arange(400) % 2
    for label in range(2, 8):
        labels[np.isin(groups, [f"v{label:03d}", f"v{label + 20:03d}"]) & (np.arange(400) % 10 < 3)] = label
    parts = parts_by_group(labels, groups, HELD, fraction=0.15, seed=3)
    assert all(set(parts[labels == label]) == {TRAIN, TEST} for label in range(2, 8))
    assert set(labels[parts == VAL]) == {0, 1}


def test_no_part_is_empty_even_where_no_class_fills_it():
    groups = names_from_sizes([5] * 4)
    labels = np.repeat([0, 1], 10)
    assert set(parts_by_group(labels, groups, HELD, fraction=0.15, seed=0)) == {TRAIN, VAL, TEST}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_the_rows_does_not_matter(seed):
    labels, groups = unequal(30, 0)
    order = np.random.default_rng(5).permutation(len(labels))
    for deal in (
        lambda labels, groups: parts_by_group(labels, groups, HELD, fraction=0.15, seed=seed),
        lambda labels, groups: fold_numbers(labels, groups, folds=5, seed=seed),
    ):
        assert np.array_equal(deal(labels, groups)[order], deal(labels[order], groups[order]))


@pytest.mark.parametrize(("videos", "folds", "within"), [(43, 5, 0.02), (43, 3, 0.02), (200, 10, 0.011)])
def test_unequal_videos_make_even_folds_and_the_seed_matters(videos, folds, within):
    labels, groups = unequal(videos, 1)
    made = [fold_numbers(labels, groups, folds=folds, seed=seed) for seed in range(10)]
    for numbers in made:
        assert all(len(set(numbers[groups == name])) == 1 for name in np.unique(groups))
        np.testing.assert_allclose(np.bincount(numbers, minlength=folds) / len(numbers), 1 / folds, atol=within)
        assert all(set(labels[numbers == fold]) == set(range(5)) for fold in range(folds))
    assert len({numbers.tobytes() for numbers in made}) >= 8


def test_classes_of_two_videos_are_never_both_tested_and_validated_in_one_round():
    groups = names_from_sizes([10] * 40)
    labels = np.zeros(400, dtype=np.int64)
    for label in range(1, 11):
        labels[np.isin(groups, [f"v{label:03d}", f"v{label + 20:03d}"])] = label
    numbers = fold_numbers(labels, groups, folds=5, seed=0)
    trained = [set(labels[(numbers != fold) & (numbers != (fold + 1) % 5)]) for fold in range(5)]
    assert trained == [set(range(11))] * 5
