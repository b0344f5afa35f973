"""Indexing a class-per-folder tree."""

from __future__ import annotations

import pytest

from gi_edge.data.index import frames_by_id, index_from_folder, is_class_tree, spec_from_names
from gi_edge.data.spec import DatasetSpec, read_spec, spec_names
from gi_edge.errors import ConfigError, DataError

FOLDERS = read_spec("folders")


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def test_equal_file_names_in_two_classes_are_two_frames(tmp_path):
    root = touch(tmp_path, "polyp/100H0003.jpg", "Barrett's esophagus/100H0003.jpg")
    index = index_from_folder("d", root, FOLDERS)
    assert index.classes == ("Barrett's esophagus", "polyp")
    assert [(frame.id, frame.label) for frame in index.frames] == [
        ("Barrett's esophagus/100H0003.jpg", 0),
        ("polyp/100H0003.jpg", 1),
    ]


def test_only_image_files_count_and_hidden_ones_do_not(tmp_path):
    root = touch(
        tmp_path, "a/1.JPG", "a/2.png", "a/.3.jpg", "a/notes.txt", "b/1.tiff", ".cache/1.jpg", "c/readme.md", "x.jpg"
    )
    index = index_from_folder("d", root, FOLDERS)
    assert [frame.id for frame in index.frames] == ["a/1.JPG", "a/2.png", "b/1.tiff"]
    assert index.classes == ("a", "b")


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ([], "found 0 class folder"),
        (["a/1.jpg"], "found 1 class folder"),
        (["a/1.txt", "b/2.txt"], "found 0 class folder"),
    ],
)
def test_too_few_classes_are_an_error_that_shows_the_layout(tmp_path, names, match):
    with pytest.raises(DataError, match=match) as caught:
        index_from_folder("d", touch(tmp_path, *names), FOLDERS)
    assert "CLASS/IMAGE.jpg" in caught.value.fix


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="there is no folder .*nowhere"):
        index_from_folder("d", tmp_path / "nowhere", FOLDERS)


def test_excluded_classes_are_left_out_and_unknown_ones_told(tmp_path):
    root = touch(tmp_path, "a/1.jpg", "b/1.jpg", "polyp/1.jpg")
    assert index_from_folder("d", root, FOLDERS, ["polyp"]).classes == ("a", "b")
    with pytest.raises(DataError, match="did you mean 'polyp'"):
        index_from_folder("d", root, FOLDERS, ["polyps"])


def test_the_synthetic_spec_reads_the_video_from_the_name(tmp_path):
    root = touch(tmp_path, "a/0123456789abcdef_12.jpg", "b/fedcba9876543210_3.jpg")
    index = index_from_folder("d", root, read_spec("synthetic"))
    assert [(frame.group, frame.number) for frame in index.frames] == [
        ("0123456789abcdef", 12),
        ("fedcba9876543210", 3),
    ]
    touch(root, "b/other.jpg")
    with pytest.raises(DataError, match=r"'other\.jpg' carries no video id"):
        index_from_folder("d", root, read_spec("synthetic"))


def test_the_spec_is_found_by_the_file_names():
    assert spec_from_names(["0123456789abcdef_12.jpg"]) == "synthetic"
    assert spec_from_names(["0123456789abcdef_12.jpg", "x.jpg"]) == "folders"


def test_an_unknown_spec_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'folders'"):
        read_spec("folder")


@pytest.mark.parametrize("name", spec_names())
def test_every_spec_of_the_package_is_valid(name):
    assert read_spec(name).licence


def test_a_group_pattern_needs_its_part():
    with pytest.raises(ValueError, match=r"\(\?P<group>"):
        DatasetSpec(name="x", title="x", licence="x", group_pattern="(.*)")


def test_held_out_frames_come_back_in_order_or_not_at_all(tmp_path):
    index = index_from_folder("d", touch(tmp_path, "a/1.jpg", "a/2.jpg", "b/1.jpg"), FOLDERS)
    assert [frame.id for frame in frames_by_id(index, ["b/1.jpg", "a/2.jpg"])] == ["b/1.jpg", "a/2.jpg"]
    with pytest.raises(DataError, match=r"1 of 2 held-out frames .* 'a/9\.jpg'"):
        frames_by_id(index, ["a/9.jpg", "a/1.jpg"])


def test_class_trees_are_recognised(tmp_path):
    assert is_class_tree(touch(tmp_path / "t", "a/1.jpg", "b/1.jpg"))
    assert not is_class_tree(touch(tmp_path / "u", "a/1.jpg", "b/1.txt"))
    assert not is_class_tree(tmp_path / "absent")
