"""What doctor concludes from what it finds, on machines that this one is not."""

from __future__ import annotations

import importlib.metadata
import re
import sys

import onnxruntime
import pytest

from gi_edge.progress import Silent
from gi_edge.runtime import doctor, installed
from gi_edge.runtime.children import probed
from gi_edge.runtime.doctor import diagnose
from gi_edge.runtime.known_faults import ANY, _holds, faults_here, known_faults
from gi_edge.runtime.machine import Machine, l4t_from_text

ADA = {"name": "NVIDIA GeForce RTX 4090", "compute_capability": "8.9", "memory_bytes": 24 << 30}
HOPPER = {"name": "NVIDIA H100", "compute_capability": "9.0", "memory_bytes": 80 << 30}
ORIN = {"name": "Orin", "compute_capability": "8.7", "memory_bytes": None}
PYTHON = {"gi-edge": "0.1.0", "numpy": "2.1.0"}


@pytest.fixture
def machine(monkeypatch):
    """Set what this machine has and what its runtimes say; returns the diagnosis."""

    def of(packages, gpu=None, *, cuda="13.0", built="13.0", l4t=None, fails=()):
        here = Machine(
            system="Linux", architecture="x86_64", board=None, l4t=l4t, cpu="x", logical_cpus=2, python="3.11.7"
        )
        tried = []

        def probed(name, timeout_s):
            tried.append(name)
            if name == "driver":
                none = {"version": None, "cuda": None, "devices": [], "fault": "there is no NVIDIA driver"}
                return {"version": "580.65.06", "cuda": cuda, "devices": [gpu], "fault": ""} if gpu else none
            return {"fault": "crashed: SIGSEGV"} if name in fails else {"runtime": f"{name.split()[0]} 9.9"}

        monkeypatch.setattr(doctor, "this_machine", lambda: here)
        monkeypatch.setattr(doctor, "installed_packages", lambda: PYTHON | packages)
        monkeypatch.setattr(doctor, "onnxruntime_cuda", lambda: built)
        monkeypatch.setattr(doctor, "probed", probed)
        found = diagnose(1.0, Silent())
        return found, {runtime.name: runtime for runtime in found.runtimes}, tried

    return of


def test_without_a_gpu_only_the_cpu_is_tried(machine):
    found, states, tried = machine({"onnxruntime-gpu": "1.31.1", "tensorrt-rtx": "1.7.1"})
    assert tried == ["driver", "onnxruntime cpu"]
    assert {name: state.status for name, state in states.items()} == {
        "onnxruntime cpu": "runs",
        "onnxruntime cuda": "no gpu",
        "onnxruntime tensorrt": "no gpu",
        "tensorrt": "not installed",
        "tensorrt-rtx": "no gpu",
    }
    assert states["onnxruntime cuda"].detail == "there is no NVIDIA driver"
    assert (found.can_bench, found.faults) == (True, ())
    assert found.next_command.startswith("gi-edge bench")


def test_on_a_gpu_everything_installed_is_tried_and_an_engine_is_next(machine):
    found, states, tried = machine({"onnxruntime-gpu": "1.31.1", "tensorrt": "unknown"}, ADA)
    assert tried == ["driver", "onnxruntime cpu", "onnxruntime cuda", "onnxruntime tensorrt", "tensorrt"]
    assert states["tensorrt"].version == "9.9"
    assert found.next_command == "gi-edge engine BUNDLE --runtime tensorrt, then gi-edge bench --runtime tensorrt"


def test_a_crash_of_one_runtime_leaves_the_others(machine):
    found, states, _ = machine({"onnxruntime-gpu": "1.31.1"}, ADA, fails=("onnxruntime cuda",))
    assert (states["onnxruntime cuda"].status, states["onnxruntime cuda"].detail) == ("fails", "crashed: SIGSEGV")
    assert states["onnxruntime tensorrt"].status == "runs"
    assert found.can_bench


def test_nothing_installed_cannot_bench_and_names_the_extra(machine):
    found, states, _ = machine({}, ADA)
    assert {state.status for state in states.values()} == {"not installed"}
    assert (found.can_bench, found.next_command) == (False, "pip install 'gi-edge[cuda]'")


def test_nothing_that_runs_names_the_known_fault_first(machine):
    every = tuple(doctor._PACKAGES)
    found, _, _ = machine({"onnxruntime": "1.18.0"}, fails=every, built=None)
    assert (found.can_bench, found.next_command) == (False, "pip install 'onnxruntime>=1.20'")
    found, _, _ = machine({"onnxruntime": "1.30.0"}, fails=every, built=None)
    assert found.next_command == "pip install --force-reinstall numpy 'gi-edge[cuda]'"


