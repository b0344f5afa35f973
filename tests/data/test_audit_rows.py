"""Reading the parts of a split, from a split or from official CSVs."""

from __future__ import annotations

import pytest
from replicas import write_csv, write_images

from gi_edge.data.audit import audit_rows
from gi_edge.data.audit_rows import AuditRow, rows_from_csv, rows_from_split, train_and_test
from gi_edge.data.index import index_from_folder
from gi_edge.data.spec import CsvColumns, DatasetSpec, OfficialSplit, read_spec
from gi_edge.data.split import SplitRow, split_from_rows
from gi_edge.errors import DataError

FOLDERS, CSV, VIDEOS, CAPSULE = (read_spec(name) for name in ("folders", "csv", "synthetic", "kvasir-capsule"))
PATIENTS = DatasetSpec(name="p", title="p", licence="x", group_pattern=r"^(?P<group>P\d+)", group_noun="patient")
BY_FOLDER = DatasetSpec(
    name="f", title="f", licence="x", group_from="folder", group_pattern=r"^(?P<group>[^/]+)/(?P<number>\d+)"
)
STUDIES = DatasetSpec(
    name="s", title="s", licence="x", csv_delimiter="|", csv_columns=CsvColumns(label="Befund", group="study")
)
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
        f"\n  \nfile\tlabel\n{V}_7.jpg\tUlcer\n",
        f"ImageName,Labels\n{V}_7.jpg,Ulcer\n{V}_8.jpg,\n",
    ],
)
def test_official_forms_of_csv(tmp_path, text):
    row = AuditRow(f"{V}_7.jpg", "Ulcer", V, 7, "test", f"{V}_7.jpg")
    assert rows_from_csv(csv(tmp_path, text), VIDEOS, "test") == (row,)


@pytest.mark.parametrize(
    ("spec", "text", "group", "number"),
    [
        (CSV, "file,label\n1.jpg,a\n", None, None),
        (CSV, "file,label,patient_id\n1.jpg,a,P1\n", "P1", None),
        (CSV, "file,label,case id\n1.jpg,a,s1\n", "s1", None),
        (CSV, "file,label,VideoID\n1.jpg,a,v1\n", "v1", None),
        (CSV, "file,label,group\n1.jpg,a\n", None, None),
        (STUDIES, "file,label,study\n1.jpg,a,s1\n", "s1", None),
        (STUDIES, "label|Befund|patient|study|file\nx|a|P1|s1|1.jpg\n", "s1", None),
        (STUDIES, "frame,label,group,part\n1.jpg,a,s1,val\n", "s1", None),
        (PATIENTS, "file,label\nx/P12 1.jpg,a\n", "P12", None),
        (PATIENTS, "file,label,group\nx/P12 1.jpg,a,other\n", "other", None),
        (PATIENTS, "file,label,group\n1.jpg,a,P3\n", "P3", None),
        (VIDEOS, f"file,label\nC:\\x\\{V}_1.jpg,a\n", V, 1),
        (BY_FOLDER, "file,label\np1/1.jpg,a\n", "p1", 1),
        (BY_FOLDER, "file,label,patient\n1.jpg,a,p1\n", "p1", None),
        (read_spec("capsule-vision-2024"), f"file,label\n{V}_1.jpg,a\n", V, 1),
        (read_spec("capsule-vision-2024"), "file,label\nAIIMS_1.jpg,a\n", None, None),
        (read_spec("gastrohun"), "filename,Complete agreement,num patient\n1,a,12\n", "12", None),
    ],
)
def test_groups_come_from_a_column_or_by_the_rule_of_the_spec(tmp_path, spec, text, group, number):
    (row,) = rows_from_csv(csv(tmp_path, text), spec, "t")
    assert (row.label, row.group, row.number, row.part) == ("a", group, number, "t")


@pytest.mark.parametrize(
    ("spec", "line", "label", "file"),
    [
        (CSV, "1.jpg,a", "a", "1.jpg"),
        (CSV, "x\\1.jpg,a", "a", "x/1.jpg"),
        (CSV, '"1,2.jpg","a ""b"""', 'a "b"', "1,2.jpg"),
        (FOLDERS, "1.jpg,a", "a", "a/1.jpg"),
        (FOLDERS, "x/1.jpg,a", "a", "x/1.jpg"),
        (VIDEOS, f"x/{V}_1.jpg,a", "a", f"{V}_1.jpg"),
        (BY_FOLDER, "p1/1.jpg,a", "a", "p1/1.jpg"),
        (CAPSULE, f"{V}_1.jpg,Normal", "Normal clean mucosa", f"{V}_1.jpg"),
        (CAPSULE, f"{V}_1.jpg,ulcers", "Ulcer", f"{V}_1.jpg"),
        (CAPSULE, f"{V}_1.jpg,Bubbles", "Bubbles", f"{V}_1.jpg"),
        (read_spec("gastrovision"), "1.jpg,barretts esophagus", "Barrett's esophagus", "Barrett's esophagus/1.jpg"),
    ],
)
def test_labels_are_classes_and_files_are_paths_or_names_with_the_class_where_names_repeat(
    tmp_path, spec, line, label, file
):
    (row,) = rows_from_csv(csv(tmp_path, f"file,label\n{line}\n"), spec, "t")
    assert (row.label, row.key) == (label, file)


