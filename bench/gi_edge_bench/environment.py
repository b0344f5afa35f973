"""Where a result was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from gi_edge.artifacts.environment import Environment, Gpu
from gi_edge.artifacts.manifest import package_versions

_PACKAGES = ("gi-edge", "onnxruntime", "onnxruntime-gpu", "numpy", "pillow")


def environment_now() -> Environment:
    """Describe this machine."""
    return Environment(
        platform=platform.platform(),
        cpu=_cpu_model(),
        logical_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        gpus=_gpus(),
        python=platform.python_version(),
        packages=package_versions(_PACKAGES),
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpus() -> tuple[Gpu, ...]:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = (line.split(",") for line in answer.stdout.splitlines() if line.strip())
    return tuple(_gpu(name.strip(), driver.strip()) for name, driver in rows)


def _gpu(name: str, driver: str) -> Gpu:
    return Gpu(
        name=name,
        compute_capability=None,
        driver=driver,
        cuda=None,
        memory_bytes=None,
        max_sm_clock_mhz=None,
        power_limit_watts=None,
        before=None,
        after=None,
    )
