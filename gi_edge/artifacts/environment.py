"""Where a result was measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gi_edge.config import Value


class GpuState(Value):
    """What NVML says of a GPU at one moment; None where it does not say."""

    sm_clock_mhz: int | None
    memory_clock_mhz: int | None
    temperature_c: int | None
    power_watts: float | None
    throttle_reasons: tuple[str, ...] | None
    """Why clocks are lower than they could be, "idle" left out."""
    other_processes: int | None
    """Processes that compute on the GPU and are not this one; those that draw a desktop do not count."""


class Gpu(Value):
    """One NVIDIA GPU."""

    name: str
    compute_capability: str | None
    driver: str
    cuda: str | None
    """Newest CUDA that the driver serves."""
    memory_bytes: int | None
    max_sm_clock_mhz: int | None
    power_limit_watts: float | None
    before: GpuState | None
    after: GpuState | None
    """Before and after the runs."""

    @property
    def text(self) -> str:
        """Name and driver in words."""
        return f"{self.name}, driver {self.driver}"


class Environment(Value):
    """The machine, its software and its state."""

    platform: str
    cpu: str
    architecture: str = ""
    """Such as "x86_64" or "aarch64"."""
    logical_cpus: int
    """Those that this process may use."""
    memory_bytes: int | None = None
    cpu_governor: str | None = None
    """Of the first CPU; None where the kernel does not tell."""
    load_before: float | None = None
    """Processes that wanted a CPU, mean of the last minute, before the runs."""
    load_after: float | None = None
    gpus: tuple[Gpu, ...]
    """Empty where there is none."""
    container: str | None = None
    """Such as "docker"; None if no sign of one was found."""
    board: str | None = None
    """Model of a Jetson or another board that says so, with its L4T release."""
    python: str
    packages: dict[str, str]
    """Version by package, of those that take part."""
    providers: tuple[str, ...] = ()
    """Of ONNX Runtime, in its order."""
    thread_variables: dict[str, str] = Field(default_factory=dict)
    """Environment variables that set thread counts, such as OMP_NUM_THREADS."""
    git_revision: str | None = None
    """Of gi-edge, where it runs from a checkout; with "+changes" if that differs from its last commit."""


class Mark(Value):
    """Why a run's times are to be doubted."""

    kind: Literal["throttled", "shared gpu", "busy cpu", "unsteady"]
    text: str
    """One sentence with what was found."""
