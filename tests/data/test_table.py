"""Label files: where the images are found, and what is wrong with a table."""

from __future__ import annotations

import pytest
from replicas import write_csv, write_images

from gi_edge.data.check import check_dataset, lines_from_check
from gi_edge.data.index import index_from_folder
from gi_edge.data.spec import CsvColumns, DatasetSpec, read_spec
from gi_edge.errors import DataError
from gi_edge.progress import Silent

CSV = read_spec("csv")


def index_of(root, *lines, images=("a.jpg", "b.jpg", "c.jpg"), spec=CSV):
    write_images(root, images)
    write_csv(root / "labels.csv", lines)
    return index_from_folder("d", root, spec)


@pytest.mark.parametrize(
    ("images", "named"),
    [
        (("a.jpg", "b.jpg"), ("a.jpg", "b.jpg")),
        (("images/a.jpg", "images/b.jpg"), ("a.jpg", "images/b.jpg")),
        (("images/a.jpg", "images/b.jpg"), ("a", "/elsewhere/b.jpg")),
        (("images/a.jpg", "images/b.jpg"), ("images\\a.jpg", "images/b")),
        (("x/P1/a.jpg", "x/P2/a.jpg"), ("P1/a.jpg", "P2/a.jpg")),
        (("x/P1/a.jpg", "x/P2/a.jpg", "x/P2/b.jpg"), ("x/P1/a.jpg", "b.jpg")),
    ],
)
def test_files_are_found_by_path_end_of_path_name_or_stem(tmp_path, images, named):
    index = index_of(tmp_path, "file,label", f"{named[0]},p", f"{named[1]},q", images=images)
    found = [frame.path.relative_to(tmp_path).as_posix() for frame in index.frames]
    assert found == [images[0], images[-1]]


def test_the_group_tells_equal_names_apart(tmp_path):
    images = ("1/a.jpg", "2/a.jpg")
    index = index_of(tmp_path, "patient;file;label", "2;a.jpg;p", "1;a.jpg;q", images=images)
    assert [(frame.id, frame.group, frame.path.parent.name) for frame in index.frames] == [
        ("p/a.jpg", "2", "2"),
        ("q/a.jpg", "1", "1"),
    ]


def test_a_file_under_two_labels_is_two_frames_and_a_repeated_line_one(tmp_path):
    index = index_of(tmp_path, "file,label", "a.jpg,p", "a.jpg,q", "a.jpg,p", "")
    assert [frame.id for frame in index.frames] == ["p/a.jpg", "q/a.jpg"]


def test_headers_of_any_name_are_taken_when_the_spec_names_them(tmp_path):
    columns = CsvColumns(file="Bild", label="Befund", group="Fall", part="Satz")
    spec = DatasetSpec(name="x", title="x", licence="x", layout="csv", csv_columns=columns, csv_delimiter=";")
    index = index_of(tmp_path, "Fall;Bild;Befund;Satz", "7;a.jpg;Polyp, klein;Training", "8;b.jpg;o. B.;VAL", spec=spec)
    assert [(frame.id, frame.group, frame.part) for frame in index.frames] == [
        ("Polyp, klein/a.jpg", "7", "train"),
        ("o. B./b.jpg", "8", "val"),
    ]


@pytest.mark.parametrize(
    "headers", ["file;label;split", "\n  \nfile;label;split", "ImageName\tFINDING_CLASS\tSet-Type", "frame;labels;PART"]
)
def test_usual_headers_in_any_spelling_and_the_delimiter_are_found(tmp_path, headers):
    delimiter = "\t" if "\t" in headers else ";"
    lines = [delimiter.join(cells) for cells in (("a.jpg", "p, q", "Train"), ("b.jpg", "r", ""))]
    index = index_of(tmp_path, headers, *lines)
    assert [(frame.id, frame.part) for frame in index.frames] == [("p, q/a.jpg", "train"), ("r/b.jpg", None)]


