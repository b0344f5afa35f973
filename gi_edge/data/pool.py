"""Image files worked on in threads, in order, with a bar; and how many threads that are."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from gi_edge.data.index import Frame
from gi_edge.data.preprocess import image_warnings
from gi_edge.progress import Progress

T = TypeVar("T")

_WAITING_PER_THREAD = 4
"""Frames begun ahead of the one that is taken next; more would only fill the memory."""
_MOST_LOADERS = 8
"""Decoded frames only have to be augmented: more processes than this wait for memory, not for a processor."""


def each_frame(
    work: Callable[[Frame], T], frames: Sequence[Frame], progress: Progress, title: str
) -> Iterator[tuple[Frame, T]]:
    """Yield every frame and what work makes of it, on all cores, in the order of the frames.

    Only a few outcomes per thread wait to be taken, however slow the taker is.
    """
    threads = worker_count()
    pool = ThreadPoolExecutor(threads)
    waiting: deque[tuple[Frame, Future[T]]] = deque()
    try:
        with image_warnings(), progress.task(title, len(frames)) as task:
            for frame in frames:
                waiting.append((frame, pool.submit(work, frame)))
                if len(waiting) > _WAITING_PER_THREAD * threads:
                    first, outcome = waiting.popleft()
                    yield first, outcome.result()
                    task.advance()
            while waiting:
                first, outcome = waiting.popleft()
                yield first, outcome.result()
                task.advance()
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt must not wait for the frames still queued


def worker_count(processes: int = 1) -> int:
    """Return how many threads or processes should decode at once, when so many processes share this machine.

    Counts the processors that this process may use: its affinity, or less where a container's CPU quota is less. At
    least 1.
    """
    return max(1, _usable_processors() // processes)


def loader_worker_count(*, computes_on_cpu: bool, processes: int = 1) -> int:
    """Return how many DataLoader workers should augment for each of the training processes on this machine.

    Where the processors also train, workers would only take them from the training: 0, the training process does it.
    Beside a GPU one processor is left to the training process.
    """
    return 0 if computes_on_cpu else min(_MOST_LOADERS, worker_count(processes) - 1)


def _usable_processors() -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return allowed if quota is None else min(allowed, math.ceil(quota))


def cpu_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return the processors that the control groups of this process grant it, or None if they set no limit.

    Reads cpu.max (version 2) and cpu.cfs_quota_us (version 1) of the group and of all above it: the least holds.
    Source: Linux kernel documentation, admin-guide/cgroup-v2 and scheduler/sched-bwc.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return None
    limits: list[float] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / controllers if controllers else root
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(mount):
                limits += _limit_of_group(folder)
    return min(limits, default=None)


def _limit_of_group(folder: Path) -> list[float]:
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8").strip()
    except OSError:  # this group sets no limit, or is not shown to a container
        return []
    return [] if quota in ("max", "-1") else [int(quota) / int(period)]
