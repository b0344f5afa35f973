"""Reading the parts of a split, from a split or from official CSVs."""

from __future__ import annotations

import pytest

from gi_edge.data.audit import audit_rows
from gi_edge.data.audit_rows import AuditRow, rows_from_csv, rows_from_split
from gi_edge.data.spec import DatasetSpec, read_spec
from gi_edge.data.split import SplitRow, split_from_rows
from gi_edge.errors import DataError

FOLDERS, VIDEOS = read_spec("folders"), read_spec("synthetic")
PATIENTS = DatasetSpec(name="p", title="p", licence="x", group_pattern=r"^(?P<group>P\d+)", group_noun="patient")
V = "0123456789abcdef"


def csv(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "fold.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        f"filename,label\n{V}_7.jpg,Ulcer\n",
        f"Filename,Class\r\n{V}_7.jpg,Ulcer\r\n",
        f"file-name;class-name;split-index\n{V}_7.jpg;Ulcer;0\n",
        f"\ufeffimage,finding_class\n\n{V}_7.jpg , Ulcer\n \n",
        f'label,FILE\n"Ulcer","{V}_7.jpg"\n',
        f"a,b,image_path,c,label\n,,{V}_7.jpg,,Ulcer",
    ],
)
def test_official_forms_of_csv(tmp_path, text):
    assert rows_from_csv(csv(tmp_path, text), "test", VIDEOS) == (AuditRow(f"{V}_7.jpg", "Ulcer", V, 7, "test"),)


@pytest.mark.parametrize(
    ("spec", "text", "row"),
    [
        (FOLDERS, "file,label\n1.jpg,a\n", AuditRow("1.jpg", "a", None, None, "t")),
        (FOLDERS, "file,label,patient_id\n1.jpg,a,P1\n", AuditRow("1.jpg", "a", "P1", None, "t")),
        (FOLDERS, "file,label,group\n1.jpg,a\n", AuditRow("1.jpg", "a", None, None, "t")),
        (PATIENTS, "file,label,group\nx/P12 a.jpg,a,other\n", AuditRow("x/P12 a.jpg", "a", "P12", None, "t")),
        (VIDEOS, f"file,label\nC:\\x\\{V}_1.jpg,a\n", AuditRow(f"C:\\x\\{V}_1.jpg", "a", V, 1, "t")),
        (FOLDERS, "file;label\n1.jpg;a, b\n", AuditRow("1.jpg", "a, b", None, None, "t")),
        (FOLDERS, 'file,label\n"1,2.jpg","a ""b"""\n', AuditRow("1,2.jpg", 'a "b"', None, None, "t")),
    ],
)
def test_groups_come_from_the_name_or_else_from_a_column(tmp_path, spec, text, row):
    assert rows_from_csv(csv(tmp_path, text), "t", spec) == (row,)


@pytest.mark.parametrize(
    ("text", "match", "fix"),
    [
        ("", "line 1: no column for the file, found []", "put 'filename,label' in line 1"),
        ("1.jpg,a\n", "line 1: no column for the file, found ['1.jpg', 'a']", "put 'filename,label' in line 1"),
        ("file,colour\n1.jpg,a\n", "line 1: no column for the label", "put 'filename,label' in line 1"),
        ("file,label\n", "lists no frame", "give a CSV with rows"),
        (f"file,label\n{V}_1.jpg,a\n\n,b\n", "line 4: no file name, found ['', 'b']", "correct or remove"),
        (f"file,label\n{V}_1.jpg\n", "line 2: no label, found", "correct or remove"),
        (f"file,label\n{V}_1.jpg,a\n7.jpg,a\n", "line 3: '7.jpg' carries no video id", "--spec folders"),
        ('file,label\n"' + "x" * 140_000 + '",a\n', "line 2: field larger than field limit", "correct or remove"),
    ],
)
def test_a_bad_csv_names_its_line(tmp_path, text, match, fix):
    path = csv(tmp_path, text)
    with pytest.raises(DataError) as caught:
        rows_from_csv(path, "test", VIDEOS)
    assert caught.value.message.startswith(f"{path} {match}")
    assert fix in caught.value.fix


def test_a_csv_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv cannot be read: No such file"):
        rows_from_csv(tmp_path / "nowhere.csv", "test", FOLDERS)
    with pytest.raises(DataError, match=r"is not UTF-8: .* at byte \d+") as caught:
        rows_from_csv(csv(tmp_path, "file,label\n1.jpg,Blüte\n", "latin-1"), "test", FOLDERS)
    assert caught.value.fix.startswith("save ")


def test_names_that_repeat_across_classes_are_no_leak_when_told(tmp_path):
    train = csv(tmp_path, "Filename,Class\n100H0003.jpg,Cecum\n7.jpg,Ulcer\n")
    (tmp_path / "test").mkdir()
    test = csv(tmp_path / "test", "Filename,Class\n100H0003.jpg,Ulcer\n")
    for names_repeat, leaks in ((False, True), (True, False)):
        listed = [
            row
            for part, path in (("train", train), ("test", test))
            for row in rows_from_csv(path, part, FOLDERS, names_repeat=names_repeat)
        ]
        found = audit_rows(listed, train="train", test="test")
        assert (found.leaks, bool(found.conflicts), bool(found.pairs[0].files)) == (leaks, leaks, leaks)


@pytest.mark.parametrize(
    ("spec", "frame", "group", "row"),
    [
        (VIDEOS, f"a/{V}_7.jpg", V, AuditRow(f"a/{V}_7.jpg", "a", V, 7, "val")),
        (VIDEOS, f"a/{V}_7.jpg", "", AuditRow(f"a/{V}_7.jpg", "a", V, 7, "val")),
        (VIDEOS, "a/7.jpg", "p", AuditRow("a/7.jpg", "a", "p", None, "val")),
        (FOLDERS, "a/7.jpg", "", AuditRow("a/7.jpg", "a", None, None, "val")),
        (PATIENTS, "a/P3.jpg", "cluster 1", AuditRow("a/P3.jpg", "a", "cluster 1", None, "val")),
    ],
)
def test_rows_of_a_split(spec, frame, group, row):
    split = split_from_rows([SplitRow(frame=frame, label="a", group=group, part="val")], "x")
    assert rows_from_split(split, spec) == (row,)


def test_a_key_is_the_bare_name_where_that_says_video_and_number():
    assert AuditRow(f"a/{V}_7.jpg", "a", V, 7, "t").key == f"{V}_7.jpg"
    assert AuditRow("a/7.jpg", "a", "p", None, "t").key == "a/7.jpg"
