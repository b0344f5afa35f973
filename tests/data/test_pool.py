"""How many workers a machine or container allows, and that work waits for its taker."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gi_edge.data import pool
from gi_edge.data.index import Frame
from gi_edge.data.pool import cpu_quota, each_frame, loader_worker_count, worker_count
from gi_edge.progress import Silent


def group(root, lines, files):
    for name, content in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "own").write_text(lines)
    return cpu_quota(root / "cgroup", root / "own")


@pytest.mark.parametrize(
    ("lines", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"cpu.max": "max 100000\n", "a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, 4.0),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "300000 100000\n"}, 2.0),
        ("0::/not/shown/to/the/container\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("0::/\n", {}, None),
        (
            "4:memory:/d\n3:cpu,cpuacct:/d\n0::/d\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            0.5,
        ),
        (
            "3:cpu,cpuacct:/d\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            None,
        ),
    ],
)
def test_the_quota_of_a_container_is_read(tmp_path, lines, files, quota):
    assert group(tmp_path, lines, files) == quota


def test_no_linux_has_no_quota(tmp_path):
    assert cpu_quota(tmp_path, tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("allowed", "quota", "processes", "workers", "loaders"),
    [
        (64, None, 1, 64, 8),
        (64, 2.5, 1, 3, 2),
        (2, 16.0, 1, 2, 1),
        (8, None, 4, 2, 1),
        (1, None, 1, 1, 0),
        (2, 0.5, 8, 1, 0),
    ],
)
def test_workers_are_the_processors_that_may_be_used(monkeypatch, allowed, quota, processes, workers, loaders):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    monkeypatch.setattr(pool, "cpu_quota", lambda: quota)
    assert worker_count(processes) == workers
    assert loader_worker_count(computes_on_cpu=False, processes=processes) == loaders
    assert loader_worker_count(computes_on_cpu=True, processes=processes) == 0


def test_outcomes_keep_the_order_and_few_wait_for_a_slow_taker(monkeypatch):
    monkeypatch.setattr(pool, "worker_count", lambda: 2)
    frames = [Frame(str(number), Path(str(number)), 0, None) for number in range(60)]
    done = []
    taken = each_frame(lambda frame: done.append(frame.id) or int(frame.id), frames, Silent(), "work")
    assert next(taken) == (frames[0], 0)
    time.sleep(0.05)
    assert len(done) <= 10
    assert [outcome for _, outcome in taken] == list(range(1, 60))
