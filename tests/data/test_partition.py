"""Splitting frames: groups stay together, classes are in every part, and file order does not matter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from gi_edge.data.index import Frame
from gi_edge.data.partition import SplitSettings, folds_from_frames, needs_clusters, split_from_frames
from gi_edge.data.split import Split
from gi_edge.errors import ConfigError, DataError


def make(counts: dict[str, int], groups: int | None = None) -> tuple[list[Frame], list[str]]:
    classes = sorted(counts)
    frames = [
        Frame(f"{label}/{n}.jpg", Path(label, f"{n}.jpg"), classes.index(label), f"v{n % groups}" if groups else None)
        for label in classes
        for n in range(counts[label])
    ]
    return frames, classes


def clusters_of(frames: list[Frame], size: int = 4) -> dict[str, str]:
    return {frame.id: f"cluster-{n // size:06d}" for n, frame in enumerate(frames)}


def split(frames, classes, seed=0, by="auto", clusters=None):
    settings = SplitSettings(by=by, seed=seed, holdout_fraction=0.15)
    return split_from_frames(frames, classes, settings, group_noun="video", clusters=clusters)


def folds(frames, classes, k, seed=0, by="auto", clusters=None):
    settings = SplitSettings(by=by, seed=seed, holdout_fraction=0.15, folds=k)
    return folds_from_frames(frames, classes, settings, group_noun="video", clusters=clusters)


def parts_of_groups(made: Split) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in made.rows:
        found.setdefault(row.group, set()).add(row.part)
    return found


def test_a_frame_split_is_stratified_and_says_what_it_is():
    made = split(*make({"a": 100, "b": 20, "c": 3}), by="frame")
    by_part = Counter((row.label, row.part) for row in made.rows)
    assert by_part["a", "test"] == by_part["a", "val"] == 15
    assert by_part["b", "test"] == by_part["b", "val"] == 3
    assert by_part["c", "train"] == by_part["c", "test"] == by_part["c", "val"] == 1
    assert made.kind == "frame"
    assert made.caution.startswith("Frame-level split, no video or patient is known")


def test_a_frame_split_of_known_videos_says_how_many_test_frames_training_knows():
    made = split(*make({"a": 200, "b": 60}, groups=20), by="frame")
    assert made.kind == "frame"
    assert made.caution.startswith("Frame-level split: 39 of 39 test frames come from 17 videos that training saw")


def test_groups_never_cross_parts():
    made = split(*make({"a": 200, "b": 60}, groups=20))
    found = parts_of_groups(made)
    assert made.kind == "group"
    assert all(len(parts) == 1 for parts in found.values())
    assert {part for parts in found.values() for part in parts} == {"train", "val", "test"}
    assert "3 videos that training never saw" in made.caution


@pytest.mark.parametrize(
    ("by", "groups", "with_clusters", "kind"),
    [
        ("auto", 20, False, "group"),
        ("auto", 20, True, "group"),
        ("auto", None, True, "cluster"),
        ("group", 20, True, "group"),
        ("cluster", 20, True, "cluster"),
        ("cluster", None, True, "cluster"),
        ("frame", None, False, "frame"),
        ("frame", None, True, "frame"),
        ("frame", 20, True, "frame"),
    ],
)
def test_what_is_kept_together(by, groups, with_clusters, kind):
    frames, classes = make({"a": 200, "b": 60}, groups)
    clusters = clusters_of(frames) if with_clusters else None
    made = split(frames, classes, by=by, clusters=clusters)
    assert made.kind == kind
    assert {"group": "video", "cluster": "near-duplicate cluster"}.get(kind, made.group_noun) == made.group_noun
    if by == "frame" and with_clusters and groups is None:
        assert "near-duplicate clusters that training saw" in made.caution
    assert needs_clusters(frames, by) == (kind == "cluster")


@pytest.mark.parametrize(
    ("by", "groups", "clusters", "match", "fix"),
    [
        ("auto", None, None, "group of 40 of 40 frames is not known, and no clusters", "--split-by frame"),
        ("cluster", 20, None, "no clusters are given", "clusters_from_frames"),
        ("group", None, {}, "group of 40 of 40 frames is not known", "--split-by cluster"),
        ("cluster", None, {}, "40 of 40 frames are in no near-duplicate cluster", "clusters_from_frames"),
    ],
)
def test_what_is_not_known_is_named(by, groups, clusters, match, fix):
    with pytest.raises(DataError, match=match) as caught:
        split(*make({"a": 20, "b": 20}, groups), by=by, clusters=clusters)
    assert fix in caught.value.fix


def test_one_frame_without_a_group_is_enough_for_clusters():
    frames, classes = make({"a": 80, "b": 40}, groups=20)
    frames[3] = Frame(frames[3].id, frames[3].path, 0, None)
    assert needs_clusters(frames, "auto")
    assert split(frames, classes, clusters=clusters_of(frames)).kind == "cluster"
    assert "of 1 the video is not known" in split(frames, classes, by="frame", seed=seed_testing(frames, 3)).caution


def seed_testing(frames: list[Frame], row: int) -> int:
    """The first seed of a frame-level split that tests this row."""
    classes = ["a", "b"]
    return next(s for s in range(99) if frames[row].id in split(frames, classes, by="frame", seed=s).ids("test"))


KINDS = {"group": (20, False), "cluster": (None, True), "frame": (None, False)}


@pytest.mark.parametrize("by", KINDS)
def test_the_order_of_the_frames_does_not_matter_and_the_seed_does(by):
    groups, with_clusters = KINDS[by]
    frames, classes = make({"a": 100, "b": 40}, groups)
    clusters = clusters_of(frames) if with_clusters else None
    shuffled = [frames[i] for i in np.random.default_rng(1).permutation(len(frames))]
    first = split(frames, classes, by=by, clusters=clusters)
    assert first == split(shuffled, classes, by=by, clusters=clusters)
    assert first.fingerprint != split(frames, classes, by=by, clusters=clusters, seed=1).fingerprint
    made = folds(frames, classes, 4, by=by, clusters=clusters)
    assert made == folds(shuffled, classes, 4, by=by, clusters=clusters)
    assert made != folds(frames, classes, 4, by=by, clusters=clusters, seed=1)


def test_the_hash_seed_of_the_process_does_not_matter():
    code = (
        "from test_partition import *\n"
        "made = make({'a': 100, 'b': 40}, 20)\n"
        "print(split(*made).fingerprint, *(fold.fingerprint for fold in folds(*made, 3)))\n"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    made = make({"a": 100, "b": 40}, 20)
    assert answers == {" ".join([split(*made).fingerprint, *(fold.fingerprint for fold in folds(*made, 3))]) + "\n"}


# --- folds


@pytest.mark.parametrize("by", KINDS)
@pytest.mark.parametrize("k", [3, 5])
def test_each_frame_is_tested_once_and_validates_once(by, k):
    groups, with_clusters = KINDS[by]
    frames, classes = make({"a": 100, "b": 40}, groups)
    made = folds(frames, classes, k, by=by, clusters=clusters_of(frames) if with_clusters else None)
    assert len(made) == k
    assert all(fold.kind == by for fold in made)
    for part in ("test", "val"):
        assert sorted(item for fold in made for item in fold.ids(part)) == sorted(frame.id for frame in frames)
    for fold, after in zip(made, [*made[1:], made[0]], strict=True):
        assert fold.ids("val") == after.ids("test")
        assert {(row.label, row.part) for row in fold.rows} == {(a, b) for a in "ab" for b in ("train", "val", "test")}


@pytest.mark.parametrize(
    ("k", "groups", "error", "match"),
    [
        (0, 20, ConfigError, "name none"),
        (5, 4, DataError, "5 folds need at least 5 videos"),
        (25, 30, DataError, "25 folds need at least 25 videos and 25 frames of a class"),
    ],
)
def test_folds_that_cannot_be(k, groups, error, match):
    with pytest.raises(error, match=match) as caught:
        folds(*make({"a": 20, "b": 20}, groups), k)
    assert "--folds" in caught.value.fix


@pytest.mark.parametrize("number", [1, 2, -1])
def test_fewer_than_three_folds_are_refused(number):
    with pytest.raises(ValidationError, match="at least 3 folds"):
        SplitSettings(seed=0, holdout_fraction=0.1, folds=number)


def test_a_class_of_one_video_cannot_be_tested_and_trained():
    frames, classes = make({"a": 60, "b": 60}, groups=12)
    rare = [Frame(f"rare/{n}.jpg", Path("x"), 2, "v0") for n in range(5)]
    with pytest.raises(DataError, match="class 'rare' has no frame in the train part: too few videos"):
        folds([*frames, *rare], [*classes, "rare"], 3)


# --- classes


def test_a_class_with_one_image_is_named_with_the_option_that_mends_it():
    with pytest.raises(DataError, match="class 'rare' has 1 readable image") as caught:
        split(*make({"a": 10, "rare": 1}), by="frame")
    assert "--exclude 'rare'" in caught.value.fix


@pytest.mark.parametrize(
    ("rare", "others", "hint"),
    [
        ("pollyp", ("polyp", "ulcer"), "did you mean 'polyp'?"),
        ("Polyp", ("polyp", "ulcer"), "'polyp' is the same name in another spelling"),
        ("polyp ", ("polyp", "ulcer"), "'polyp' is the same name in another spelling"),
        ("red lesion", ("green lesion", "blue lesion"), None),
        ("grade-1", ("grade-2", "grade-3"), None),
    ],
)
def test_a_rare_class_whose_name_is_a_slip_names_the_one_that_was_meant(rare, others, hint):
    with pytest.raises(DataError, match=f"class '{rare}' has 1 readable image") as caught:
        split(*make({rare: 1, **dict.fromkeys(others, 10)}), by="frame")
    if hint is None:
        assert caught.value.message.endswith("need one each")
        assert caught.value.fix.startswith("add images")
    else:
        assert caught.value.message.endswith(f"need one each; {hint}")
        assert caught.value.fix.startswith("move its images to 'polyp', add images")
        assert caught.value.fix.endswith(f"--exclude '{rare}'")


def test_a_class_held_by_one_video_is_named():
    frames, classes = make({"a": 60, "b": 60}, groups=12)
    rare = [Frame(f"rare/{n}.jpg", Path("x"), 2, "v0") for n in range(5)]
    with pytest.raises(DataError, match="class 'rare' has no frame in the t.* part: too few videos"):
        split([*frames, *rare], [*classes, "rare"])


def test_two_groups_cannot_make_three_parts():
    with pytest.raises(DataError, match="too few videos"):
        split(*make({"a": 10, "b": 10}, groups=2))


def test_clusters_that_cannot_make_three_parts_ask_for_other_scenes():
    frames, classes = make({"a": 10, "b": 10})
    with pytest.raises(DataError, match="too few near-duplicate clusters") as caught:
        split(frames, classes, clusters=clusters_of(frames, 10))
    assert "add images of other scenes" in caught.value.fix


def test_a_class_in_three_videos_gets_one_in_each_part():
    frames, classes = make({"a": 200, "b": 200}, groups=40)
    rare = [Frame(f"rare/{n}.jpg", Path("x"), 2, f"v{n % 3}") for n in range(9)]
    for seed in range(5):
        made = split([*frames, *rare], [*classes, "rare"], seed)
        assert {row.part for row in made.rows if row.label == "rare"} == {"train", "val", "test"}


def test_a_class_in_two_videos_is_trained_and_tested():
    frames, classes = make({"a": 200, "b": 200}, groups=40)
    rare = [Frame(f"rare/{n}.jpg", Path("x"), 2, f"v{n % 2}") for n in range(10)]
    made = split([*frames, *rare], [*classes, "rare"])
    assert {row.part for row in made.rows if row.label == "rare"} == {"train", "test"}
