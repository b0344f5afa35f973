"""Indexing class folders and label files, and the specs that say how."""

from __future__ import annotations

import pytest
from support import write_frames

from gi_edge.data.classnames import class_key
from gi_edge.data.index import frames_by_id, image_files, index_from_folder, is_class_tree, spec_from_names
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
        tmp_path,
        "a/1.JPG",
        "a/2.png",
        "a/.3.jpg",
        "a/notes.txt",
        "@eaDir/a/1.jpg",
        "@eaDir/1.jpg",
        "b/1.tiff",
        ".cache/1.jpg",
        "c/readme.md",
        "x.jpg",
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


@pytest.mark.parametrize(
    ("names", "classes", "spec"),
    [
        (["0123456789abcdef_12.jpg"], ["Ulcer", "ileo-cecal valve"], "kvasir-capsule"),
        (["0123456789abcdef_12.jpg"], ["ulcer", "bubbles"], "synthetic"),
        (["x.jpg"], ["Pylorus", "Barretts esophagus"], "folders"),
        (["x.jpg"], [name.replace("'", "’") for name in read_spec("gastrovision").classes], "gastrovision"),
        (["x.jpg"], ["polyps", "normal-z-line", "ulcerative-colitis", "esophagitis"], "kvasir-v2"),
        (["x.jpg"], ["bleeding", "non-bleeding"], "folders"),
        (["0123456789abcdef_12.jpg"], [*read_spec("capsule-vision-2024").classes], "capsule-vision-2024"),
        (["UC_patient_1_2.bmp"], ["Mayo 0", "Mayo 1"], "limuc"),
    ],
)
def test_with_the_class_names_known_sets_are_found_too(names, classes, spec):
    assert spec_from_names(names, classes) == spec


def test_an_unknown_spec_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'folders'"):
        read_spec("folder")


@pytest.mark.parametrize("name", spec_names())
def test_every_spec_of_the_package_is_valid(name):
    spec = read_spec(name)
    assert spec.licence
    if spec.classes:
        assert spec.citation
        assert spec.source.startswith("https://")
        assert spec.note


def test_a_spec_of_the_user_is_read_from_its_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('title = "Mine"\nlicence = "internal"\nlayout = "csv"\ncsv_columns = { label = "Befund" }\n')
    spec = read_spec(str(file))
    assert (spec.name, spec.layout, spec.csv_columns.label) == (str(file), "csv", "Befund")
    file.write_text('title = "Mine"\nlicence = "internal"\nlayuot = "csv"\n')
    with pytest.raises(ConfigError, match="did you mean 'layout'"):
        read_spec(str(file))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"group_pattern": "(.*)"}, r"\(\?P<group>"),
        ({"group_pattern": "(?P<group>"}, "not a regular expression"),
        ({"csv_delimiter": ";;"}, "one character"),
        ({"classes": {"Polyp": (), "Polyps": ("polyp",)}}, "'polyp' is a spelling of 'Polyp' and of 'Polyps'"),
        ({"part_folders": {"a": "training"}}, "'train', 'val' or 'test'"),
    ],
)
def test_a_faulty_spec_is_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        DatasetSpec(name="x", title="x", licence="x", **fields)


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("Barrett's esophagus", "barretts esophagus"),
        ("BARRETT’S_ESOPHAGUS", "barretts esophagus"),
        ("Barrett´s  esophagus ", "barretts esophagus"),
        ("Blood - fresh", "blood fresh"),
        ("Ileo-cecal valve", "ileo cecal valve"),
        ("Ileo–cecal valve", "ileo cecal valve"),
        ("O\u0308dem", "ödem"),
    ],
)
def test_spellings_share_a_key(spelling, key):
    assert class_key(spelling) == key


def test_the_group_may_stand_in_the_folder(tmp_path):
    spec = DatasetSpec(
        name="x",
        title="x",
        licence="x",
        layout="nested-class-folders",
        group_from="folder",
        group_pattern="(?P<group>patient[0-9]+)/",
    )
    index = index_from_folder("d", touch(tmp_path, "patient1/a/1.jpg", "patient2/b/1.jpg", "patient2/a/1.jpg"), spec)
    assert [(frame.id, frame.group) for frame in index.frames] == [
        ("b/1.jpg", "patient2"),
        ("patient1/a/1.jpg", "patient1"),
        ("patient2/a/1.jpg", "patient2"),
    ]


def test_ids_stay_unique_where_a_path_looks_like_a_class(tmp_path):
    spec = DatasetSpec(
        name="x", title="x", licence="x", layout="nested-class-folders", classes={"a": ("b",), "c": (), "b2": ()}
    )
    index = index_from_folder("d", touch(tmp_path, "a/1.jpg", "b/1.jpg", "z/c/1.jpg"), spec)
    assert [frame.id for frame in index.frames] == ["a/1.jpg", "b/1.jpg", "c/1.jpg"]
    assert [frame.label for frame in index.frames] == [0, 0, 1]


def test_a_folder_that_links_to_itself_is_no_endless_walk(tmp_path):
    root = touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (root / "a" / "again").symlink_to(root, target_is_directory=True)
    nested = DatasetSpec(name="x", title="x", licence="x", layout="nested-class-folders")
    assert [frame.id for frame in index_from_folder("d", root, nested).frames] == ["a/1.jpg", "b/1.jpg"]


def test_a_tree_one_level_below_is_pointed_at(tmp_path):
    touch(tmp_path, "kvasir dataset/a/1.jpg", "kvasir dataset/b/1.jpg")
    with pytest.raises(DataError, match="found 0 class folder") as caught:
        index_from_folder("d", tmp_path, FOLDERS)
    assert caught.value.fix == f"give the folder one level below: --data '{tmp_path / 'kvasir dataset'}'"


def test_held_out_frames_come_back_in_order_or_not_at_all(tmp_path):
    index = index_from_folder("d", touch(tmp_path, "a/1.jpg", "a/2.jpg", "b/1.jpg"), FOLDERS)
    assert [frame.id for frame in frames_by_id(index, ["b/1.jpg", "a/2.jpg"])] == ["b/1.jpg", "a/2.jpg"]
    with pytest.raises(DataError, match=r"1 of 2 held-out frames .* 'a/9\.jpg'"):
        frames_by_id(index, ["a/9.jpg", "a/1.jpg"])


def test_class_trees_are_recognised(tmp_path):
    assert is_class_tree(touch(tmp_path / "t", "a/1.jpg", "b/1.jpg"))
    assert not is_class_tree(touch(tmp_path / "u", "a/1.jpg", "b/1.txt"))
    assert not is_class_tree(tmp_path / "absent")


def test_links_that_lead_nowhere_are_passed_over(tmp_path):
    write_frames(tmp_path / "set", per_class=2)
    folder = next(path for path in (tmp_path / "set").iterdir() if path.is_dir())
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "gone.jpg").symlink_to(folder / "not-there.jpg")
    index = index_from_folder("set", tmp_path / "set", read_spec("folders"))
    assert len(index.frames) == 6
    assert len(image_files(folder)) == 2


def test_images_below_a_class_folder_are_not_passed_over_in_silence(tmp_path):
    write_frames(tmp_path / "set", per_class=2)
    deeper = next(path for path in (tmp_path / "set").iterdir() if path.is_dir())
    (deeper / "patient1").mkdir()
    next(deeper.glob("*.jpg")).rename(deeper / "patient1" / "000.jpg")
    with pytest.raises(DataError, match="1 images lie deeper than in their class folder") as caught:
        index_from_folder("set", tmp_path / "set", read_spec("folders"))
    assert "nested-class-folders" in caught.value.fix
