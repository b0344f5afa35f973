"""Splits: groups stay together, classes are in every part, and file order does not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gi_edge.data.index import Frame
from gi_edge.data.split import csv_from_split, split_from_csv, split_from_frames
from gi_edge.errors import DataError


def make(counts: dict[str, int], groups: int | None = None) -> tuple[list[Frame], list[str]]:
    classes = sorted(counts)
    frames = [
        Frame(f"{label}/{n}.jpg", Path(label, f"{n}.jpg"), classes.index(label), f"v{n % groups}" if groups else None)
        for label in classes
        for n in range(counts[label])
    ]
    return frames, classes


def split(frames, classes, seed=0):
    return split_from_frames(frames, classes, group_noun="video", seed=seed, holdout_fraction=0.15)


def test_frame_split_is_stratified_and_says_what_it_is():
    made = split(*make({"a": 100, "b": 20, "c": 3}))
    by_part = {(row.label, row.part): 0 for row in made.rows}
    for row in made.rows:
        by_part[row.label, row.part] += 1
    assert by_part["a", "test"] == by_part["a", "val"] == 15
    assert by_part["b", "test"] == by_part["b", "val"] == 3
    assert by_part["c", "train"] == by_part["c", "test"] == by_part["c", "val"] == 1
    assert made.kind == "frame"
    assert made.caution.startswith("Frame-level split")


def test_groups_never_cross_parts():
    made = split(*make({"a": 200, "b": 60}, groups=20))
    parts = {}
    for row in made.rows:
        parts.setdefault(row.group, set()).add(row.part)
    assert made.kind == "group"
    assert all(len(found) == 1 for found in parts.values())
    assert {part for found in parts.values() for part in found} == {"train", "val", "test"}
    assert "3 videos that training never saw" in made.caution


@pytest.mark.parametrize("groups", [None, 20])
def test_the_order_of_the_frames_does_not_matter_and_the_seed_does(groups):
    frames, classes = make({"a": 100, "b": 40}, groups)
    shuffled = [frames[i] for i in np.random.default_rng(1).permutation(len(frames))]
    assert split(frames, classes).fingerprint == split(shuffled, classes).fingerprint
    assert split(frames, classes).fingerprint != split(frames, classes, seed=1).fingerprint


def test_a_class_with_one_image_is_named_with_the_option_that_mends_it():
    with pytest.raises(DataError, match="class 'rare' has 1 readable image") as caught:
        split(*make({"a": 10, "rare": 1}))
    assert "--exclude 'rare'" in caught.value.fix


def test_a_class_held_by_one_video_is_named():
    frames, classes = make({"a": 60, "b": 60}, groups=12)
    rare = [Frame(f"rare/{n}.jpg", Path("x"), 2, "v0") for n in range(5)]
    with pytest.raises(DataError, match="class 'rare' has no frame in the t.* part: too few videos"):
        split([*frames, *rare], [*classes, "rare"])


def test_two_groups_cannot_make_three_parts():
    with pytest.raises(DataError, match="too few videos"):
        split(*make({"a": 10, "b": 10}, groups=2))


def test_the_csv_form_comes_back_equal():
    made = split(*make({"it's, a": 10, "b": 10}, groups=5))
    assert split_from_csv(csv_from_split(made), group_noun="video") == made
    with pytest.raises(ValueError, match="needs the columns"):
        split_from_csv("file,label\n", group_noun="video")


def test_a_class_in_three_videos_gets_one_in_each_part():
    frames, classes = make({"a": 200, "b": 200}, groups=40)
    rare = [Frame(f"rare/{n}.jpg", Path("x"), 2, f"v{n % 3}") for n in range(9)]
    for seed in range(5):
        made = split([*frames, *rare], [*classes, "rare"], seed)
        assert {row.part for row in made.rows if row.label == "rare"} == {"train", "val", "test"}
