"""Official protocols: Kvasir-Capsule's two folds and GastroVision's three parts, with the faults they come with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gi_edge.data.classnames import class_key
from gi_edge.data.index import Frame
from gi_edge.data.partition import SplitSettings
from gi_edge.data.protocol import OfficialProtocol, splits_from_official
from gi_edge.errors import DataError

SETTINGS = SplitSettings(seed=0, holdout_fraction=0.2)
FOLDS = OfficialProtocol(kind="folds", group_noun="video")
PARTS = OfficialProtocol(kind="parts")
CAPSULE = {
    "Normal clean mucosa": "Normal",
    "Ileocecal valve": "Ileo-cecal valve",
    "Reduced mucosal view": "Reduced Mucosal View",
    "Foreign body": "Foreign Bodies",
    "Blood - fresh": "Blood",
    "Erythema": "Erythematous",
    "Pylorus": "Pylorus",
    "Angiectasia": "Angiectasia",
    "Ulcer": "Ulcer",
    "Lymphangiectasia": "Lymphangiectasia",
    "Erosion": "Erosion",
}
CAPSULE_FOLDS = FOLDS.model_copy(
    update={"aliases": {label: folder for folder, label in CAPSULE.items() if class_key(label) != class_key(folder)}}
)
CAPSULE_CLASSES = sorted([*CAPSULE, "Polyp", "Blood - hematin", "Ampulla of vater"])


def video_frame(label: str, classes: list[str], video: int, number: int) -> Frame:
    name = f"{video:016x}_{number}.jpg"
    return Frame(f"{label}/{name}", Path(label, name), classes.index(label), f"{video:016x}", number)


def still(label: str, name: str, classes: list[str]) -> Frame:
    return Frame(f"{label}/{name}", Path(label, name), classes.index(label), None)


def capsule() -> tuple[list[Frame], list[tuple[str, str, str]]]:
    """Twelve videos with all classes; the first eleven classes in two folds, one video in both."""
    frames = [
        video_frame(label, CAPSULE_CLASSES, video, 10 * position + n)
        for video in range(12)
        for position, label in enumerate(CAPSULE_CLASSES)
        for n in range(3)
    ]
    rows = []
    for frame in frames:
        label = CAPSULE_CLASSES[frame.label]
        if label in CAPSULE:
            video = int(frame.group or "", 16)
            fold = video % 2 if video else frame.number % 2
            rows.append((frame.path.name, CAPSULE[label], f"fold-{fold}"))
    return frames, rows


def parts_of(split) -> dict[str, str]:
    return {row.frame: row.part for row in split.rows}


def test_the_two_folds_of_kvasir_capsule():
    frames, rows = capsule()
    made = splits_from_official(frames, CAPSULE_CLASSES, rows, CAPSULE_FOLDS, SETTINGS)
    assert list(made.splits) == ["fold-0", "fold-1"]
    assert made.classes == tuple(label for label in CAPSULE_CLASSES if label in CAPSULE)
    assert made.counts.model_dump() == {
        "rows": 396, "used": 396, "repeated": 0, "two_labels": 0, "two_parts": 0, "absent": 0, "excluded": 0,
        "unlisted": 0,
    }  # fmt: skip
    for number, split in enumerate(made.splits.values()):
        tested = {file for file, _, fold in rows if fold == f"fold-{number}"}
        assert {frame.rpartition("/")[2] for frame in split.ids("test")} == tested
        trained = {row.group for row in split.rows if row.part == "train"}
        validated = {row.group for row in split.rows if row.part == "val"}
        assert validated
        assert not trained & validated
        assert len(split.ids("train")) > len(split.ids("val"))
        for part in ("train", "val", "test"):
            assert {row.label for row in split.rows if row.part == part} == set(CAPSULE)
        assert split.kind == "frame"
        in_both = f"{0:016x}"
        told = "come from 1 video that training saw" if in_both in trained else "validation shares videos with them"
        assert told in split.caution
    assert set(made.splits["fold-0"].ids("test")).isdisjoint(made.splits["fold-1"].ids("test"))


def test_neither_the_order_of_frames_nor_that_of_rows_matters_and_the_seed_does():
    frames, rows = capsule()
    random = np.random.default_rng(0)
    made = splits_from_official(frames, CAPSULE_CLASSES, rows, CAPSULE_FOLDS, SETTINGS)
    again = splits_from_official(
        [frames[i] for i in random.permutation(len(frames))],
        CAPSULE_CLASSES,
        [rows[i] for i in random.permutation(len(rows))],
        CAPSULE_FOLDS,
        SETTINGS,
    )
    assert again.splits == made.splits
    seeds = {
        splits_from_official(
            frames, CAPSULE_CLASSES, rows, CAPSULE_FOLDS, SplitSettings(seed=seed, holdout_fraction=0.2)
        )
        .splits["fold-0"]
        .fingerprint
        for seed in range(4)
    }
    assert len(seeds) > 1


def test_a_fold_of_one_video_gives_no_validation():
    classes = ["a", "b"]
    frames = [video_frame(label, classes, video, n) for video in range(4) for n, label in enumerate("abab")]
    rows = [(frame.path.name, classes[frame.label], "x" if frame.group == f"{0:016x}" else "y") for frame in frames]
    with pytest.raises(DataError, match="out of 4 training frames in 1 groups") as caught:
        splits_from_official(frames, classes, rows, FOLDS, SETTINGS)
    assert "--split-by frame" in caught.value.fix


def test_validation_of_folds_without_groups_is_carved_by_cluster():
    classes = ["a", "b"]
    frames = [still(label, f"{label}{n}.jpg", classes) for label in classes for n in range(24)]
    rows = [(frame.path.name, classes[frame.label], str(n // 2 % 2)) for n, frame in enumerate(frames)]
    with pytest.raises(DataError, match="no clusters are given"):
        splits_from_official(frames, classes, rows, FOLDS, SETTINGS)
    clusters = {frame.id: f"cluster-{n // 2:06d}" for n, frame in enumerate(frames)}
    made = splits_from_official(frames, classes, rows, FOLDS, SETTINGS, clusters)
    assert [split.kind for split in made.splits.values()] == ["cluster", "cluster"]
    by_frame = SplitSettings(by="frame", seed=0, holdout_fraction=0.25)
    made = splits_from_official(frames, classes, rows, FOLDS, by_frame)
    assert [split.counts() for split in made.splits.values()] == [{"train": 18, "val": 6, "test": 24}] * 2
    assert all(split.caution.startswith("Frame-level split, no video") for split in made.splits.values())


# --- GastroVision


VISION = ["Barrett's esophagus", "Colon polyps", "Gastroesophageal_junction_normal z-line", "Ulcer"]


def test_the_parts_of_gastrovision():
    names = [f"100H000{n}.jpg" for n in range(6)]  # the same in each class
    frames = [still(label, name, VISION) for label in VISION for name in names]
    where = ["train", "train", "train", "validate", "test", "test"]
    spelled = ["barretts_Esophagus", "Colon polyps", "Gastroesophageal junction normal z line"]
    rows = [(f"images/{name}", label, part) for label in spelled for name, part in zip(names, where, strict=True)]
    made = splits_from_official(frames, VISION, rows, PARTS, SETTINGS)
    assert list(made.splits) == ["official"]
    split = made.splits["official"]
    assert split.counts() == {"train": 9, "val": 3, "test": 6}
    assert made.classes == tuple(VISION[:3])
    assert parts_of(split)["Barrett's esophagus/100H0003.jpg"] == "val"
    assert split.kind == "frame"
    assert (made.counts.used, made.counts.two_labels, made.counts.unlisted) == (18, 0, 0)
    clusters = {frame.id: f"cluster-{n // 6:06d}" for n, frame in enumerate(frames)}
    caution = splits_from_official(frames, VISION, rows, PARTS, SETTINGS, clusters).splits["official"].caution
    assert caution.startswith("Frame-level split: 6 of 6 test frames come from 3 near-duplicate clusters that training")


# --- what is wrong with rows


AB = ["a", "b"]
VIDEOS = [video_frame(label, AB, video, n) for video in range(6) for n, label in enumerate("aabb")]
NAMES = [frame.path.name for frame in VIDEOS]
GOOD = [(frame.path.name, AB[frame.label], ("train", "test")[n % 2]) for n, frame in enumerate(VIDEOS)]
TWICE = [*VIDEOS, video_frame("b", AB, 0, 0)]  # one picture in two class folders
FAULTS = {
    "repeated row": (VIDEOS, [*GOOD, GOOD[0]], {"used": 24, "repeated": 1}),
    "repeated in another spelling": (VIDEOS, [*GOOD, (NAMES[0], " A", "train ")], {"used": 24, "repeated": 1}),
    "two labels": (VIDEOS, [*GOOD, (NAMES[0], "b", "train")], {"used": 23, "two_labels": 1}),
    "two labels in two parts": (VIDEOS, [*GOOD, (NAMES[0], "b", "test")], {"used": 23, "two_labels": 1}),
    "two labels, both files": (TWICE, [*GOOD, (NAMES[0], "b", "train")], {"used": 23, "two_labels": 1}),
    "two parts": (VIDEOS, [*GOOD, (NAMES[0], "a", "test")], {"used": 23, "two_parts": 1}),
    "absent file": (VIDEOS, [*GOOD, ("none.jpg", "a", "test")], {"used": 24, "absent": 1}),
    "absent file of two labels": (
        VIDEOS,
        [*GOOD, ("none.jpg", "a", "test"), ("none.jpg", "b", "test")],
        {"used": 24, "absent": 2},
    ),
    "unlisted frames": (VIDEOS, GOOD[2:], {"used": 22, "unlisted": 2}),
    "excluded class": (VIDEOS, [*GOOD, ("x.jpg", "Rare_thing", "train")], {"used": 24, "excluded": 1}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faulty_rows_are_dropped_and_counted(name):
    frames, rows, expected = FAULTS[name]
    protocol = OfficialProtocol(kind="parts", group_noun="video", exclude=("rare thing",))
    made = splits_from_official(frames, AB, rows, protocol, SETTINGS)
    counted = {key: value for key, value in made.counts.model_dump().items() if value}
    assert counted == {"rows": len(rows), **expected}
    assert len(made.splits["official"].rows) == expected["used"]


def test_a_frame_is_unlisted_though_another_class_lists_its_name():
    frames = [still(label, f"{n}.jpg", AB) for label in AB for n in range(4)]
    rows = [(f"{n}.jpg", "a", ("train", "train", "val", "test")[n]) for n in range(4)]
    rows += [("0.jpg", "b", "train"), ("3.jpg", "b", "test")]
    made = splits_from_official(frames, AB, rows, PARTS, SETTINGS)
    assert (made.counts.used, made.counts.unlisted) == (6, 2)


def test_files_that_share_a_name_across_classes_are_kept_where_names_carry_no_frame():
    frames = [still(label, f"{n}.jpg", AB) for label in AB for n in range(4)]
    rows = [(f"{n}.jpg", label, ("train", "train", "val", "test")[n]) for label in AB for n in range(4)]
    made = splits_from_official(frames, AB, rows, PARTS, SETTINGS)
    assert (made.counts.used, made.counts.two_labels) == (8, 0)


REFUSED = {
    "unknown label": (VIDEOS, [*GOOD, ("x.jpg", "bb", "train")], PARTS, "'x.jpg' as 'bb'.*did you mean 'b'", "aliases"),
    "no test part": (
        VIDEOS,
        [(f, label, "train") for f, label, _ in GOOD],
        PARTS,
        "it has no test part",
        "name the parts",
    ),
    "folds as parts": (VIDEOS, [(f, label, "f0") for f, label, _ in GOOD], PARTS, "'f0' is no part", "they are folds"),
    "one fold": (VIDEOS, [(f, label, "f0") for f, label, _ in GOOD], FOLDS, "names one fold, 'f0'", "all folds"),
    "no file": (VIDEOS, [("x.jpg", "a", "train")], PARTS, "none of 1 rows", "--data DIR"),
    "no rows": (VIDEOS, [], PARTS, "none of 0 rows", "--data DIR"),
    "one key twice": (
        [*VIDEOS, Frame("a/deep/" + NAMES[0], Path("a"), 0, "v", 1)],
        GOOD,
        PARTS,
        "have one class and file name",
        "move",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_fits_nothing_is_refused(name):
    frames, rows, protocol, match, fix = REFUSED[name]
    with pytest.raises(DataError, match=match) as caught:
        splits_from_official(frames, AB, rows, protocol, SETTINGS)
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("label", "same"),
    [
        ("Barrett's esophagus", "barretts esophagus"),
        ("Barrett’s esophagus", "BARRETT'S_ESOPHAGUS"),
        ("Small bowel_terminal ileum", "Small bowel terminal ileum"),
    ],
)
def test_labels_are_compared_without_case_apostrophes_and_separators(label, same):
    assert class_key(label) == class_key(same)


def test_other_labels_stay_apart():
    assert len({class_key(label) for label in CAPSULE_CLASSES}) == len(Counter(CAPSULE_CLASSES)) == 14
