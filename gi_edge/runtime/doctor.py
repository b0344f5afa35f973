"""What this machine can do: every runtime is tried on a small graph, each in a process of its own.

Nothing of weight is imported here, so that a broken numpy or ONNX Runtime is found and told like anything else.
"""

from __future__ import annotations

from typing import Any, Literal

from gi_edge.config import Value
from gi_edge.deps import install_command
from gi_edge.progress import Progress
from gi_edge.runtime.children import probed
from gi_edge.runtime.installed import UNKNOWN, installed_packages, onnxruntime_cuda
from gi_edge.runtime.known_faults import ANY, KnownFault, faults_here
from gi_edge.runtime.machine import Machine, this_machine

_PACKAGES: dict[str, tuple[str, ...]] = {
    "onnxruntime cpu": ("onnxruntime-gpu", "onnxruntime"),
    "onnxruntime cuda": ("onnxruntime-gpu", "onnxruntime"),
    "onnxruntime tensorrt": ("onnxruntime-gpu", "onnxruntime"),
    "tensorrt": ANY["tensorrt-any"],
    "tensorrt-rtx": ANY["tensorrt-rtx-any"],
}
_EXTRAS = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt-rtx"}
_ON_CPU = "onnxruntime cpu"
USUAL_TIMEOUT_S = 120.0
"""A runtime that takes longer for a small graph is broken."""


class GpuFound(Value):
    """One GPU that the driver shows."""

    name: str
    compute_capability: str
    memory_bytes: int | None
    multiprocessors: int | None = None
    is_integrated: bool = False
    """Part of a system's chip, as on a Jetson."""


class DriverFound(Value):
    """The NVIDIA driver."""

    version: str | None
    cuda: str | None
    """Newest CUDA that it serves."""
    devices: tuple[GpuFound, ...] = ()
    fault: str = ""
    """Why no GPU is shown; empty if one is."""


class RuntimeState(Value):
    """One runtime, tried."""

    name: str
    package: str | None
    version: str | None
    status: Literal["runs", "fails", "no gpu", "not installed"]
    """runs: it computed the right numbers for a small graph. no gpu: installed, and not tried for want of one."""
    detail: str = ""


class Diagnosis(Value):
    """What a machine can do."""

    machine: Machine
    driver: DriverFound
    packages: dict[str, str]
    """Version by package."""
    runtimes: tuple[RuntimeState, ...]
    faults: tuple[KnownFault, ...]
    """Known to go wrong here."""
    next_command: str

    @property
    def can_bench(self) -> bool:
        """Whether at least one runtime runs."""
        return any(runtime.status == "runs" for runtime in self.runtimes)


def diagnose(timeout_s: float, progress: Progress) -> Diagnosis:
    """Try everything. timeout_s: how long each runtime may take."""
    machine, packages = this_machine(), installed_packages()
    driver = _driver(probed("driver", timeout_s))
    runtimes = []
    with progress.task("try", len(_PACKAGES)) as task:
        for name in _PACKAGES:
            task.advance(0, name)
            runtimes.append(_state(name, packages, driver, timeout_s))
            task.advance()
    faults = faults_here(_facts(machine, packages, driver))
    return Diagnosis(
        machine=machine,
        driver=driver,
        packages=packages,
        runtimes=tuple(runtimes),
        faults=faults,
        next_command=_next_command(runtimes, driver, faults, timeout_s),
    )


def _driver(said: dict[str, Any]) -> DriverFound:
    if set(said) == {"fault"}:
        return DriverFound(version=None, cuda=None, fault=f"asking the NVIDIA driver failed: {said['fault']}")
    return DriverFound.model_validate(said)


def _state(name: str, packages: dict[str, str], driver: DriverFound, timeout_s: float) -> RuntimeState:
    package = next((package for package in _PACKAGES[name] if package in packages), None)
    if package is None:
        extra = install_command(_EXTRAS.get(name, "cuda"))
        return RuntimeState(name=name, package=None, version=None, status="not installed", detail=extra)
    version = packages[package]
    if name != _ON_CPU and not driver.devices:
        return RuntimeState(name=name, package=package, version=version, status="no gpu", detail=driver.fault)
    said = probed(name, timeout_s)
    if "fault" in said:
        return RuntimeState(name=name, package=package, version=version, status="fails", detail=str(said["fault"]))
    told = str(said.get("runtime", "")).rpartition(" ")[2]
    return RuntimeState(
        name=name, package=package, version=told if version == UNKNOWN and told else version, status="runs"
    )


def _facts(machine: Machine, packages: dict[str, str], driver: DriverFound) -> dict[str, str]:
    """Return what known_faults.toml compares."""
    facts = {
        "driver": driver.version,
        "driver-cuda": driver.cuda,
        "onnxruntime-for-cuda": onnxruntime_cuda(),
        "l4t": machine.l4t,
        "compute-capability": driver.devices[0].compute_capability if driver.devices else None,
    }
    return packages | {name: value for name, value in facts.items() if value is not None}


def _next_command(
    runtimes: list[RuntimeState], driver: DriverFound, faults: tuple[KnownFault, ...], timeout_s: float
) -> str:
    status = {runtime.name: runtime.status for runtime in runtimes}
    for name in ("tensorrt", "tensorrt-rtx"):
        if status[name] == "runs":
            return f"gi-edge engine BUNDLE --runtime {name}, then gi-edge bench --runtime {name}"
    stopped = [fault.fix for fault in faults if fault.stops]
    on_gpu = any(runtime.status == "runs" for runtime in runtimes if runtime.name != _ON_CPU)
    if driver.devices and not on_gpu and stopped:
        return stopped[0]
    if status[_ON_CPU] == "runs":
        if driver.devices and status["onnxruntime cuda"] != "runs":  # auto takes CUDA where a GPU is seen
            provider = "tensorrt" if on_gpu else "cpu"
            return f"gi-edge bench --provider {provider}, in a workspace that has bundles"
        return "gi-edge bench, in a workspace that has bundles; without one: gi-edge demo"
    if status[_ON_CPU] == "not installed":
        return install_command("cuda")
    if stopped:
        return stopped[0]
    detail = next(runtime.detail for runtime in runtimes if runtime.name == _ON_CPU)
    if timeout_s < USUAL_TIMEOUT_S and detail.endswith(f"within {timeout_s:g} s"):  # what is so slow may be whole
        return f"gi-edge doctor --timeout {USUAL_TIMEOUT_S:g}"
    return "pip install --force-reinstall numpy 'gi-edge[cuda]'"
