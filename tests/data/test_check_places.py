"""What is no file, is not there, or may not be read."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from odd_files import JPEG, checked, write
from PIL import Image


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def make_broken_link(path: Path) -> None:
    path.symlink_to("nowhere.jpg")


def make_link_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_link_to_folder(path: Path) -> None:
    path.symlink_to(path.parent)


PLACES = [
    (make_folder, "a folder"),
    (make_link_to_folder, "a folder"),
    (make_pipe, "a pipe, socket or device"),
    (make_socket, "a pipe, socket or device"),
    (make_broken_link, "a symlink that leads to no file: No such file or directory"),
    (make_link_loop, "a path that leads to no file: Too many levels of symbolic links"),
]


@pytest.mark.parametrize(("make", "detail"), PLACES)
@pytest.mark.parametrize("listed", ["x.jpg", "1.jpg"])
def test_what_is_no_file_is_found_whether_the_index_lists_it_or_not(tmp_path, monkeypatch, make, detail, listed):
    write(tmp_path, a={"1.jpg": JPEG})
    monkeypatch.chdir(tmp_path)  # the name of a socket has to be short
    make(tmp_path / "a" / "x.jpg")
    (finding,) = checked(tmp_path / "a" / listed).findings
    assert (finding.kind, finding.severity, finding.frame) == ("not-a-file", "error", "a/x.jpg")
    assert finding.detail == detail


def test_what_the_index_passes_over_for_good_reason_is_not_told(tmp_path):
    paths = write(tmp_path, a={"1.jpg": JPEG, "2.jpg": b"", "notes.txt": b"", ".3.jpg": b""})
    (tmp_path / "a" / "folder").mkdir()
    (tmp_path / "a" / ".4.jpg").mkdir()
    assert [path.name for path in paths] == [".3.jpg", "1.jpg", "2.jpg", "notes.txt"]
    assert checked(paths[1]).findings == ()


def test_an_absent_file_and_an_impossible_path_are_findings(tmp_path):
    paths = (tmp_path / "absent.jpg", tmp_path / ("n" * 300 + ".jpg"), tmp_path / "a\0.jpg", tmp_path / "f" / "x.jpg")
    (tmp_path / "f").write_bytes(b"")
    assert [finding.kind for finding in checked(*paths).findings] == ["not-a-file"] * 4


def test_a_link_to_a_whole_file_is_fine(tmp_path):
    (tmp_path / "x.jpg").write_bytes(JPEG)
    (tmp_path / "y.jpg").symlink_to("x.jpg")
    assert checked(tmp_path / "y.jpg").findings == ()


@pytest.mark.parametrize("place", ["stat", "open"])
def test_files_that_may_not_be_read_are_told(tmp_path, monkeypatch, place):
    (tmp_path / "x.jpg").write_bytes(JPEG)
    if os.geteuid() == 0:  # root may read anything: the refusal is played

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(*((Path, "stat") if place == "stat" else (Image, "open")), refuse)
    elif place == "stat":
        tmp_path.chmod(0o600)
    else:
        (tmp_path / "x.jpg").chmod(0)
    try:
        assert [finding.kind for finding in checked(tmp_path / "x.jpg").findings] == ["no-permission"]
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    "error", [RuntimeError("codec\nfault"), MemoryError(), KeyError("tag"), RecursionError("deep")]
)
def test_whatever_a_decoder_raises_is_a_finding(tmp_path, monkeypatch, error):
    def fail(path: Path) -> None:
        raise error

    (tmp_path / "x.jpg").write_bytes(JPEG)
    monkeypatch.setattr("gi_edge.data.check.read_image", fail)
    (finding,) = checked(tmp_path / "x.jpg").findings
    assert finding.kind == "unreadable"
    assert finding.detail.startswith(type(error).__name__)
    assert finding.detail.isprintable()
