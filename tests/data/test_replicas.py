"""Known datasets as delivered, indexed with nothing but the name of their spec."""

from __future__ import annotations

import csv
import shlex
import shutil
import subprocess
import tarfile
from collections import Counter

import pytest
from replicas import HYPERKVASIR_FOLDERS, REPLICAS, VIDEOS, write_csv, write_images, write_replica

from gi_edge.data.classnames import class_from_name
from gi_edge.data.index import index_from_folder
from gi_edge.data.spec import read_spec, spec_names
from gi_edge.errors import DataError


def indexed(name, root, exclude=()):
    return index_from_folder(name, root, read_spec(name), exclude)


@pytest.mark.parametrize(
    ("name", "frames", "classes", "groups", "parts"),
    [
        ("gastrovision", 54, 27, {None}, {None: 54}),
        ("kvasir-capsule", 42, 14, set(VIDEOS), {None: 42}),
        ("kvasir-v2", 16, 8, {None}, {None: 16}),
        ("hyperkvasir", 46, 23, {None}, {None: 46}),
        ("capsule-vision-2024", 38, 10, {VIDEOS[0], None}, {"train": 19, "val": 19}),
        ("gastrohun", 12, 3, {"1", "2", "3", "4"}, {"train": 6, "val": 3, "test": 3}),
        ("limuc", 16, 4, {"467", "515", "11", "43"}, {"train": 8, "test": 8}),
        ("csv", 6, 2, {"P0", "P1", "P2"}, {"train": 4, "test": 2}),
        ("folders", 4, 2, {None}, {None: 4}),
    ],
)
def test_a_replica_is_indexed_by_its_spec_alone(tmp_path, name, frames, classes, groups, parts):
    index = indexed(name, write_replica(name, tmp_path / "d"))
    assert len(index.frames) == len({frame.id for frame in index.frames}) == frames
    assert len(index.classes) == classes
    assert {frame.group for frame in index.frames} == groups
    assert Counter(frame.part for frame in index.frames) == parts
    assert all(frame.path.is_file() for frame in index.frames)
    if index.spec.classes:
        assert set(index.classes) <= set(index.spec.classes)


def test_every_spec_has_a_replica():
    assert {*REPLICAS, "synthetic"} == set(spec_names())


def test_equal_names_in_two_classes_of_gastrovision_stay_apart(tmp_path):
    index = indexed("gastrovision", write_replica("gastrovision", tmp_path))
    assert [frame.id for frame in index.frames if frame.path.name == "100H0003.jpg"] == [
        "Colon polyps/100H0003.jpg",
        "Normal stomach/100H0003.jpg",
    ]


@pytest.mark.parametrize("spelling", ["Barrett’s esophagus", "Barretts esophagus", "barrett's_Esophagus"])
def test_barretts_keeps_its_name_and_ids_in_every_mirror(tmp_path, spelling):
    root = write_replica("gastrovision", tmp_path)
    delivered = [frame.id for frame in indexed("gastrovision", root).frames]
    (root / "Barrett's esophagus").rename(root / spelling)
    index = indexed("gastrovision", root)
    assert "Barrett's esophagus" in index.classes
    assert [frame.id for frame in index.frames] == delivered
    assert len(indexed("gastrovision", root, ["barretts esophagus"]).classes) == 26


def test_kvasir_capsule_names_carry_video_and_number(tmp_path):
    index = indexed("kvasir-capsule", write_replica("kvasir-capsule", tmp_path))
    frame = next(frame for frame in index.frames if frame.id == f"Angiectasia/{VIDEOS[1]}_41.jpg")
    assert (frame.group, frame.number, index.classes[frame.label]) == (VIDEOS[1], 41, "Angiectasia")


@pytest.mark.parametrize(
    ("folder", "csv", "released"),
    [
        ("Normal clean mucosa", "Normal", "normal_clean_mucosa"),
        ("Ileocecal valve", "Ileo-cecal valve", "ILEOCECAL VALVE"),
        ("Reduced mucosal view", "Reduced Mucosal View", "reduced_mucosal_view"),
        ("Foreign body", "Foreign Bodies", "Foreign Body"),
        ("Blood - fresh", "Blood", "blood_fresh"),
        ("Blood - hematin", "Blood-hematin", "blood_hematin"),
        ("Erythema", "Erythematous", "erythema"),
        ("Ampulla of vater", "Ampulla of Vater", "ampulla_of_vater"),
    ],
)
def test_three_spellings_of_kvasir_capsule_are_one_class(folder, csv, released):
    classes = read_spec("kvasir-capsule").classes
    assert {class_from_name(name, classes) for name in (folder, csv, released)} == {folder}


@pytest.mark.parametrize("name", [name for name in spec_names() if read_spec(name).official])
def test_official_files_have_the_columns_and_classes_of_the_spec(tmp_path, name):
    root, spec = write_replica(name, tmp_path), read_spec(name)
    known = {(frame.path.name, index_class) for frame, index_class in labelled(indexed(name, root))}
    for file in spec.official.files.values():
        (path,) = root.rglob(file)
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines, delimiter=spec.official.delimiter))
        assert rows
        for row in rows:
            label = class_from_name(row[spec.official.label_column], spec.classes)
            assert (row[spec.official.file_column], label) in known
            if spec.official.fold_column:
                assert row[spec.official.fold_column] in spec.official.files


