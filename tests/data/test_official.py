"""Official splits from delivered folders and files, and what may happen to a split before it is used."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from replicas import CAPSULE_OFFICIAL, write_csv, write_images, write_replica

from gi_edge.data.index import index_from_folder
from gi_edge.data.make_split import splits_from_index
from gi_edge.data.official import official_splits
from gi_edge.data.partition import SplitSettings
from gi_edge.data.spec import read_spec
from gi_edge.data.split import csv_from_split
from gi_edge.data.subset import index_of_classes, index_of_split, read_split
from gi_edge.errors import DataError
from gi_edge.progress import Silent

HELD = SplitSettings(holdout_fraction=0.33)
FOLD_VIDEOS = (("04a78ef00c5245e0", "131368cc17e44240", "fe5d372e43f94f68"), ("2fc3db471f9d44c0", "64440803f87b4843"))


@pytest.fixture
def capsule(tmp_path):
    """Kvasir-Capsule with three videos in fold 0 and two in fold 1, and a class outside the protocol."""
    for fold, videos in enumerate(FOLD_VIDEOS):
        rows = [(f"{video}_{number}.jpg", label) for video in videos for number, label in enumerate(CAPSULE_OFFICIAL)]
        write_images(tmp_path / "labelled_images", (f"{label}/{name}" for name, label in rows))
        lines = [f"{name},{CAPSULE_OFFICIAL[label]}" for name, label in rows]
        write_csv(tmp_path / "official_splits" / f"split_{fold}.csv", ["filename,label", *lines])
    write_images(tmp_path / "labelled_images", [f"Polyp/{FOLD_VIDEOS[0][0]}_900.jpg"])
    return tmp_path


def capsule_index(root):
    return index_from_folder("capsule", root, read_spec("kvasir-capsule"))


def test_two_folds_test_one_another_and_validate_by_video(capsule):
    made = official_splits(capsule_index(capsule), capsule / "official_splits", HELD)
    assert list(made.splits) == ["fold-0", "fold-1"]
    assert len(made.classes) == 11
    assert "Polyp" not in made.classes
    for number, split in enumerate(made.splits.values()):
        parts = {part: {row.group for row in split.rows if row.part == part} for part in ("train", "val", "test")}
        assert parts["test"] == set(FOLD_VIDEOS[number])
        assert parts["train"] | parts["val"] == set(FOLD_VIDEOS[1 - number])
        assert parts["train"].isdisjoint(parts["val"])
        assert parts["val"]
        assert split.kind == "group"


def test_gastrovision_takes_the_authors_parts_and_22_classes(tmp_path):
    index = index_from_folder("gastrovision", write_replica("gastrovision", tmp_path), read_spec("gastrovision"))
    made = official_splits(index, tmp_path, HELD)
    split = made.splits["official"]
    assert len(made.classes) == 22
    assert split.counts() == {"train": 15, "val": 15, "test": 14}
    assert split.kind == "frame"
    names = Counter(row.frame.rpartition("/")[2] for row in split.rows)
    assert names["100H0003.jpg"] == 2


def test_delivered_parts_are_the_official_split_where_there_are_no_files(tmp_path):
    index = index_from_folder("gastrohun", write_replica("gastrohun", tmp_path), read_spec("gastrohun"))
    made = official_splits(index, tmp_path, HELD)
    counts = made.splits["official"].counts()
    assert counts == {part: sum(frame.part == part for frame in index.frames) for part in ("train", "val", "test")}
    assert min(counts.values()) > 0


def test_without_any_official_split_the_error_says_what_to_do(tmp_path):
    index = index_from_folder("mine", write_replica("folders", tmp_path), read_spec("folders"))
    with pytest.raises(DataError, match="knows no official split") as caught:
        official_splits(index, tmp_path, HELD)
    assert caught.value.fix.endswith("gi-edge data split --dataset mine")


def test_absent_official_files_are_named_with_their_source(capsule):
    (capsule / "official_splits" / "split_1.csv").unlink()
    with pytest.raises(DataError, match=r"found 0 files 'split_1.csv'") as caught:
        official_splits(capsule_index(capsule), capsule, HELD)
    assert "simula/kvasir-capsule" in caught.value.fix


def test_names_of_made_splits_and_what_is_told(capsule):
    index = capsule_index(capsule)
    made = splits_from_index(index, HELD, Silent(), capsule)
    assert list(made.splits) == ["-fold-0", "-fold-1"]
    assert made.notes == ("official split: 55 of 55 rows used, 11 classes, 1 class(es) of the folder not in it",)
    folds = splits_from_index(
        index_of_classes(index, made_classes(index)), HELD.model_copy(update={"folds": 5}), Silent()
    )
    assert list(folds.splits) == [f"-fold-{number}" for number in range(5)]


def made_classes(index):
    return [label for label in index.classes if label != "Polyp"]


# --- a split that was made before


def test_a_split_read_again_is_equal_and_selects_frames_and_classes(capsule, tmp_path):
    index = capsule_index(capsule)
    split = official_splits(index, capsule, HELD).splits["fold-0"]
    path = tmp_path / "split.csv"
    path.write_text(csv_from_split(split))
    again = read_split(path, group_noun="video")
    assert again.fingerprint == split.fingerprint
    subset = index_of_split(index, again, str(path))
    assert subset.classes == tuple(made_classes(index))
    assert {frame.id for frame in subset.frames} == {row.frame for row in split.rows}
    assert all(subset.classes[frame.label] == frame.id.partition("/")[0] for frame in subset.frames)


def test_classes_can_be_taken_in_another_order(capsule):
    index = index_of_classes(capsule_index(capsule), ["Ulcer", "Erosion"])
    assert {index.classes[frame.label] for frame in index.frames} == {"Ulcer", "Erosion"}
    assert all(index.classes[frame.label] == frame.id.partition("/")[0] for frame in index.frames)
    with pytest.raises(DataError, match="'Cancer' is not one of them"):
        index_of_classes(index, ["Ulcer", "Cancer"])


def test_a_split_of_another_folder_is_refused(capsule):
    index = capsule_index(capsule)
    split = official_splits(index, capsule, HELD).splits["fold-0"]
    fewer = dataclasses.replace(index, frames=index.frames[1:])
    with pytest.raises(DataError, match=r"s\.csv: 1 of 55 frames are not in"):
        index_of_split(fewer, split, "s.csv")
    relabelled = dataclasses.replace(index.frames[0], label=index.frames[0].label + 1)
    with pytest.raises(DataError, match="1 frames have another label"):
        index_of_split(dataclasses.replace(index, frames=(relabelled, *index.frames[1:])), split, "s.csv")


@pytest.mark.parametrize("text", ["", "frame,label\n", "frame,label,group,part\na,b,c,later\n"])
def test_what_is_no_split_is_refused(tmp_path, text):
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(DataError, match="is no split"):
        read_split(path, group_noun="video")
    with pytest.raises(DataError, match="is no split"):
        read_split(tmp_path / "absent.csv", group_noun="video")