ONE_CSV_FOLDS = OfficialSplit(
    kind="folds", files={"A": "x.csv"}, file_column="Bild", label_column="Art", fold_column="Gang", source="x"
)


@pytest.mark.parametrize(
    ("spec", "text", "parts"),
    [
        (CSV, "file,label,split\n1,a,Training\n2,a,dev\n3,a,TEST\n", ["train", "val", "test"]),
        (CSV, "frame,label,group,part\n1,a,,val\n2,a,,train\n3,a,,test\n", ["val", "train", "test"]),
        (CSV, "file,label,fold\n1,a,0\n2,a,1\n", ["fold-0", "fold-1"]),
        (read_spec("hyperkvasir"), "file-name;class-name;split-index\n1;a;0\n2;a;1\n", ["fold-0", "fold-1"]),
        (read_spec("gastrohun"), "filename,Complete agreement,set_type\n1,a,Train\n2,a,Test\n", ["train", "test"]),
        (
            DatasetSpec(name="x", title="x", licence="x", official=ONE_CSV_FOLDS),
            "label,Gang,part,Art,Bild\nx,A,test,a,1\nx,B,test,a,2\n",
            ["A", "B"],
        ),
    ],
)
def test_one_csv_names_its_parts(tmp_path, spec, text, parts):
    rows = rows_from_csv(csv(tmp_path, text), spec)
    assert [(row.frame, row.label, row.part) for row in rows] == [
        (f"{number}", "a", part) for number, part in enumerate(parts, 1)
    ]
    assert {row.part for row in rows_from_csv(csv(tmp_path, text), spec, "t")} == {"t"}


@pytest.mark.parametrize(
    ("parts", "chosen"),
    [
        ("train test", ("train", "test")),
        ("val test train other", ("train", "test")),
        ("train val", ("train", "val")),
        ("val test", ("val", "test")),
        ("holdout train", ("train", "holdout")),
        ("test a b", ("a", "test")),
        ("fold-1 fold-0 fold-2", ("fold-0", "fold-2")),
    ],
)
def test_parts_of_usual_names_train_and_test_else_the_first_and_the_last(parts, chosen):
    assert train_and_test([AuditRow("1.jpg", "a", None, None, part) for part in parts.split()]) == chosen


def test_a_split_of_one_part_is_none():
    with pytest.raises(DataError, match="all frames are in part 'train'"):
        train_and_test([AuditRow("1.jpg", "a", None, None, "train")])


@pytest.mark.parametrize(
    ("text", "match", "fix"),
    [
        ("", " is empty", "write the columns file,label"),
        ("1.jpg,a\n", ": no column 'file' (", 'csv_columns = { file = "HEADER" }'),
        ("file,colour\n1.jpg,a\n", ": no column 'label' (", 'csv_columns = { label = "HEADER" }'),
        ("file,label\n", " lists no labelled frame", "give a CSV with rows"),
        (f"file,label\n{V}_1.jpg\n", " lists no labelled frame", "give a CSV with rows"),
        (f"file,label\n{V}_1.jpg,a\n\n,b\n", ", line 4: a label but no file", "complete or delete line 4"),
        (f"file,label,part\n{V}_1.jpg,a,test\n7.jpg,a,\n", ", line 3: '7.jpg' carries no video id", "--spec csv"),
        (f"file,label,part\n{V}_1.jpg,a,\n", f", line 2: '{V}_1.jpg' is in no part", "a column 'part'"),
        ('file,label\n"' + "x" * 140_000 + '",a\n', " is not a readable CSV file: field larger", "save"),
    ],
)
def test_a_bad_csv_names_its_line(tmp_path, text, match, fix):
    path = csv(tmp_path, text)
    with pytest.raises(DataError) as caught:
        rows_from_csv(path, VIDEOS)
    assert caught.value.message.startswith(f"{path}{match}")
    assert fix in caught.value.fix


def test_a_csv_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv is not a readable CSV file: .*No such file"):
        rows_from_csv(tmp_path / "nowhere.csv", FOLDERS, "test")
    with pytest.raises(DataError, match="is not a readable CSV file: 'utf-8' codec") as caught:
        rows_from_csv(csv(tmp_path, "file,label\n1.jpg,Blüte\n", "latin-1"), FOLDERS, "test")
    assert caught.value.fix.startswith("save ")