def test_a_driver_that_is_too_old_for_the_gpu_package_is_what_to_mend(machine):
    packages = {"onnxruntime-gpu": "1.31.1"}
    found, _, _ = machine(packages, ADA, cuda="12.4", fails=("onnxruntime cuda", "onnxruntime tensorrt"))
    (fault,) = found.faults
    assert "built for CUDA 13" in fault.text
    assert found.next_command == fault.fix


def test_on_a_jetson_the_engine_is_next_and_the_cpu_package_is_told(machine):
    packages = {"onnxruntime": "1.31.1", "tensorrt": "10.3.0"}
    found, _, _ = machine(packages, ORIN, built=None, cuda="12.6", l4t="36.4.3", fails=("onnxruntime cuda",))
    assert [fault.stops for fault in found.faults] == [()]
    assert found.next_command == "gi-edge engine BUNDLE --runtime tensorrt, then gi-edge bench --runtime tensorrt"


GPU_PROVIDERS = ("onnxruntime cuda", "onnxruntime tensorrt")


@pytest.mark.parametrize(
    ("gpu", "fails", "command"),
    [
        (ORIN, GPU_PROVIDERS, "gi-edge bench --provider cpu, in"),
        (ORIN, ("onnxruntime cuda",), "gi-edge bench --provider tensorrt, in"),
        (ADA, (), "gi-edge bench, in"),
        (None, GPU_PROVIDERS, "gi-edge bench, in"),
    ],
)
def test_what_is_next_names_the_cpu_where_the_gpu_is_seen_and_not_served(machine, gpu, fails, command):
    found, _, _ = machine({"onnxruntime": "1.31.1"}, gpu, built=None, cuda="12.6", l4t="36.4.3", fails=fails)
    assert found.next_command.startswith(command)


def test_on_a_data_centre_gpu_without_another_runtime_tensorrt_is_what_to_install(machine):
    packages = {"onnxruntime": "1.31.1", "tensorrt-rtx": "1.7.1"}
    gpu_runtimes = ("onnxruntime cuda", "onnxruntime tensorrt", "tensorrt-rtx")
    found, _, _ = machine(packages, HOPPER, built=None, fails=gpu_runtimes)
    assert found.next_command == "pip install 'gi-edge[tensorrt]', then gi-edge engine BUNDLE --runtime tensorrt"


BOTH = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"onnxruntime-gpu": "1.31.1", "onnxruntime-for-cuda": "13.0", "driver-cuda": "13.1"}, []),
        ({"onnxruntime-gpu": "1.31.1", "onnxruntime-for-cuda": "13.0", "driver-cuda": "12.8"}, ["built for CUDA 13"]),
        ({"onnxruntime-gpu": "1.22.0", "onnxruntime-for-cuda": "12.8", "driver-cuda": "12.2"}, []),
        ({"onnxruntime-gpu": "1.22.0", "onnxruntime-for-cuda": "12.8", "driver-cuda": "11.8"}, ["built for CUDA 12"]),
        ({"onnxruntime-for-cuda": "13.0", "compute-capability": "7.0"}, ["no longer compiles for GPUs before"]),
        ({"onnxruntime-for-cuda": "13.0", "compute-capability": "7.5"}, []),
        ({"onnxruntime-for-cuda": "13.0", "compute-capability": "12.0"}, []),
        (BOTH, ["side by side"]),
        ({"onnxruntime": "1.31.1"}, []),
        ({"onnxruntime-gpu": "1.18.1", "numpy": "2.0.0"}, ["compiled for numpy 1"]),
        ({"onnxruntime-gpu": "1.18.1", "numpy": "1.26.4"}, []),
        ({"onnxruntime-gpu": "1.19.0", "numpy": "2.0.0"}, []),
        ({"onnxruntime": "1.31.1", "l4t": "36.4.3"}, ["on a Jetson the package onnxruntime computes on the CPU only"]),
        ({"onnxruntime-gpu": "1.23.0", "l4t": "36.4.3"}, []),
        ({"tensorrt": "11.0.0", "l4t": "36.4.3"}, ["TensorRT 11 does not support JetPack 6"]),
        ({"tensorrt": "10.3.0", "l4t": "36.4.3"}, []),
        ({"tensorrt": "11.4.1", "l4t": "38.2.0"}, []),
        ({"tensorrt": "10.5.0", "compute-capability": "7.0"}, ["does not serve GPUs before"]),
        ({"tensorrt": "10.4.0", "compute-capability": "7.0"}, []),
        ({"tensorrt": "11.0.0", "onnxruntime-gpu": "1.31.1"}, ["libnvinfer.so.10"]),
        ({"tensorrt": "10.14.1", "onnxruntime-gpu": "1.31.1"}, []),
        ({"tensorrt-cu13": "10.14.1", "driver-cuda": "12.6"}, ["this TensorRT was built for CUDA 13"]),
        ({"tensorrt-rtx-cu13": "1.7.1", "driver-cuda": "12.6"}, ["this TensorRT for RTX was built for CUDA 13"]),
        ({"tensorrt-rtx": "1.7.1", "compute-capability": "9.0"}, ["not this data-centre GPU"]),
        ({"tensorrt-rtx": "1.7.1", "compute-capability": "12.0"}, []),
        ({"tensorrt-rtx": "1.7.1", "l4t": "36.4.3"}, ["no build for Jetson"]),
        ({"tensorrt": "unknown", "l4t": "36.4.3"}, []),
        ({"tensorrt-cu12": "11.0.0", "l4t": "36.4.3"}, ["TensorRT 11 does not support JetPack 6"]),
        ({"tensorrt-cu12": "10.5.0", "compute-capability": "7.0"}, ["does not serve GPUs before"]),
        ({"tensorrt-cu12": "10.4.0", "compute-capability": "7.0"}, []),
        ({"tensorrt-cu13": "11.0.0", "onnxruntime-gpu": "1.31.1"}, ["libnvinfer.so.10"]),
        ({"tensorrt": "unknown", "tensorrt-cu13": "11.0.0", "onnxruntime-gpu": "1.31.1"}, ["libnvinfer.so.10"]),
        ({"tensorrt-rtx-cu12": "1.7.1", "compute-capability": "9.0"}, ["not this data-centre GPU"]),
        ({"tensorrt-rtx-cu13": "1.7.1", "l4t": "36.4.3"}, ["no build for Jetson"]),
        ({"tensorrt-rtx": "1.7.1", "compute-capability": "8.0"}, []),
        ({"tensorrt-rtx": "1.7.1", "compute-capability": "12.1"}, []),
    ],
)
def test_known_faults_hold_where_they_should_and_nowhere_else(facts, words):
    found = [fault.text for fault in faults_here(facts)]
    assert len(found) == len(words)
    for word, text in zip(words, found, strict=True):
        assert word in text


