"""Which of a bundle's engines this GPU and this runtime serve."""

from __future__ import annotations

import math

from gi_edge.artifacts.bundle import Bundle
from gi_edge.artifacts.engine import (
    Engine,
    EngineEntry,
    EngineTarget,
    RuntimeName,
    engine_folder,
    engine_folders,
    read_engine,
    read_engine_entry,
)
from gi_edge.errors import ArtifactError, ConfigError, GiEdgeError
from gi_edge.metrics.parity import Precision
from gi_edge.runtime.device import CudaDevice
from gi_edge.runtime.tensorrt import Toolkit

_SAME_MEMORY = 0.15
"""Share by which the memory in sight of one GPU may differ: system and error correction (ECC) keep some of it, a
sixteenth or so. Models of one name differ by more, such as the GeForce RTX 3080 of 10 and of 12 GB by a sixth."""


def build_command(bundle: Bundle, precision: Precision, runtime: RuntimeName) -> str:
    """Return what builds an engine on this machine."""
    return f"gi-edge engine {bundle.manifest.name} --precision {precision} --runtime {runtime}"


def fitting_engine(bundle: Bundle, precision: Precision, toolkit: Toolkit, device: CudaDevice) -> Engine:
    """Return the engine of a precision that was built by this version of the runtime for this GPU, checked whole.

    One that was built on the very GPU goes before one built for its architecture. Engines of other precisions,
    runtimes and GPUs are not read further than their sidecar, so a broken one of them does no harm.

    Raises: ArtifactError that says which engines there are, if none fits; or that the one is not whole.
    """
    build = build_command(bundle, precision, toolkit.name)
    entries, fault = _entries(bundle, precision)
    ours = [entry for entry in entries if entry.runtime == toolkit.name]
    if not ours:
        if fault is not None:
            raise fault
        others = f"; there is {_listed(entries)}" if entries else ""
        raise ArtifactError(f"{bundle.path} has no {precision} engine for {toolkit.name}{others}", fix=build)
    for_gpu = [entry for entry in ours if _serves(entry, device)]
    if not for_gpu:
        raise ArtifactError(
            f"the {precision} engines of {bundle.path} are for another GPU: {_listed(ours)}; "
            f"this one is {device.name}, compute capability {device.compute_capability}{_size(device)}",
            fix=build,
        )
    fitting = [entry for entry in for_gpu if entry.runtime_version == toolkit.version]
    if not fitting:
        raise ArtifactError(
            f"the {precision} engines of {bundle.path} were built by another version: {_listed(for_gpu)}; "
            f"here is {toolkit.name} {toolkit.version}, and an engine runs in the version that built it",
            fix=build,
        )
    best = max(fitting, key=lambda entry: _is_built_on(entry.target, device))
    folder = engine_folder(bundle.path, best.target, f"{best.runtime}-{best.runtime_version}", precision)
    return read_engine(bundle, folder)


def _entries(bundle: Bundle, precision: Precision) -> tuple[list[EngineEntry], GiEdgeError | None]:
    """Return the sidecars of a precision, and the first fault of one that cannot be read."""
    found: list[EngineEntry] = []
    fault: GiEdgeError | None = None
    for folder in engine_folders(bundle.path):
        if folder.name != precision:
            continue
        try:
            found.append(read_engine_entry(bundle, folder))
        except (ArtifactError, ConfigError) as error:
            fault = fault or error
    return found, fault


def _serves(entry: EngineEntry, device: CudaDevice) -> bool:
    """TensorRT tunes for the GPU it built on; TensorRT for RTX holds code per architecture (its support matrix)."""
    by_architecture = entry.runtime == "tensorrt-rtx" or entry.target.device is None
    served = by_architecture and device.compute_capability in entry.target.compute_capabilities
    return served or _is_built_on(entry.target, device)


def _is_built_on(target: EngineTarget, device: CudaDevice) -> bool:
    """Compare names, and what tells GPUs of one name apart, where both sides know it."""
    if target.device != device.name:
        return False
    if (
        None not in (target.multiprocessors, device.multiprocessors)
        and target.multiprocessors != device.multiprocessors
    ):
        return False
    if target.memory_bytes is None or device.memory_bytes is None:
        return True
    return math.isclose(target.memory_bytes, device.memory_bytes, rel_tol=_SAME_MEMORY)


def _size(of: CudaDevice | EngineTarget) -> str:
    multiprocessors = f", {of.multiprocessors} multiprocessors" if of.multiprocessors else ""
    return multiprocessors + (f", {of.memory_bytes / 2**30:.1f} GiB" if of.memory_bytes else "")


def _listed(entries: list[EngineEntry]) -> str:
    return ", ".join(
        f"{entry.target.label} ({entry.runtime} {entry.runtime_version}{_size(entry.target)})" for entry in entries
    )