def labelled(index):
    return [(frame, index.classes[frame.label]) for frame in index.frames]


def test_hyperkvasir_passes_over_the_upper_folders_and_the_copies(tmp_path):
    index = indexed("hyperkvasir", write_replica("hyperkvasir", tmp_path))
    assert set(index.classes) == {label for labels in HYPERKVASIR_FOLDERS.values() for label in labels}
    assert not any("segmented-images" in frame.path.parts for frame in index.frames)


def test_class_and_name_that_repeat_in_nested_folders_are_told_apart_by_path(tmp_path):
    index = indexed("capsule-vision-2024", write_replica("capsule-vision-2024", tmp_path))
    write_images(tmp_path, ["validation/Polyp/KID/image00001.jpg"])
    ids = {frame.id for frame in indexed("capsule-vision-2024", tmp_path).frames}
    assert ids - {frame.id for frame in index.frames} == {
        "validation/Polyp/KID/image00001.jpg",
        "validation/Polyp/SEE-AI/image00001.jpg",
    }


def test_the_limuc_folder_by_patient_serves_when_it_is_given_itself(tmp_path):
    index = indexed("limuc", write_replica("limuc", tmp_path) / "patient_based_classified_images")
    assert Counter(frame.group for frame in index.frames) == {"467": 4, "515": 4, "11": 4, "43": 4}


@pytest.mark.parametrize(
    ("name", "folder", "near"),
    [("kvasir-v2", "polps", "did you mean 'polyps'"), ("limuc", "test_set/Mayo 7", "did you mean 'Mayo [0-3]'")],
)
def test_a_folder_that_is_no_class_names_the_nearest(tmp_path, name, folder, near):
    root = write_replica(name, tmp_path)
    write_images(root, [f"{folder}/UC_patient_1_1.bmp"])
    with pytest.raises(DataError, match=near) as caught:
        indexed(name, root)
    assert f"'{folder}' is no class of spec '{name}'" in str(caught.value)
    left_out = folder.rpartition("/")[2]
    assert shlex.split(caught.value.fix)[-2:] == ["--exclude", left_out]
    assert len(indexed(name, root, [left_out]).classes) == len(read_spec(name).classes)


def packed_capsule(root):
    images = write_replica("kvasir-capsule", root) / "labelled_images"
    for folder in sorted(images.iterdir()):
        with tarfile.open(images / f"{folder.name.lower().replace(' ', '_')}.tar.gz", "w:gz") as archive:
            archive.add(folder, folder.name)
        shutil.rmtree(folder)
    return root


def test_the_fix_for_packed_classes_unpacks_them(tmp_path):
    root = packed_capsule(tmp_path / "Kvasir Capsule")
    with pytest.raises(DataError, match="14 archive.* are not unpacked") as caught:
        indexed("kvasir-capsule", root)
    assert caught.value.fix == f"find '{root}' -name '*.tar.gz' -execdir tar -xzf {{}} \\;"
    subprocess.run(caught.value.fix, shell=True, check=True)
    assert len(indexed("kvasir-capsule", root).frames) == 42


def test_one_class_left_packed_is_told(tmp_path):
    root = packed_capsule(tmp_path)
    with pytest.raises(DataError) as caught:
        indexed("kvasir-capsule", root)
    subprocess.run(caught.value.fix, shell=True, check=True)
    shutil.rmtree(root / "labelled_images" / "Polyp")
    with pytest.raises(DataError, match=r"1 archive.* labelled_images/polyp\.tar\.gz"):
        indexed("kvasir-capsule", root)


@pytest.mark.parametrize(
    ("spec", "archives", "command"),
    [
        ("folders", ("a.zip", "b.zip"), "find ROOT -iname '*.zip' -execdir unzip -n -q {} \\;"),
        ("csv", ("all.tgz",), "find ROOT -iname '*.tgz' -execdir tar -xf {} \\;"),
        ("hyperkvasir", ("hyper-kvasir-labeled-images.zip",), read_spec("hyperkvasir").unpack),
        ("hyperkvasir", ("images.tar",), "find ROOT -iname '*.tar' -execdir tar -xf {} \\;"),
        ("kvasir-capsule", ("labelled_images.zip",), "find ROOT -iname '*.zip' -execdir unzip -n -q {} \\;"),
    ],
)
def test_each_kind_of_archive_is_told_with_its_command(tmp_path, spec, archives, command):
    for name in archives:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=f"{len(archives)} archive") as caught:
        indexed(spec, tmp_path)
    assert caught.value.fix.replace(str(tmp_path), "ROOT") == command.replace("{root}", "ROOT")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_and_usual_headers_are_found(tmp_path, delimiter):
    write_images(tmp_path, ["a.png", "sub/b.png"])
    write_csv(tmp_path / "x.csv", [delimiter.join(row) for row in (("Label", "Image"), ("p", "a"), ("q", "sub/b.png"))])
    index = indexed("csv", tmp_path)
    assert [(frame.id, frame.group, frame.part) for frame in index.frames] == [
        ("p/a.png", None, None),
        ("q/b.png", None, None),
    ]