def test_every_known_fault_names_a_source_a_mend_and_facts_that_there_are():
    facts = {"driver", "driver-cuda", "onnxruntime-for-cuda", "l4t", "compute-capability", *installed.PACKAGES, *ANY}
    for fault in known_faults():
        assert set(fault.when) <= facts
        assert set(fault.stops) <= set(doctor._PACKAGES)
        assert fault.source
        assert fault.fix


@pytest.mark.tensorrt
def test_what_is_said_of_tensorrt_for_rtx_is_what_it_enumerates():
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    (fault,) = faults_here({"tensorrt-rtx": "1.7.1", "compute-capability": "9.0"})
    served = {f"{name[2:-1]}.{name[-1]}" for name in trt.ComputeCapability.__members__ if name.startswith("SM")}
    said = re.search(r"\((.*)\)", fault.text).group(1)
    assert set(re.findall(r"\d+\.\d", said)) == served


@pytest.mark.parametrize(
    ("found", "condition", "holds"),
    [
        ("10.3.0.post1", ">=10.3", True),
        ("10.3", ">=10.3.0", True),
        ("10.3", "<10.3.0", False),
        ("1.27.0", ">=1.20,<1.27", False),
        ("1.26.9", ">=1.20,<1.27", True),
        ("2", "==2.0", True),
        ("unknown", "<99", False),
        ("unknown", "present", True),
        (None, "present", False),
        (None, "absent", True),
        (None, "<99", False),
    ],
)
def test_conditions(found, condition, holds):
    assert _holds(found, condition) is holds


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64", "36.4.3"),
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref", "35.4.1"),
        ("", None),
        ("something else", None),
    ],
)
def test_the_release_of_a_jetson(text, release):
    assert l4t_from_text(text) == release


def test_the_current_folder_is_not_imported_from(monkeypatch, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise RuntimeError('a file of the user')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    assert probed("onnxruntime cpu", 120) == {"runtime": f"onnxruntime {onnxruntime.__version__}"}


def test_packages_with_broken_metadata_are_there_in_an_unknown_version(monkeypatch):
    answers = {"numpy": "2.1.0", "torch": KeyError("Version"), "onnxruntime": None}

    def version(name):
        answer = answers.get(name, importlib.metadata.PackageNotFoundError(name))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(installed.metadata, "version", version)
    monkeypatch.setattr(installed, "find_spec", lambda name: object() if name == "tensorrt" else None)
    assert installed.installed_packages() == {
        "numpy": "2.1.0",
        "torch": "unknown",
        "onnxruntime": "unknown",
        "tensorrt": "unknown",
    }
