"""Files that are whole or absent: hashing, atomic writing of files and folders, one writer at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gi_edge.errors import ArtifactError

_DISK_FAULTS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EFBIG),
}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UNFIT_NAMES = {
    errno.ENAMETOOLONG: "choose a shorter name",
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST), "choose another name or folder"),
}
"""Mends where the path is at fault, and not the disk."""
MARKS = ("manifest.json", "evaluation.json", "engine.json")
"""One of these is in every folder that gi-edge makes and may replace."""


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_atomic(path: Path, content: bytes | str, *, again: str = "run again") -> None:
    """Write a file so that a reader, or a killed process, sees the old content or the new, never a part.

    again: what to do once there is room for it. Raises: ArtifactError if it cannot be written; a full disk is told
    with the space that is needed.
    """
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.partial")
    with disk_errors(path, needed_bytes=len(data), again=again):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside path, to write at length; it becomes path when the block ends without an error.

    Raises: ArtifactError if the disk refuses.
    """
    partial = path.with_name(f".{path.name}.partial")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            _fsync(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def check_writable(target: Path, *, force: bool, other: str = "--name NAME") -> None:
    """Refuse an output that exists, or with force one that is not ours, before any work is done.

    Nor may its place refuse to be written. other: the option that names another output. Raises: ArtifactError.
    """
    _check_place(target)
    if not target.exists():
        return
    if not force:
        raise ArtifactError(f"{target} exists already", fix=f"add --force to replace it, or {other} for another")
    if target.is_dir() and any(target.iterdir()) and not any((target / mark).is_file() for mark in MARKS):
        raise ArtifactError(
            f"{target} is a folder that gi-edge did not make, so --force does not replace it",
            fix=f"{other} for another output",
        )


def _check_place(target: Path) -> None:
    """Raise ArtifactError if nothing can be written beside target, or in the folder that its parents would be made in.

    A file without a name is made there: os.access says yes to root in /proc and /sys.
    """
    with disk_errors(target):
        there = next(folder for folder in target.absolute().parents if folder.exists())
        try:
            tempfile.TemporaryFile(dir=there).close()
        except FileNotFoundError as error:
            raise PermissionError(errno.EACCES, f"{there} takes no files") from error


@contextmanager
def atomic_folder(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a hidden folder beside target that becomes target when the block ends without an error.

    The files are synced before the rename. With force an existing target is replaced, and stays whole until
    then. What an earlier killed run left behind is removed.

    Raises: ArtifactError if target exists without force, or another process is writing it; that one's id is told.
    """
    check_writable(target, force=force)
    partial = target.with_name(f".{target.name}.partial")
    old = target.with_name(f".{target.name}.old")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with _sole_writer(target):
        _restore(old, target)
        check_writable(target, force=force)
        shutil.rmtree(partial, ignore_errors=True)
        try:
            with disk_errors(target):
                partial.mkdir()
                yield partial
                for path in [*partial.rglob("*"), partial]:
                    _fsync(path)
                if target.exists():
                    target.rename(old)
                partial.rename(target)
                _fsync(target.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            _restore(old, target)


def _restore(old: Path, target: Path) -> None:
    """Drop the replaced artefact, or put it back if its successor never arrived."""
    if old.exists() and not target.exists():
        old.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _sole_writer(target: Path) -> Iterator[None]:
    """Hold a lock that the kernel drops with the process, so a killed writer blocks nobody."""
    path = target.with_name(f".{target.name}.lock")
    with contextlib.ExitStack() as stack:
        with disk_errors(target):
            file = stack.enter_context(path.open("a+", encoding="ascii"))
        os.register_at_fork(after_in_child=file.close)  # else a child would hold the lock beyond its parent's death
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_current = path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino
        except BlockingIOError:
            is_current = False
        if not is_current:
            file.seek(0)
            writer = f"process {told}" if (told := file.read().strip()) else "another process"
            raise ArtifactError(
                f"{writer} is writing {target}", fix="wait for it, or give --name NAME for another output"
            )
        with contextlib.suppress(OSError):  # the number is told to others; the lock holds without it
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def disk_errors(target: Path, *, needed_bytes: int | None = None, again: str = "run again") -> Iterator[None]:
    """Turn what a disk refuses into an ArtifactError; a full one with the space it lacks. Only that one asks for it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FAULTS or _is_of_another(error, target):
            raise
        fault, mend = error.strerror, "choose a folder that can be written"
        if error.errno in _FULL:
            mend = "free space or choose another folder"
        if error.errno in _FULL and needed_bytes is not None:
            fault = f"{fault}; {_megabytes(needed_bytes)} are needed and {_megabytes(_free_bytes(target))} are free"
            mend = f"free {_megabytes(needed_bytes)} or choose another folder"
        if error.errno in _UNFIT_NAMES:
            mend = _UNFIT_NAMES[error.errno]
        raise ArtifactError(f"cannot write {target}: {fault}", fix=f"{mend}, then {again}") from error


def _is_of_another(error: OSError, target: Path) -> bool:
    """Whether what is absent is no place that is written, but a file that was to be read meanwhile."""
    if error.errno != errno.ENOENT or error.filename is None:
        return False
    absent, parents = Path(os.fsdecode(error.filename)).absolute(), target.absolute().parents
    return absent not in parents and parents[0] not in absent.parents


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _free_bytes(target: Path) -> int:
    """Return the free space of the disk that a path, there or not, is on."""
    there = next(folder for folder in (target, *target.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
