"""Where a result was measured, as pairs of a name and its words."""

from __future__ import annotations

import json
from dataclasses import dataclass

from gi_edge.artifacts.environment import Environment, Gpu, GpuState
from gi_edge.artifacts.results import BenchResult
from gi_edge.report.formats import NOT_MEASURED, text_from_count, text_from_quantity

_GIB = 2**30


@dataclass(frozen=True)
class GpuPanel:
    """One GPU: what it is, and its state before and after the runs."""

    title: str
    facts: str
    rows: tuple[tuple[str, str, str], ...]
    """Name, before, after; empty where NVML told neither."""


def environment_facts(result: BenchResult) -> tuple[tuple[str, str], ...]:
    """Return what is known of the machine and its software; what is not known is left out."""
    place = result.environment
    facts: list[tuple[str, str | None]] = [
        ("Measured", result.created),
        ("Board", place.board),
        ("Processor", _processor(place)),
        ("CPU governor", place.cpu_governor),
        ("CPU load", _load(place)),
        ("Memory", f"{place.memory_bytes / _GIB:.0f} GiB" if place.memory_bytes else None),
        ("NVIDIA GPUs", "; ".join(gpu.text for gpu in place.gpus) or "none"),
        ("Container", place.container),
        ("Platform", place.platform),
        ("Python", place.python),
        ("gi-edge", " ".join(filter(None, (result.gi_edge_version, place.git_revision)))),
        ("Providers", ", ".join(place.providers) or None),
        ("Threads set", ", ".join(f"{name}={value}" for name, value in sorted(place.thread_variables.items())) or None),
        *sorted(place.packages.items()),
    ]
    return tuple((name, words) for name, words in facts if words is not None)


def _processor(place: Environment) -> str:
    architecture = f", {place.architecture}" if place.architecture else ""
    return f"{place.cpu}, {place.logical_cpus} logical CPUs{architecture}"


def _load(place: Environment) -> str | None:
    if place.load_before is None:
        return None
    after = "" if place.load_after is None else f", {place.load_after:.1f} after"
    return f"{place.load_before:.1f} before the runs{after} (processes that wanted a CPU, mean of one minute)"


def gpu_panels(environment: Environment) -> tuple[GpuPanel, ...]:
    """Return one panel per GPU."""
    return tuple(GpuPanel(gpu.name, _gpu_facts(gpu), _state_rows(gpu)) for gpu in environment.gpus)


def _gpu_facts(gpu: Gpu) -> str:
    parts = (
        f"driver {gpu.driver}",
        f"CUDA up to {gpu.cuda}" if gpu.cuda else None,
        f"compute capability {gpu.compute_capability}" if gpu.compute_capability else None,
        f"{gpu.memory_bytes / _GIB:.0f} GiB" if gpu.memory_bytes else None,
    )
    return ", ".join(filter(None, parts))


def _state_rows(gpu: Gpu) -> tuple[tuple[str, str, str], ...]:
    if gpu.before is None and gpu.after is None:
        return ()
    most_clock = f" (of {text_from_count(gpu.max_sm_clock_mhz)})" if gpu.max_sm_clock_mhz else ""
    most_power = f" (of {gpu.power_limit_watts:.0f})" if gpu.power_limit_watts else ""
    states = [_state_cells(state) for state in (gpu.before, gpu.after)]
    names = (
        f"SM clock, MHz{most_clock}",
        "Memory clock, MHz",
        "Temperature, °C",
        f"Power, W{most_power}",
        "Slowed by",
        "Other processes",
    )
    return tuple(zip(names, *states, strict=True))


def _state_cells(state: GpuState | None) -> tuple[str, ...]:
    if state is None:
        return (NOT_MEASURED,) * 6
    counts = (state.sm_clock_mhz, state.memory_clock_mhz, state.temperature_c)
    return (
        *(NOT_MEASURED if count is None else text_from_count(count) for count in counts),
        text_from_quantity(state.power_watts),
        NOT_MEASURED if state.throttle_reasons is None else ", ".join(state.throttle_reasons) or "nothing",
        NOT_MEASURED if state.other_processes is None else text_from_count(state.other_processes),
    )


def settings_facts(result: BenchResult) -> tuple[tuple[str, str], ...]:
    """Return the settings of the run by name, in words where they are words."""
    return tuple((name.replace("_", " "), _setting(value)) for name, value in sorted(result.settings.items()))


def _setting(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_setting(item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "not set"
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)
