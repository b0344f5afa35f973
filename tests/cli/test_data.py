"""gi-edge data: what a user sees of files, splits and leaks."""

from __future__ import annotations

import csv
import json

import pytest
from replicas import VIDEOS, write_csv, write_replica
from support import TRAINING, write_frames


@pytest.fixture
def lesions(tmp_path):
    return write_frames(tmp_path / "lesions")


@pytest.fixture
def videos(tmp_path):
    """Official CSVs of one video, its frames dealt to both in turn, and of two videos."""
    frames = [(f"{VIDEOS[0]}_{number}.jpg", "Ulcer" if number < 20 else "Normal") for number in range(40)]
    for name, rows in {"dealt-a": frames[::2], "dealt-b": frames[1::2]}.items():
        write_csv(tmp_path / f"{name}.csv", ["filename,label", *(",".join(row) for row in rows)])
    other = [(name.replace(VIDEOS[0], VIDEOS[1]), label) for name, label in frames]
    write_csv(tmp_path / "other.csv", ["filename,label", *(",".join(row) for row in other)])
    return tmp_path


# --- check


def test_check_finds_nothing_in_good_frames(lesions, gi_edge):
    done = gi_edge("data", "check", "--data", lesions, "--strict", cwd=lesions.parent)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("lesions: 36 frame(s) in 3 classes")
    assert "nothing odd" in done.out


def test_check_names_what_is_broken_and_strict_says_no(lesions, gi_edge):
    (lesions / "red lesion" / "003.jpg").write_bytes(b"")
    (lesions / "red lesion" / "004.jpg").write_bytes((lesions / "blue lesion" / "001.jpg").read_bytes())
    done = gi_edge("data", "check", "--data", lesions, cwd=lesions.parent)
    assert done.code == 0
    assert "error: empty: red lesion/003.jpg: " in done.out
    assert "error: two-labels: blue lesion/001.jpg: " in done.out
    strict = gi_edge("data", "check", "--data", lesions, "--strict", "--json", cwd=lesions.parent)
    assert strict.code == 3
    assert {finding["kind"] for finding in json.loads(strict.out)["findings"]} == {"empty", "two-labels"}


def test_check_reports_folders_that_are_no_class_and_goes_on(tmp_path, gi_edge):
    root = write_replica("kvasir-v2", tmp_path / "kvasir-v2")
    (root / "polyps").rename(root / "my-own")
    (root / "ulcerative-colitis").rename(root / "colitis")
    done = gi_edge("data", "check", "--data", root, "--spec", "kvasir-v2", "--json", "--strict", cwd=tmp_path)
    assert done.code == 3
    found = json.loads(done.out)
    unknown = [finding["frame"] for finding in found["findings"] if finding["kind"] == "unknown-class"]
    assert unknown == ["colitis", "my-own"]
    assert found["frames"] == 12
    refused = gi_edge("train", "--data", root, "--spec", "kvasir-v2", cwd=tmp_path)
    assert refused.code == 1
    assert "--exclude colitis --exclude my-own" in refused.err


# --- split


def test_split_is_written_once_and_is_the_same_again(lesions, gi_edge):
    words = ("data", "split", "--data", lesions, "--json")
    first = gi_edge(*words, cwd=lesions.parent)
    assert first.code == 0, first.err
    made = json.loads(first.out)
    assert made["file"] == "splits/lesions.csv"
    assert made["kind"] == "cluster"
    assert made["train"] + made["val"] + made["test"] == 36
    kept = gi_edge(*words, cwd=lesions.parent)
    assert kept.code == 1
    assert "exists already" in kept.err
    assert json.loads(gi_edge(*words, "--force", cwd=lesions.parent).out) == made
    other = gi_edge(*words, "--force", "--seed", 1, cwd=lesions.parent)
    assert json.loads(other.out)["fingerprint"] != made["fingerprint"]


def test_folds_are_files_and_each_frame_tests_once(lesions, gi_edge):
    done = gi_edge("data", "split", "--data", lesions, "--folds", 3, cwd=lesions.parent)
    assert done.code == 0, done.err
    tested = []
    for fold in range(3):
        with (lesions.parent / "splits" / f"lesions-fold-{fold}.csv").open() as file:
            tested += [row["frame"] for row in csv.DictReader(file) if row["part"] == "test"]
    assert len(tested) == len(set(tested)) == 36


