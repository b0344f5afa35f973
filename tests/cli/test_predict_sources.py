"""What of a folder gi-edge predict is asked about."""

from __future__ import annotations

import os
import sys

import pytest

from gi_edge.cli.predict_sources import check_copies, sources_from_arguments
from gi_edge.errors import DataError
from gi_edge.runtime.video import read_frames

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")


def test_a_link_to_nothing_and_a_pipe_are_not_passed_over(tmp_path):
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.jpg").write_bytes(b"x")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "folder.jpg" / "d.jpg").write_bytes(b"x")
    (tmp_path / "linked.jpg").symlink_to(tmp_path / "folder.jpg")
    sources = sources_from_arguments([tmp_path])
    assert [str(source.name) for source in sources] == ["a.jpg", "b.png", "c.jpg", "folder.jpg/d.jpg"]


def test_an_old_copy_of_a_link_to_nothing_can_be_replaced(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").write_bytes(b"x")
    sources = sources_from_arguments([tmp_path / "in"])
    check_copies(sources, tmp_path / "out", force=True)
    with pytest.raises(DataError, match="exists already"):
        check_copies(sources, tmp_path / "out", force=False)


def test_a_pipe_is_no_video(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(DataError, match="is not a plain file"):
        next(iter(read_frames(tmp_path / "a.mp4")))