def test_labels_are_matched_to_the_classes_of_the_spec(tmp_path):
    spec = DatasetSpec(
        name="x", title="x", licence="x", layout="csv", classes={"Foreign body": ("Foreign Bodies",), "Polyp": ()}
    )
    index = index_of(tmp_path, "file,label", "a.jpg,foreign_bodies", "b.jpg,POLYP", spec=spec)
    assert [frame.id for frame in index.frames] == ["Foreign body/a.jpg", "Polyp/b.jpg"]
    with pytest.raises(DataError, match=r"labels\.csv, line 3: 'Polip' .*did you mean 'Polyp'"):
        index_of(tmp_path, "file,label", "a.jpg,foreign body", "b.jpg,Polip", spec=spec)


@pytest.mark.parametrize(
    ("lines", "match", "fix"),
    [
        ((), r"labels\.csv is empty", "file,label"),
        (("file,label",), "found 0 class", "complete the label file"),
        (("file,label", "a.jpg,p", "b.jpg,p"), "found 1 class", "complete the label file"),
        (("file,lable", "a.jpg,p"), "no column 'label' .*did you mean 'lable'", 'csv_columns = { label = "HEADER" }'),
        (("label", "p"), "no column 'file'", 'csv_columns = { file = "HEADER" }'),
        (("file,label", "a.jpg,p", ",q"), "line 3: a label but no file", "delete line 3"),
        (
            ("file,label", "a.jpg,p", "b.jpg,", "c.jpg,q"),
            r"labels\.csv, line 3: a row without a label → write",
            "in line 3, or",
        ),
        (
            ("file,label", "a.jpg,p", "b.jpg", "c.jpg,q"),
            r"labels\.csv, line 3: a row without a label → write",
            "delete the line",
        ),
        (
            ("file,label,part", "a.jpg,p,train", "", "b.jpg, ,test", "c.jpg,,"),
            r"labels\.csv, line 4: a row without a label \(2 of 3 rows have none\)",
            "delete these lines",
        ),
        (("file,label", "a.jpg,p", "z.jpg,q"), "1 of 2 files are not below .* line 3: 'z.jpg'", "put the images"),
        (("file,label", "a.jpg,p", "../a.jpg.jpg,q"), r"1 of 2 files .*'\.\./a\.jpg\.jpg'", "put the images"),
        (
            ("file,label,split", "a.jpg,p,trian"),
            "line 2: 'trian' is no part .did you mean 'train'",
            "train, val and test",
        ),
        (("file,label,split", "a.jpg,p,train", "a.jpg,p,test"), "line 3: 'a.jpg' is listed before", "delete one"),
        (("file,label", '"a.jpg,p'), "not a readable CSV", "in UTF-8"),
    ],
)
def test_a_faulty_table_is_told_with_its_line_and_fix(tmp_path, lines, match, fix):
    with pytest.raises(DataError, match=match) as caught:
        index_of(tmp_path, *lines)
    assert fix in caught.value.fix


def test_a_name_that_fits_two_files_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 2: 'a\.jpg' may be x/a\.jpg or y/a\.jpg"):
        index_of(tmp_path, "file,label", "a.jpg,p", images=("x/a.jpg", "y/a.jpg"))


def test_tables_in_other_codes_missing_ones_and_several_are_told(tmp_path):
    write_images(tmp_path, ["a.jpg"])
    with pytest.raises(DataError, match=r"no \*\.csv in"):
        index_from_folder("d", tmp_path, CSV)
    (tmp_path / "x.csv").write_bytes("file,label\na.jpg,Ödem\n".encode("latin-1"))
    with pytest.raises(DataError, match="not a readable CSV file"):
        index_from_folder("d", tmp_path, CSV)
    write_csv(tmp_path / "y.csv", ["file,label"])
    with pytest.raises(DataError, match=r"2 label files .*x\.csv, y\.csv") as caught:
        index_from_folder("d", tmp_path, CSV)
    assert 'csv_file = "NAME.csv"' in caught.value.fix


def test_rows_without_a_label_are_left_out_and_counted_where_the_spec_lets_them_be(tmp_path):
    spec = CSV.model_copy(update={"labels_optional": True})
    index = index_of(tmp_path, "file,label,part", "a.jpg,p,train", "b.jpg,q,test", "c.jpg,,test", spec=spec)
    assert ([frame.id for frame in index.frames], index.unlabelled) == (["p/a.jpg", "q/b.jpg"], 1)
    assert "1 row(s) without a label left out" in lines_from_check(check_dataset(index, Silent(), 1))[0]
    assert read_spec("gastrohun").labels_optional
