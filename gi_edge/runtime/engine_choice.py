"""Which of a bundle's engines this GPU and this runtime serve."""

from __future__ import annotations

from gi_edge.artifacts.bundle import Bundle
from gi_edge.artifacts.engine import (
    Engine,
    EngineEntry,
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
            f"this one is {device.name}, compute capability {device.compute_capability}",
            fix=build,
        )
    fitting = [entry for entry in for_gpu if entry.runtime_version == toolkit.version]
    if not fitting:
        raise ArtifactError(
            f"the {precision} engines of {bundle.path} were built by another version: {_listed(for_gpu)}; "
            f"here is {toolkit.name} {toolkit.version}, and an engine runs in the version that built it",
            fix=build,
        )
    best = max(fitting, key=lambda entry: entry.target.device == device.name)
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
    named = entry.target.device == device.name
    by_architecture = entry.runtime == "tensorrt-rtx" or entry.target.device is None
    return named or (by_architecture and device.compute_capability in entry.target.compute_capabilities)


def _listed(entries: list[EngineEntry]) -> str:
    return ", ".join(f"{entry.target.label} ({entry.runtime} {entry.runtime_version})" for entry in entries)