@pytest.mark.parametrize(
    ("spec", "train", "test", "files", "conflicts"),
    [
        (CSV, "x1.jpg,ulcer", "x1.jpg,polyp", ("x1.jpg",), 1),
        (CSV, "x1.jpg,ulcer", "x1.jpg,ulcer", ("x1.jpg",), 0),
        (FOLDERS, "100H0003.jpg,Cecum", "100H0003.jpg,Ulcer", (), 0),
        (FOLDERS, "100H0003.jpg,Cecum", "100H0003.jpg,Cecum", ("Cecum/100H0003.jpg",), 0),
        (FOLDERS, "x/1.jpg,Cecum", "x/1.jpg,Ulcer", ("x/1.jpg",), 1),
        (read_spec("gastrovision"), "1.jpg,Cecum", "1.jpg,Ulcer", (), 0),
        (read_spec("hyperkvasir"), "1.jpg,normal-cecum", "1.jpg,cecum", ("1.jpg",), 0),
    ],
)
def test_a_file_in_two_parts_or_under_two_labels_is_found(tmp_path, spec, train, test, files, conflicts):
    rows = [
        row
        for part, line in (("train", train), ("test", test))
        for row in rows_from_csv(csv(tmp_path, f"Filename,Class\n{line}\n"), spec, part)
    ]
    found = audit_rows(rows, train="train", test="test")
    assert (found.pairs[0].files, len(found.conflicts), found.leaks) == (files, conflicts, bool(files))


@pytest.mark.parametrize(
    ("spec", "frame", "group", "row"),
    [
        (VIDEOS, f"a/{V}_7.jpg", V, (V, 7, f"{V}_7.jpg")),
        (VIDEOS, f"a/{V}_7.jpg", "", (V, 7, f"{V}_7.jpg")),
        (VIDEOS, "a/7.jpg", "p", ("p", None, "7.jpg")),
        (VIDEOS, "a/7.jpg", "", (None, None, "7.jpg")),
        (CSV, "a/7.jpg", "", (None, None, "7.jpg")),
        (FOLDERS, "a/7.jpg", "", (None, None, "a/7.jpg")),
        (BY_FOLDER, "a/7.jpg", "", (None, None, "7.jpg")),
        (PATIENTS, "a/P3.jpg", "cluster 1", ("cluster 1", None, "P3.jpg")),
    ],
)
def test_rows_of_a_split(spec, frame, group, row):
    split = split_from_rows([SplitRow(frame=frame, label="a", group=group, part="val")], "x")
    assert rows_from_split(split, spec) == (AuditRow(frame, "a", row[0], row[1], "val", row[2]),)


def split_of(index, parts):
    rows = (
        SplitRow(frame=frame.id, label=index.classes[frame.label], group="", part=part)
        for frame, part in zip(index.frames, parts, strict=True)
    )
    return split_from_rows(rows, "x")


def test_a_file_that_an_index_lists_under_two_labels_is_one(tmp_path):
    write_images(tmp_path, ["x/a.jpg", "y/a.jpg"])
    write_csv(tmp_path / "labels.csv", ["file,label", "x/a.jpg,p", "x/a.jpg,q", "y/a.jpg,r"])
    index = index_from_folder("d", tmp_path, CSV)
    rows = rows_from_split(split_of(index, ("train", "test", "test")), CSV, index)
    assert [(row.frame, row.key) for row in rows] == [
        ("p/a.jpg", "x/a.jpg"),
        ("q/a.jpg", "x/a.jpg"),
        ("r/a.jpg", "y/a.jpg"),
    ]
    found = audit_rows(rows, train="train", test="test")
    assert found.pairs[0].files == ("x/a.jpg",)
    assert found.conflicts[0].labels == {"train": ("p",), "test": ("q",)}


def test_an_index_knows_groups_that_frame_ids_do_not_show(tmp_path):
    spec = DatasetSpec(
        name="f",
        title="f",
        licence="x",
        layout="nested-class-folders",
        group_from="folder",
        group_pattern=r"^(?P<group>[^/]+)/[^/]+/(?P<number>\d+)",
    )
    write_images(tmp_path, ["p1/a/1.jpg", "p1/b/2.jpg", "p2/b/1.jpg"])
    index = index_from_folder("d", tmp_path, spec)
    rows = rows_from_split(split_of(index, ("train", "test", "test")), spec, index)
    assert [(row.frame, row.group, row.number, row.key) for row in rows] == [
        ("a/1.jpg", "p1", 1, "p1/a/1.jpg"),
        ("b/1.jpg", "p2", 1, "p2/b/1.jpg"),
        ("b/2.jpg", "p1", 2, "p1/b/2.jpg"),
    ]


def test_a_frame_of_a_video_in_two_class_folders_is_one_file(tmp_path):
    write_images(tmp_path, [f"a/{V}_7.jpg", f"b/{V}_7.jpg"])
    index = index_from_folder("d", tmp_path, VIDEOS)
    assert {row.key for row in rows_from_split(split_of(index, ("train", "test")), VIDEOS, index)} == {f"{V}_7.jpg"}
