"""Checking files: every kind of broken or odd file gives its own findings, and none a traceback."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from odd_files import CASES, JPEG, PROGRESSIVE, changed, checked, encoded, found, oriented, write
from PIL import Image

from gi_edge.config import json_from_value
from gi_edge.data.check import DataCheck, check_dataset, is_usable, lines_from_check
from gi_edge.data.index import index_from_folder
from gi_edge.data.preprocess import UnreadableImageError, read_image
from gi_edge.data.spec import read_spec
from gi_edge.errors import ConfigError
from gi_edge.progress import Silent, Task

SEVERITIES = {
    "error": {"unreadable", "truncated", "empty", "not-an-image", "huge", "not-a-file", "no-permission", "two-labels"},
    "warning": {"truncated", "identical-files", "cmyk", "sixteen-bit", "alpha", "animated", "tiny"},
    "note": {"exif-rotated", "greyscale", "palette", "wrong-suffix", "alpha"},
}


@pytest.mark.parametrize(("name", "content", "kinds"), CASES.values(), ids=CASES)
def test_every_odd_file_gives_its_own_findings(tmp_path, name, content, kinds):
    path = tmp_path / name
    path.write_bytes(content)
    check = checked(path)
    assert {finding.kind for finding in check.findings} == kinds, check.findings
    assert all(finding.kind in SEVERITIES[finding.severity] for finding in check.findings)
    assert path.read_bytes() == content
    try:
        size = read_image(path).size
        assert (check.readable, check.image_sizes) == (1, {f"{size[0]}×{size[1]}": 1})
        assert is_usable(check)
    except UnreadableImageError:
        assert (check.readable, check.image_sizes) == (0, {})
        assert not is_usable(check)
    text = json_from_value(check)
    text.encode()
    assert DataCheck.model_validate_json(text) == check
    lines = lines_from_check(check)
    assert len(lines) == 1 + len(check.findings)
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("case", "detail"),
    [
        ("HTML page", "an HTML page"),
        ("gzip", "a gzip archive"),
        ("DICOM", "export it as PNG"),
        ("Git LFS pointer", "git lfs pull"),
        ("macOS metadata", "delete it"),
        ("text", "plain text"),
        ("random bytes", "nothing known"),
        ("PNG as JPEG", "named '.jpg', in truth PNG"),
        ("EXIF orientation 6", "orientation 6; read upright"),
        ("TIFF of three pages", "3 pages; only the first"),
        ("float TIFF", "32 bits a channel (F); values are clipped"),
        ("16-bit colour PNG", "16 bits a channel; brought down to 8"),
        ("opaque alpha", "opaque all over"),
        ("alpha", "read as opaque"),
        ("just too small", "200×63 px"),
        ("bomb", "900000000 pixels"),
        ("PNG without IEND", "all rows were decoded"),
    ],
)
def test_the_detail_says_what_was_found(tmp_path, case, detail):
    name, content, _ = CASES[case]
    (tmp_path / name).write_bytes(content)
    assert detail in checked(tmp_path / name).findings[0].detail


def test_copies_of_a_file_under_one_label_are_told_apart_from_those_under_two(tmp_path):
    other = changed(JPEG, JPEG.index(b"JFIF") + 6, b"\x02")  # the same length and pixels, other bytes
    paths = write(tmp_path, a={"1.jpg": JPEG, "2.jpg": JPEG, "3.jpg": PROGRESSIVE}, b={"1.jpg": JPEG, "2.jpg": other})
    check = checked(*paths)
    assert found(check) == {
        ("identical-files", "a/2.jpg"),
        ("two-labels", "a/1.jpg"),
        ("two-labels", "a/2.jpg"),
        ("two-labels", "b/1.jpg"),
    }
    details = {finding.frame: finding.detail for finding in check.findings if finding.kind == "two-labels"}
    assert details["b/1.jpg"] == "'b' here, the same bytes under 'a' (a/1.jpg)"
    assert not is_usable(check)


def test_broken_files_are_not_called_copies(tmp_path):
    paths = write(tmp_path, a={"1.jpg": b"text", "2.jpg": b"text"}, b={"1.jpg": b"", "2.jpg": b""})
    assert {kind for kind, _ in found(checked(*paths))} == {"not-an-image", "empty"}


def test_counts_and_sizes(tmp_path):
    large = encoded(Image.new("RGB", (200, 100)), "JPEG")
    paths = write(
        tmp_path, a={"1.jpg": JPEG, "2.jpg": oriented(6)}, b={"1.jpg": PROGRESSIVE, "2.jpg": large, "3.jpg": b""}
    )
    check = checked(*paths, groups=("v2", "v1", "v2", None, "v1"))
    assert (check.dataset, check.frames, check.readable) == ("d", 5, 4)
    assert check.size_bytes == sum(path.stat().st_size for path in paths)
    assert check.classes == {"a": 2, "b": 3}
    assert list(check.groups.items()) == [("v1", 2), ("v2", 2)]
    assert list(check.image_sizes.items()) == [("96×80", 2), ("80×96", 1), ("200×100", 1)]
    assert lines_from_check(check) == [
        f"d: 5 frame(s) in 2 classes, 2 group(s), {check.size_bytes / 1e6:.1f} MB, mostly 96×80 px; "
        "4 readable; found: 1 error(s), 1 note(s).",
        "error: empty: b/3.jpg: the file has no bytes",
        "note: exif-rotated: a/2.jpg: EXIF orientation 6; read upright",
    ]


@pytest.mark.parametrize("names", [("Polyp", "polyp"), ("polyp", "polyp "), ("polyp_flat", "polyp-flat")])
def test_classes_that_differ_in_spelling_only_are_an_error(tmp_path, names):
    for number, name in enumerate((*names, "ulcer")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(encoded(Image.new("RGB", (96 + number, 80)), "JPEG"))
    first, second = sorted(names)
    check = check_dataset(index_from_folder("d", tmp_path, read_spec("folders")), Silent(), 1)
    assert found(check) == {("alike-classes", second)}
    assert not is_usable(check)
    assert lines_from_check(check)[1] == (
        f"error: alike-classes: {second}: a class beside '{first}', which is the same name in another spelling; "
        "make them one"
    )


def test_a_clean_dataset_is_one_line(tmp_path):
    check = checked(*write(tmp_path, a={"1.jpg": JPEG}, b={"1.jpg": PROGRESSIVE}))
    assert is_usable(check)
    assert lines_from_check(check) == ["d: 2 frame(s) in 2 classes, 0.0 MB, 96×80 px; 2 readable; found: nothing odd."]


def test_no_frames_are_not_usable():
    check = checked()
    assert not is_usable(check)
    assert lines_from_check(check) == ["d: 0 frame(s) in 2 classes, 0.0 MB; 0 readable; found: nothing odd."]


def test_names_that_could_break_a_terminal_are_escaped(tmp_path):
    names = [CASES[case][0] for case in ("line end", "terminal escape", "not UTF-8")]
    check = checked(*write(tmp_path, a=dict.fromkeys(names, b"")))
    assert sorted(finding.frame for finding in check.findings) == [r"a/a\nb.jpg", r"a/a\udcff.jpg", r"a/a\x1b[2Jb.jpg"]


def test_twenty_lines_of_a_kind_are_shown_and_the_rest_counted(tmp_path):
    paths = write(tmp_path, a={f"{n:02d}.jpg": b"" for n in range(25)} | {"x.jpg": b"text"}, b={"1.jpg": JPEG})
    check = checked(*paths)
    lines = lines_from_check(check)
    assert len(lines) == 1 + 20 + 1 + 1
    assert lines[20] == "error: empty: a/19.jpg: the file has no bytes"
    assert lines[21] == "empty: and 5 more (--json lists all)"
    assert lines[22].startswith("error: not-an-image: a/x.jpg: ")
    assert len(json.loads(json_from_value(check))["findings"]) == 26


def test_many_threads_find_what_one_finds_and_leave_the_warning_filters_alone(tmp_path):
    files = {f"{n:03d}{Path(name).suffix}": content for n, (name, content, _) in enumerate(CASES.values())}
    paths = write(tmp_path, a=files, b=files)
    before = warnings.filters[:]
    one, many = checked(*paths, workers=1), checked(*paths, workers=16)
    assert json_from_value(one) == json_from_value(many)
    assert warnings.filters == before
    assert len(many.findings) > len(paths)


def test_the_bar_moves_once_per_frame(tmp_path):
    class Bar(Silent):
        steps = 0

        @contextmanager
        def task(self, title: str, total: int) -> Iterator[Task]:
            assert (title, total) == ("checking d", 2)
            yield self

        def advance(self, steps: int = 1, note: str = "") -> None:
            self.steps += steps

    write(tmp_path, a={"1.jpg": JPEG}, b={"1.jpg": b""})
    bar = Bar()
    check_dataset(index_from_folder("d", tmp_path, read_spec("folders")), bar)
    assert bar.steps == 2


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_are_one_or_more(workers):
    with pytest.raises(ConfigError, match=f"with {workers} workers"):
        checked(workers=workers)
