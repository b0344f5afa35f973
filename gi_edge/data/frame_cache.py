"""Where decoded frames are kept between runs, what they are kept by, and how they are thrown away.

A cached frame is found by the sha256 of the bytes that the image file has now (no memory of sizes or dates is
trusted), by the fields of PreprocessSpec that decide pixels, and by the decoder: Pillow and its libraries, and the
source of gi_edge.data.preprocess. Every frame's checksum is compared whenever a run opens it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import PIL
from PIL import features

from gi_edge.data import preprocess
from gi_edge.data.frame_store import FrameStore, locked, recorded_frames
from gi_edge.data.preprocess import PreprocessSpec

CACHE_VARIABLE = "GI_EDGE_CACHE"
"""Environment variable that names the cache's folder; "off" turns it off."""
_FORMAT = 1
"""Number of the layout of a store."""
_LIBRARIES = ("jpg", "libjpeg_turbo", "libtiff", "webp", "zlib", "zlib_ng")
_STORE_NAME = re.compile(r"(?P<size>\d+)px-(?P<fit>[a-z]+)-(?P<interpolation>[a-z]+)-(?P<decoder>[0-9a-f]{16})")


@dataclass(frozen=True)
class StoredFrames:
    """One store of the cache: the frames decoded in one way."""

    folder: Path
    title: str
    """Such as "224 px, pad, bicubic"."""
    frames: int
    size_bytes: int
    is_current: bool
    """Whether this installation decodes in that way; other stores it never reads."""


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder of the cache, there or not: GI_EDGE_CACHE, else the user's cache folder. None: no cache."""
    named = environment.get(CACHE_VARIABLE, "")
    if named == "off":
        return None
    try:
        if named:
            return Path(named).expanduser().absolute()
        base = Path(environment.get("XDG_CACHE_HOME", ""))
        if not base.is_absolute():  # the XDG base directory specification has relative paths ignored
            base = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
        return base / "gi-edge"
    except RuntimeError:  # no home
        return None


def store_of(cache: Path, spec: PreprocessSpec) -> FrameStore:
    """Open the store of frames decoded by a spec with this installation."""
    name = f"{spec.size_px}px-{spec.fit}-{spec.interpolation}-{_decoder()}"
    return FrameStore(cache / "frames" / name, spec.size_px)


def stored_frames(cache: Path) -> tuple[StoredFrames, ...]:
    """Return the stores of a cache, by name."""
    found = []
    for folder in _store_folders(cache):
        name = _STORE_NAME.fullmatch(folder.name)
        assert name is not None
        title = f"{name['size']} px, {name['fit']}, {name['interpolation']}"
        size = sum(path.stat().st_size for path in folder.iterdir())
        found.append(StoredFrames(folder, title, recorded_frames(folder), size, name["decoder"] == _decoder()))
    return tuple(found)


def clear_cache(cache: Path) -> tuple[int, tuple[Path, ...]]:
    """Remove the stores of a cache. Returns the bytes freed and the stores left because a process fills them.

    Runs that read a removed store keep what they have opened. Raises: OSError.
    """
    freed, busy = 0, []
    for store in stored_frames(cache):
        lock = locked(store.folder)
        if lock is None:
            busy.append(store.folder)
            continue
        try:
            for name in ("pixels", "index", "lock"):  # an index without pixels is harmless
                (store.folder / name).unlink(missing_ok=True)
            freed += store.size_bytes
        finally:
            os.close(lock)
        with contextlib.suppress(OSError):  # something of another's in it, or a new writer
            store.folder.rmdir()
    return freed, tuple(busy)


def _store_folders(cache: Path) -> list[Path]:
    parent = cache / "frames"
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and _STORE_NAME.fullmatch(path.name))


@functools.cache
def _decoder() -> str:
    """Return 16 hex digits of all that decides pixels besides the file and the spec."""
    parts = {
        "format": _FORMAT,
        "source": hashlib.sha256(Path(preprocess.__file__).read_bytes()).hexdigest(),
        "pillow": PIL.__version__,
        "libraries": {name: features.version(name) for name in _LIBRARIES},
        "machine": platform.machine(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
