"""Where a result was measured, before and after."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import gi_edge
from gi_edge.artifacts.environment import Environment, Gpu, GpuState
from gi_edge.artifacts.manifest import package_versions
from gi_edge.runtime.device import cuda_device
from gi_edge.runtime.machine import this_machine
from gi_edge.runtime.nvml import NvmlGpu, gpu_from_nvml, state_from_nvml
from gi_edge_bench import machine

_PACKAGES = (
    *("gi-edge", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx", "cuda-python", "nvidia-ml-py"),
    *("numpy", "pillow"),
)
_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"),
    *("CUDA_MODULE_LOADING", "NVIDIA_TF32_OVERRIDE"),
)


@dataclass(frozen=True)
class Moment:
    """What changes while a bench runs."""

    load: float | None
    gpu: GpuState | None


def moment_now(gpu: NvmlGpu | None, *, computes: bool) -> Moment:
    """Look at the machine. computes: whether this process has work on the GPU."""
    return Moment(machine.load(), None if gpu is None else state_from_nvml(gpu, computes=computes))


def environment_of(gpu: NvmlGpu | None, before: Moment, after: Moment) -> Environment:
    """Describe this machine with its state before and after the runs."""
    here = this_machine()
    return Environment(
        platform=here.system,
        cpu=here.cpu,
        architecture=here.architecture,
        logical_cpus=here.logical_cpus,
        memory_bytes=machine.memory_bytes(),
        cpu_governor=machine.governor(),
        load_before=before.load,
        load_after=after.load,
        gpus=_gpus(gpu, before, after),
        container=machine.container(),
        board=here.board_text,
        python=here.python,
        packages=package_versions(_PACKAGES),
        providers=_providers(),
        thread_variables={name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
        git_revision=git_revision(Path(gi_edge.__path__[0]).parent),
    )


def environment_now() -> Environment:
    """Describe this machine as it is; for benchmarks that watch no GPU."""
    now = moment_now(None, computes=False)
    return environment_of(None, now, now)


def git_revision(folder: Path) -> str | None:
    """Return the commit of a checkout, with "+changes" if its files differ from it; None if folder is not its root."""
    if not (folder / ".git").exists():
        return None
    revision = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{revision}+changes" if revision and changes else revision


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _providers() -> tuple[str, ...]:
    import onnxruntime

    return tuple(onnxruntime.get_available_providers())


def _gpus(gpu: NvmlGpu | None, before: Moment, after: Moment) -> tuple[Gpu, ...]:
    """Return the GPU that CUDA shows first, by NVML, else by the little that the driver tells."""
    if gpu is not None:
        return (gpu_from_nvml(gpu).model_copy(update={"before": before.gpu, "after": after.gpu}),)
    device = cuda_device()
    if device is None:
        return ()
    return (
        Gpu(
            name=device.name,
            compute_capability=device.compute_capability,
            driver="not told (pip install nvidia-ml-py)",
            cuda=None,
            memory_bytes=None,
            max_sm_clock_mhz=None,
            power_limit_watts=None,
            before=None,
            after=None,
        ),
    )
