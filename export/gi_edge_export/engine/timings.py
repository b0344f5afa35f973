"""The timing cache: measured kernel times, kept per runtime version and device, so that a second build is quick and
takes the same kernels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gi_edge.artifacts.engine import EngineTarget
from gi_edge.files import write_atomic
from gi_edge.progress import Progress
from gi_edge.runtime.tensorrt import Toolkit


def timings_path(toolkit: Toolkit, target: EngineTarget) -> Path:
    """Return the cache file of a runtime version and a device, in the user's cache folder."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "gi-edge" / "timings" / f"{toolkit.text}-{target.label}.cache"


def use_timings(toolkit: Toolkit, config: Any, target: EngineTarget, progress: Progress) -> None:  # noqa: ANN401
    """Give the builder the times measured before; a cache that the runtime refuses is left out, and told."""
    if not toolkit.keeps_timings:
        return
    path = timings_path(toolkit, target)
    known = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(known)
    if cache is None or not config.set_timing_cache(cache, False):
        progress.say(f"{path} was measured elsewhere and is not used; it will be replaced")
        config.set_timing_cache(config.create_timing_cache(b""), False)


def kept_timings(toolkit: Toolkit, config: Any, target: EngineTarget) -> bytes | None:  # noqa: ANN401
    """Return the times after a build, and keep them for the next; None where the runtime keeps none."""
    if not toolkit.keeps_timings:
        return None
    content = bytes(config.get_timing_cache().serialize())
    write_atomic(timings_path(toolkit, target), content)
    return content
