"""Where a result was measured, and what casts doubt on it."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from benches import QUICK, Fake, job, subject_of

from gi_edge.artifacts.results import BundleRun
from gi_edge.artifacts.speed import WarmUp
from gi_edge.progress import Silent
from gi_edge.runtime.machine import this_machine
from gi_edge_bench import machine
from gi_edge_bench.energy import Meter
from gi_edge_bench.environment import git_revision
from gi_edge_bench.machine import CpuTimes
from gi_edge_bench.marks import is_unsteady, marks_of
from gi_edge_bench.run import run
from gi_edge_bench.scenarios import Plan, time_plan

QUIET = (CpuTimes(10, 5, 100, 4), CpuTimes(12, 6.9, 102, 4))
BUSY = (CpuTimes(10, 5, 100, 4), CpuTimes(15, 6, 102, 4))


def tree(root, files):
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, None),
        ({".dockerenv": ""}, "docker"),
        ({"run/.containerenv": "engine=podman"}, "podman"),
        ({"proc/1/cgroup": "0::/kubepods.slice/x"}, "kubepods"),
        ({"proc/1/cgroup": "0::/init.scope"}, None),
    ],
)
def test_containers(tmp_path, files, kind):
    assert machine.container(tree(tmp_path, files)) == kind


def test_boards_governor_memory_and_processor(tmp_path):
    root = tree(
        tmp_path,
        {
            "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
            "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
            "proc/meminfo": "MemTotal:        7802880 kB\nMemFree: 1 kB\n",
            "proc/self/status": "Name:\tx\nVmHWM:\t  2048 kB\n",
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: Cortex-A78AE\n",
        },
    )
    assert this_machine(root).board_text == "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3"
    assert machine.governor(root) == "schedutil"
    assert machine.memory_bytes(root) == 7802880 * 1024
    assert machine.peak_memory_bytes(root) == 2048 * 1024
    assert this_machine(root).cpu == "Cortex-A78AE"
    bare = tmp_path / "bare"
    assert (this_machine(bare).board_text, machine.governor(bare), machine.memory_bytes(bare)) == (None, None, None)
    assert machine.peak_memory_bytes(bare) > 10e6  # by getrusage


def test_cpu_seconds_of_others(tmp_path):
    tick = os.sysconf("SC_CLK_TCK")
    rows = [
        f"cpu  {90 * tick} 0 0 900 50 0 0 0 0 0",
        f"cpu0 {2 * tick} 0 {tick} 900 50 0 0 0 0 0",
        f"cpu1 {tick} 0 0 900 50 0 0 {tick} 0 0",
        f"cpu2 {80 * tick} 0 0 900 50",
        "intr 5",
    ]
    root = tree(tmp_path, {"proc/stat": "\n".join(rows)})
    found = machine.cpu_times(7.0, root, {0, 1})
    assert (found.all_seconds, found.cpus, found.wall_seconds, found.throttled_periods) == (5.0, 2, 7.0, 0)
    alone = machine.cpu_times(7.0, root, {1})
    assert (alone.all_seconds, alone.cpus) == (2.0, 1)
    renumbered = machine.cpu_times(7.0, root, {62, 63})
    assert (renumbered.all_seconds, renumbered.cpus) == (85.0, 3)
    assert machine.cpu_times(7.0, tmp_path / "none") is None
    assert machine.cpus_of_others(*BUSY) == pytest.approx(2.0)
    assert machine.cpus_of_others(*QUIET) == pytest.approx(0.05)


def test_a_neighbour_on_the_one_cpu_of_64_that_is_allowed_is_a_busy_cpu(tmp_path):
    tick = os.sysconf("SC_CLK_TCK")

    def reading(wall, busy):
        others = "".join(f"cpu{number} 0 0 0 9\n" for number in range(1, 64))
        return machine.cpu_times(
            wall, tree(tmp_path, {"proc/stat": f"cpu  0\ncpu0 {busy * tick} 0 0 9\n{others}"}), {0}
        )

    (mark,) = marks_of((), 0, [(reading(100.0, 50), reading(102.0, 52))], set())
    assert mark.kind == "busy cpu"
    assert mark.text.endswith(" of the one CPU that bench may use busy, in 1 of 1 scenarios.")


@pytest.mark.parametrize(
    ("groups", "stats", "periods"),
    [
        ("0::/\n", {"": 7}, 7),
        ("0::/app.slice/x\n", {"": None, "app.slice": 3, "app.slice/x": 4, "other": 100}, 7),
        ("0::/kubepods/host/path\n", {"": 5}, 5),
        ("4:memory:/m\n2:cpu,cpuacct:/docker/a\n0::/\n", {"cpu,cpuacct/docker/a": 6, "memory/m": 100}, 6),
        ("3:cpuset:/\n2:cpuacct:/\n1:cpu:/\n", {"cpu": 2, "cpuset": 100, "cpuacct": 100}, 2),
        ("0::/\n", {"": None}, None),
        ("", {"": 9}, None),
    ],
)
def test_periods_in_which_a_quota_held_this_process_up(tmp_path, groups, stats, periods):
    files = {"proc/self/cgroup": groups, "proc/stat": "cpu  1\ncpu0 1 0 0 9\n"}
    for folder, count in stats.items():
        quota = "" if count is None else f"nr_periods 900\nnr_throttled {count}\nthrottled_usec 5\n"
        files[f"sys/fs/cgroup/{folder}/cpu.stat"] = f"usage_usec 100\n{quota}"
    root = tree(tmp_path, files)
    assert machine.throttled_periods(root) == periods
    assert machine.cpu_times(1.0, root).throttled_periods == (periods or 0)


def test_a_quota_that_held_bench_up_is_told():
    quiet = (CpuTimes(10, 5, 100, 4, 3), CpuTimes(12, 6.9, 102, 4, 3))
    held = (CpuTimes(10, 5, 100, 4, 3), CpuTimes(12, 6.9, 102, 4, 10))
    (mark,) = marks_of((), 0, [quiet, held], set())
    assert mark.kind == "busy cpu"
    assert mark.text == "The container's CPU quota throttled 7 periods, in 1 of 2 scenarios."
    assert marks_of((), 0, [quiet, quiet], set()) == ()


def test_a_busy_neighbour_is_measured_on_this_machine():
    before = machine.cpu_times(time.perf_counter())
    if before is None:
        pytest.skip("this kernel tells no CPU times")
    spin = "import time\nend = time.time() + 1.0\nwhile time.time() < end: pass"
    subprocess.run(["python3", "-c", spin], check=True)
    assert machine.cpus_of_others(before, machine.cpu_times(time.perf_counter())) > 0.5


def test_a_git_revision_is_that_of_the_root_only_and_says_whether_files_differ(tmp_path):
    folder = tree(tmp_path / "repo", {"a.txt": "1", "sub/b.txt": "2"})
    assert git_revision(folder) is None
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    revision = git_revision(folder)
    assert len(revision) == 40
    assert git_revision(folder / "sub") is None
    (folder / "a.txt").write_text("changed")
    assert git_revision(folder) == f"{revision}+changes"


# --- marks


@pytest.mark.parametrize(
    ("others", "times", "reasons", "kinds"),
    [
        (0, [QUIET], set(), []),
        (0, [QUIET, BUSY], set(), ["busy cpu"]),
        (1, [], {"hardware thermal slowdown"}, ["throttled", "shared gpu"]),
        (2, [QUIET], {"clocks set by an application"}, ["shared gpu"]),
    ],
)
def test_marks(others, times, reasons, kinds):
    marks = marks_of((), others, times, reasons)
    assert [mark.kind for mark in marks] == kinds
    for mark in marks:
        if mark.kind == "busy cpu":
            found = "Other processes kept up to 2.0 of the 4 CPUs that bench may use busy, in 1 of 2 scenarios."
            assert mark.text == found
        if mark.kind == "shared gpu":
            noun = "process" if others == 1 else "processes"
            assert mark.text == f"{others} other {noun} computed on the GPU."


def speed(samples, *, steady=True, plan=None):
    timed = time_plan(plan or Plan("single-stream", "host"), subject_of(Fake()), QUICK, Meter())
    warmed = WarmUp(count=9, seconds=1.0, is_steady=steady)
    return timed.model_copy(update={"samples_ms": tuple(samples), "warm_up": warmed})


@pytest.mark.parametrize(
    ("samples", "steady", "unsteady"),
    [
        ([1.0] * 20, True, False),
        ([1.0] * 20, False, True),
        ([300.0] * 20, None, False),
        ([300.0] * 10 + [360.0] * 10, None, True),
        ([300.0, 360.0], None, False),
        ([1.0] * 10 + [1.2] * 10, True, True),
        ([1.0] * 10 + [1.05] * 10, True, False),
        ([1.0, 5.0] * 10, True, False),
        ([1.0, 1.2], True, False),
    ],
)
def test_times_are_unsteady_where_they_did_not_settle_or_drift(samples, steady, unsteady):
    assert is_unsteady(speed(samples, steady=steady)) is unsteady


@pytest.mark.parametrize(("steady", "unsteady"), [(True, False), (False, True), (None, False)])
def test_of_paced_frames_only_the_warm_up_tells(steady, unsteady):
    paced = speed([1.0] * 10 + [9.0] * 10, steady=steady, plan=Plan("paced", "host", frame_rate=200))
    assert is_unsteady(paced) is unsteady


def test_unsteady_scenarios_are_named(workspace):
    (bundle,) = run(job(workspace), Silent()).bundles
    drifting = speed([1.0] * 10 + [2.0] * 10)
    models = (bundle.models[0].model_copy(update={"speeds": (drifting,)}),)
    found: BundleRun = bundle.model_copy(update={"models": models})
    (mark,) = marks_of((found,), 0, [QUIET], set())
    assert mark.text == "Times did not settle in lesions fp32 single-stream (host)."
