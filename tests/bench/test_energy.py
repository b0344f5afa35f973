"""Energy per frame, and who else is on the GPU."""

from __future__ import annotations

import itertools
import os
from types import SimpleNamespace

import numpy as np
import pytest
from benches import QUICK, Fake, job, subject_of
from nvml_fake import FakeNvml, install

import gi_edge_bench.run as bench_run
from gi_edge.progress import Silent
from gi_edge.runtime.nvml import NvmlGpu
from gi_edge_bench.energy import Meter
from gi_edge_bench.run import run
from gi_edge_bench.scenarios import Plan, time_plan

# --- energy


def test_energy_by_the_counter_is_per_frame():
    counter = itertools.count(0, 6_000)
    meter = Meter(NvmlGpu(FakeNvml(energy=lambda: next(counter), power=50_000, reasons=0x20), "h"))
    speed = time_plan(Plan("offline", "host", 4), subject_of(Fake(seconds=0.01)), QUICK, meter)
    frames = 4 * len(speed.samples_ms)
    assert speed.energy.method == "energy counter"
    assert speed.energy.millijoules_per_frame == pytest.approx(6000 / frames)
    assert speed.energy.mean_watts == pytest.approx(6.0 / speed.energy.seconds)
    assert meter.reasons == {"software thermal slowdown"}


@pytest.mark.parametrize("facts", [{}, {"energy": 100}])
def test_without_a_counter_that_moves_power_is_sampled(facts):
    meter = Meter(NvmlGpu(FakeNvml(power=50_000, **facts), "h"))
    settings = QUICK.model_copy(update={"minimum_seconds": 0.3})
    speed = time_plan(Plan("single-stream", "host"), subject_of(Fake(seconds=0.01)), settings, meter)
    assert speed.energy.method == "sampled power"
    assert speed.energy.mean_watts == 50
    expected = 50 * speed.energy.seconds * 1e3 / len(speed.samples_ms)
    assert speed.energy.millijoules_per_frame == pytest.approx(expected)


def test_a_gpu_that_tells_no_power_gives_no_energy():
    meter = Meter(NvmlGpu(FakeNvml(), "h"))
    assert time_plan(Plan("single-stream", "host"), subject_of(Fake()), QUICK, meter).energy is None


def test_a_model_on_the_cpu_has_no_energy_of_the_gpu_beside_it(workspace, monkeypatch):
    facts = {"energy": 1, "power": 90_000, "computing": [], "drawing": [], "reasons": 0}
    install(monkeypatch, **facts)
    result = run(job(workspace), Silent())
    assert {speed.energy for model in result.bundles[0].models for speed in model.speeds} == {None}
    (gpu,) = result.environment.gpus
    assert (gpu.name, gpu.before.power_watts, gpu.after.other_processes) == ("Fake RTX", 90.0, 0)
    assert np.isfinite(result.environment.load_before)


# --- who else is on the GPU


def process(pid):
    return SimpleNamespace(pid=pid, usedGpuMemory=None)


def kinds_of(result):
    return [mark.kind for mark in result.marks]


@pytest.mark.parametrize("on_gpu", [False, True])
def test_a_gpu_that_others_use_is_no_matter_of_models_on_the_cpu(workspace, monkeypatch, on_gpu):
    install(monkeypatch, computing=[process(os.getpid()), process(7), process(8)], drawing=[], reasons=0)
    monkeypatch.setattr(bench_run, "_is_on_gpu", lambda model: on_gpu)
    result = run(job(workspace), Silent())
    assert result.environment.gpus[0].before.other_processes == 2
    assert ("shared gpu" in kinds_of(result)) is on_gpu


def test_a_neighbour_that_comes_and_goes_while_a_model_is_timed_is_seen(workspace, monkeypatch):
    alone, looks = [process(os.getpid())], itertools.count()
    crowd = [*alone, process(7)]
    install(monkeypatch, computing=lambda: crowd if next(looks) == 2 else alone, drawing=[], reasons=0)
    monkeypatch.setattr(bench_run, "_is_on_gpu", lambda model: True)
    result = run(job(workspace), Silent())
    (gpu,) = result.environment.gpus
    assert (gpu.before.other_processes, gpu.after.other_processes) == (0, 0)
    assert [mark.text for mark in result.marks if mark.kind == "shared gpu"] == ["1 other process computed on the GPU."]


def test_a_gpu_that_does_not_tell_why_it_is_slow_is_no_fast_one():
    meter = Meter(NvmlGpu(FakeNvml(power=50_000), "h"))
    time_plan(Plan("single-stream", "host"), subject_of(Fake()), QUICK, meter)
    assert (meter.reasons, meter.most_others) == (set(), 0)
