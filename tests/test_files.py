"""Artefact folders are whole or absent, whatever happens to the writer."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gi_edge.errors import ArtifactError
from gi_edge.files import atomic_folder, disk_errors, sha256_file, write_atomic

WRITER = """
import os, signal, sys
from pathlib import Path
from gi_edge.files import atomic_folder
with atomic_folder(Path(sys.argv[1]), force=True) as folder:
    (folder / "new").write_text("half")
    print("writing", flush=True)
    sys.stdin.readline()
"""


def make_old(target: Path) -> None:
    with atomic_folder(target) as folder:
        (folder / "manifest.json").write_text("whole")


def content(target: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in target.iterdir()}


def hidden(parent: Path) -> list[str]:
    return sorted(path.name for path in parent.iterdir() if path.name.startswith("."))


def test_a_new_folder_appears_whole_and_leaves_nothing_beside_it(tmp_path):
    make_old(tmp_path / "target")
    assert content(tmp_path / "target") == {"manifest.json": "whole"}
    assert hidden(tmp_path) == []


def test_an_existing_folder_is_refused_without_force(tmp_path):
    make_old(tmp_path / "target")
    with pytest.raises(ArtifactError, match="exists already") as caught, atomic_folder(tmp_path / "target"):
        pass
    assert "--force" in caught.value.fix


def test_force_replaces_no_folder_of_somebody_else(tmp_path):
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "deep" / "notes.txt").write_text("precious")
    with pytest.raises(ArtifactError, match="gi-edge did not make"), atomic_folder(tmp_path / "mine", force=True):
        pass
    assert (tmp_path / "mine" / "deep" / "notes.txt").read_text() == "precious"


def test_a_folder_in_the_way_of_a_file_is_told_and_nothing_stays_behind(tmp_path):
    (tmp_path / "r.json").mkdir()
    with pytest.raises(ArtifactError, match="cannot write"):
        write_atomic(tmp_path / "r.json", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_an_error_while_replacing_keeps_the_old_folder(tmp_path):
    make_old(tmp_path / "target")
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "target", force=True) as folder:
        (folder / "new").write_text("half")
        raise ZeroDivisionError
    assert content(tmp_path / "target") == {"manifest.json": "whole"}
    assert hidden(tmp_path) == []


def test_an_error_in_the_final_rename_puts_the_old_folder_back(tmp_path, monkeypatch):
    make_old(tmp_path / "target")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == ".target.partial":
            raise OSError(errno.EIO, "input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="input/output"), atomic_folder(tmp_path / "target", force=True) as folder:
        (folder / "new").write_text("whole")
    monkeypatch.undo()
    assert content(tmp_path / "target") == {"manifest.json": "whole"}


def test_a_killed_writer_leaves_the_old_folder_and_blocks_nobody(tmp_path):
    target = tmp_path / "target"
    make_old(target)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        with pytest.raises(ArtifactError, match=rf"process {writer.pid} is writing"), atomic_folder(target, force=True):
            pass
        writer.send_signal(signal.SIGKILL)
    assert content(target) == {"manifest.json": "whole"}
    assert hidden(tmp_path) == [".target.lock", ".target.partial"]
    with atomic_folder(target, force=True) as folder:
        assert list(folder.iterdir()) == []
        (folder / "new").write_text("whole")
    assert content(target) == {"new": "whole"}
    assert hidden(tmp_path) == []


def test_a_child_of_a_killed_writer_holds_no_lock(tmp_path):
    """Workers are forked while the lock is held, and outlive a killed parent by seconds."""
    # The child tells its number once its hooks of the fork have run, the parent nothing: their words would mix.
    in_child = "(print(os.getpid(), flush=True), signal.pause())"
    forking = WRITER.replace('    print("writing", flush=True)', f"    os.fork() or {in_child}")
    assert forking != WRITER
    writer = subprocess.Popen(
        [sys.executable, "-c", forking, tmp_path / "a"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with writer:
        assert writer.stdout is not None
        child = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        os.kill(child, 0)
        try:
            with atomic_folder(tmp_path / "a") as folder:
                (folder / "new").write_text("whole")
        finally:
            os.kill(child, signal.SIGKILL)
    assert content(tmp_path / "a") == {"new": "whole"}


def test_a_kill_between_the_two_renames_is_mended_by_the_next_writer(tmp_path):
    target = tmp_path / "target"
    make_old(target)
    target.rename(tmp_path / ".target.old")
    with pytest.raises(ArtifactError, match="exists already"), atomic_folder(target):
        pass
    assert content(target) == {"manifest.json": "whole"}


def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="No space left on device"), atomic_folder(tmp_path / "target") as folder:
        (folder / "new").write_text("whole")
    with pytest.raises(ArtifactError, match="No space left on device"):
        write_atomic(tmp_path / "file", "text")
    assert not (tmp_path / "target").exists()
    assert not (tmp_path / "file").exists()


def test_a_file_is_replaced_whole(tmp_path):
    write_atomic(tmp_path / "a" / "file", "first")
    write_atomic(tmp_path / "a" / "file", b"second")
    assert content(tmp_path / "a") == {"file": "second"}


def test_sha256_is_that_of_the_standard(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "file") == expected


@pytest.mark.parametrize(
    ("code", "mend"),
    [
        (errno.ENOSPC, "free space or choose another folder, then run again"),
        (errno.EDQUOT, "free space or choose another folder, then run again"),
        (errno.EROFS, "choose a folder that can be written, then run again"),
        (errno.EACCES, "choose a folder that can be written, then run again"),
        (errno.EPERM, "choose a folder that can be written, then run again"),
        (errno.ENAMETOOLONG, "choose a shorter name, then run again"),
        (errno.ENOTDIR, "choose another name or folder, then run again"),
        (errno.EISDIR, "choose another name or folder, then run again"),
    ],
)
@pytest.mark.parametrize("needed_bytes", [None, 2_000_000])
def test_only_a_full_disk_asks_for_space(tmp_path, code, mend, needed_bytes):
    with pytest.raises(ArtifactError) as caught, disk_errors(tmp_path / "x", needed_bytes=needed_bytes):
        raise OSError(code, os.strerror(code))
    is_full = mend.startswith("free")
    assert caught.value.message.startswith(f"cannot write {tmp_path / 'x'}: {os.strerror(code)}")
    assert ("2.0 MB are needed" in caught.value.message) == (is_full and needed_bytes is not None)
    assert caught.value.fix == (mend.replace("free space", "free 2.0 MB") if needed_bytes else mend)