def test_the_official_split_is_followed(tmp_path, gi_edge):
    root = write_replica("gastrovision", tmp_path / "gastrovision")
    words = (
        "data",
        "split",
        "--data",
        root,
        "--spec",
        "gastrovision",
        "--official",
        root / "Split",
        "--split-by",
        "frame",
    )
    done = gi_edge(*words, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "22 classes, 5 class(es) of the folder not in it" in done.err
    assert "splits/gastrovision-official.csv: train 15, val 15, test 14" in done.out
    assert "Frame-level split" in done.out


def test_parts_that_frames_are_delivered_in_are_kept(tmp_path, gi_edge):
    root = write_frames(tmp_path / "own", per_class=12)
    frames = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    rows = [
        f"{name},{name.split('/')[0]},p{n % 12},{'test' if n % 12 < 4 else 'train'}" for n, name in enumerate(frames)
    ]
    write_csv(root / "labels.csv", ["file,label,group,split", *rows])
    done = gi_edge("data", "split", "--data", root, "--spec", "csv", "--holdout-fraction", 0.3, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "the parts are those that the frames are delivered in" in done.err
    with (tmp_path / "splits" / "own.csv").open() as file:
        parts = {row["group"]: row["part"] for row in csv.DictReader(file)}
    assert {group for group, part in parts.items() if part == "test"} == {"p0", "p1", "p2", "p3"}
    assert {"train", "val"} <= set(parts.values())
    words = ["train", "--data", root, "--spec", "csv", *TRAINING.split(), "--epochs", 1, "--holdout-fraction", 0.3]
    assert gi_edge(*words, cwd=tmp_path).code == 0
    assert (tmp_path / "adapters" / "own" / "split.csv").read_bytes() == (tmp_path / "splits" / "own.csv").read_bytes()
    other = gi_edge("data", "split", "--data", root, "--spec", "csv", "--split-by", "group", "--force", cwd=tmp_path)
    assert "delivered in" not in other.err


def test_classes_can_be_left_out_of_an_official_split(tmp_path, gi_edge):
    root = write_replica("gastrovision", tmp_path / "gastrovision")
    words = ["--spec", "gastrovision", "--official", root / "Split", "--split-by", "frame", "--exclude", "Colon polyps"]
    done = gi_edge("data", "split", "--data", root, *words, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "21 classes" in done.err


def test_a_spec_of_the_users_own_travels_with_the_adapter(tmp_path, gi_edge):
    root = write_frames(tmp_path / "own", per_class=12)
    (tmp_path / "own.toml").write_text(
        'title = "Ours"\nlicence = "internal"\ngroup_noun = "study"\ngroup_pattern = \'^(?P<group>[0-9]+)\'\n'
    )
    words = ["train", "--data", root, "--spec", "own.toml", *TRAINING.split(), "--epochs", 1]
    done = gi_edge(*words, cwd=tmp_path)
    assert done.code == 0, done.err
    (tmp_path / "own.toml").unlink()
    evaluated = gi_edge("evaluate", "--adapter", "own", "--data", root, cwd=tmp_path)
    assert evaluated.code == 0, evaluated.err
    assert "study" in evaluated.out


# --- train on it


def test_training_takes_a_given_split_and_carries_it(lesions, gi_edge):
    gi_edge("data", "split", "--data", lesions, "--exclude", "red lesion", cwd=lesions.parent)
    words = ["train", "--data", lesions, *TRAINING.split(), "--epochs", 1, "--split", "splits/lesions.csv"]
    done = gi_edge(*words, cwd=lesions.parent)
    assert done.code == 0, done.err
    adapter = lesions.parent / "adapters" / "lesions"
    assert (adapter / "split.csv").read_bytes() == (lesions.parent / "splits" / "lesions.csv").read_bytes()
    manifest = json.loads((adapter / "manifest.json").read_text())
    assert manifest["classes"] == ["blue lesion", "green lesion"]
    assert manifest["split"]["kind"] == "cluster"
    assert manifest["evaluation"]["n"] == manifest["split"]["test"]
    assert manifest["evaluation"]["groups"] is not None


def test_a_frame_level_split_is_possible_by_name_and_says_so(lesions, gi_edge):
    words = ["train", "--data", lesions, *TRAINING.split(), "--epochs", 1, "--split-by", "frame"]
    done = gi_edge(*words, cwd=lesions.parent)
    assert done.code == 0, done.err
    assert "Frame-level split" in done.err
    assert "Frame-level split" in (lesions.parent / "adapters" / "lesions" / "README.md").read_text()


# --- audit


def test_audit_of_csvs_alone_tells_a_leak_from_none(videos, gi_edge):
    words = ("data", "audit", "--spec", "kvasir-capsule", "--split-files")
    leak = gi_edge(*words, "dealt-a.csv", "dealt-b.csv", "--strict", cwd=videos)
    assert leak.code == 3
    assert "A rule that looks at no pixels scores 100.0 %" in leak.out.replace("\n", " ")
    assert (videos / "reports" / "audit-dealt-a-dealt-b.html").is_file()
    clean = gi_edge(*words, "dealt-a.csv", "other.csv", "--strict", "--json", cwd=videos)
    assert clean.code == 0, clean.err
    audit = json.loads(clean.out)
    assert audit["leaks"] is False
    assert audit["pixel_free"]["applied"] == 0
    assert json.loads((videos / "reports" / "audit-dealt-a-other.json").read_text()) == audit


@pytest.mark.parametrize(
    ("spec", "lines", "parts", "verdict"),
    [
        (
            "hyperkvasir",
            ("file-name;class-name;split-index", "a.jpg;polyps;0", "b.jpg;normal-cecum;0", "b.jpg;cecum;1"),
            ["fold-0", "fold-1"],
            "Part 'fold-1' has 1 file in common with part 'fold-0'",
        ),
        (
            "csv",
            ("frame,label,group,part", "a/1.jpg,a,v1,train", "a/2.jpg,a,v1,val", "b/3.jpg,b,v2,test"),
            ["train", "val", "test"],
            "No group of part 'test' is in another part",
        ),
        (
            "csv",
            ("frame,label,group,part", "a/1.jpg,a,cluster-000001,train", "b/3.jpg,b,cluster-000002,test"),
            ["train", "test"],
            "No near-duplicate cluster is in two parts, but no video or patient is known",
        ),
        ("csv", ("file,label,part", "a/1.jpg,a,train", "b/1.jpg,b,test"), ["train", "test"], "No file is in two parts"),
    ],
)
def test_audit_of_one_csv_with_its_parts(spec, lines, parts, verdict, tmp_path, gi_edge):
    write_csv(tmp_path / "one.csv", lines)
    done = gi_edge("data", "audit", "--split-files", "one.csv", "--spec", spec, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    audit = json.loads(done.out)
    assert [part["part"] for part in audit["parts"]] == parts
    assert audit["verdict"].startswith(verdict)


@pytest.mark.parametrize("only_names", [(), ("--names-only",)])
def test_audit_of_a_split_finds_a_file_under_two_labels(only_names, tmp_path, gi_edge):
    root = tmp_path / "set"
    frames = write_frames(root / "images")
    (frames / "blue lesion" / "003.jpg").unlink()
    lines = [f"{path.relative_to(root)},{path.parent.name}" for path in sorted(frames.rglob("*.jpg"))]
    write_csv(root / "labels.csv", ["file,label", *lines, "images/red lesion/003.jpg,blue lesion"])
    rows = ["blue lesion/003.jpg,blue lesion,,train", "red lesion/003.jpg,red lesion,,test"]
    write_csv(tmp_path / "split.csv", ["frame,label,group,part", *rows])
    words = ("data", "audit", "--data", root, "--spec", "csv", "--split", "split.csv", "--json", *only_names)
    done = gi_edge(*words, cwd=tmp_path)
    assert done.code == 0, done.err
    audit = json.loads(done.out)
    assert audit["leaks"] is True
    assert [conflict["file"] for conflict in audit["conflicts"]] == ["images/red lesion/003.jpg"]


def test_audit_of_a_split_seeks_near_duplicates(lesions, gi_edge):
    for number in range(12):
        source = lesions / "red lesion" / f"{number:03d}.jpg"
        (lesions / "red lesion" / f"again-{number:03d}.jpg").write_bytes(source.read_bytes())
    gi_edge("data", "split", "--data", lesions, "--split-by", "frame", cwd=lesions.parent)
    done = gi_edge("data", "audit", "--data", lesions, "--split", "splits/lesions.csv", "--strict", cwd=lesions.parent)
    assert done.code == 3
    assert "near-copy in part" in done.out
    page = (lesions.parent / "reports" / "audit-lesions.html").read_text()
    assert "data:image/jpeg;base64," in page
    gi_edge("data", "split", "--data", lesions, "--force", cwd=lesions.parent)
    kept = gi_edge("data", "audit", "--data", lesions, cwd=lesions.parent)
    assert kept.code == 1
    assert "--force to replace it, or --output FILE.json" in kept.err
    clean = gi_edge("data", "audit", "--data", lesions, "--strict", "--force", cwd=lesions.parent)
    assert clean.code == 0, clean.err
    assert "does not show that a model works on a new patient" in clean.out.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        ("data audit --split-files a.csv", 1, "a.csv is not a readable CSV file"),
        ("data audit --split-files a/1.csv b/1.csv", 2, "CSVs of different names"),
        ("data audit a.csv b.csv", 2, "--split-files FILE FILE"),
        ("data audit --data lesions", 1, "is no split"),
        ("data audit --data lesions --split none.csv", 1, "gi-edge data split"),
        ("data split --data lesions --split-by group", 1, "--split-by cluster"),
        ("data split --data lesions --folds 2", 1, "at least 3 folds"),
        ("data split --data lesions --official lesions", 1, "knows no official split"),
        ("data check", 1, "gi-edge init --data DIR"),
        ("data split --data lesions --official lesions --folds 3", 2, "leave --folds out"),
        ("train --data lesions --name ../x", 1, "cannot name an adapter"),
        ("train --data lesions --name . --force", 1, "cannot name an adapter"),
        ("train --data lesions --split none.csv", 1, "is no split"),
    ],
)
def test_what_cannot_serve_is_an_error_with_its_mend(words, code, found, lesions, gi_edge):
    done = gi_edge(*words.split(), cwd=lesions.parent)
    assert done.code == code, done.err
    assert found in done.err
    assert "Traceback" not in done.err
    assert not (lesions.parent / "splits").exists()
