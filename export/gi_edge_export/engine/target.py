"""Which runtime builds, and for what: decided before any work is done."""

from __future__ import annotations

from importlib.util import find_spec

from gi_edge.artifacts.engine import EngineTarget, RuntimeName
from gi_edge.deps import install_command
from gi_edge.errors import ConfigError, MissingDependencyError, RuntimeUnavailableError
from gi_edge.runtime.device import CudaDevice
from gi_edge.runtime.tensorrt import Toolkit, load_toolkit
from gi_edge_export.engine.config import EngineSettings

_MODULES: dict[RuntimeName, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_JETSONS = {53: "Nano", 62: "TX2", 72: "Xavier", 87: "Orin", 101: "Thor", 110: "Thor"}


def toolkit_of(settings: EngineSettings) -> Toolkit:
    """Load the runtime that the settings name, or for auto the one that can do it.

    Raises: MissingDependencyError, RuntimeUnavailableError.
    """
    if settings.runtime != "auto":
        return load_toolkit(settings.runtime)
    if settings.sms:
        return load_toolkit("tensorrt-rtx")
    for name, module in _MODULES.items():
        if find_spec(module) is not None:
            return load_toolkit(name)
    raise MissingDependencyError(
        "neither TensorRT nor TensorRT for RTX is installed, so the bundle stays ONNX only",
        fix=f"{install_command('tensorrt')} on a device, or {install_command('tensorrt-rtx')} for GeForce and RTX GPUs",
    )


def target_of(toolkit: Toolkit, sms: tuple[int, ...], device: CudaDevice | None) -> EngineTarget:
    """Return what to build for: the SMs named, else the GPU of this machine.

    Raises: ConfigError for SMs that the runtime cannot be told; RuntimeUnavailableError where a GPU is missing or
    not served.
    """
    if sms and not toolkit.builds_for_others:
        raise ConfigError(
            f"{toolkit.text} builds for the GPU of the machine it runs on; it takes no list of SMs",
            fix="leave --sm out and run on the device, or --runtime tensorrt-rtx",
        )
    served = toolkit.served_sms()
    for sm in sms:
        _check_served(toolkit, sm, served)
    if sms:
        return EngineTarget(device=None, compute_capabilities=tuple(_dotted(sm) for sm in sorted(set(sms))))
    if device is None:
        raise RuntimeUnavailableError(
            f"{toolkit.text} was asked to build for the GPU of this machine, and the driver shows none",
            fix="name the targets: --sm 86,89,120" if served else "run gi-edge engine on the device itself",
        )
    if served:
        _check_served(toolkit, int(device.compute_capability.replace(".", "")), served)
    return EngineTarget(
        device=device.name,
        compute_capabilities=(device.compute_capability,),
        multiprocessors=device.multiprocessors,
        memory_bytes=device.memory_bytes,
        is_integrated=device.is_integrated,
    )


def _check_served(toolkit: Toolkit, sm: int, served: tuple[int, ...]) -> None:
    if sm in served:
        return
    jetson = f" (Jetson {_JETSONS[sm]})" if sm in _JETSONS else ""
    raise RuntimeUnavailableError(
        f"{toolkit.text} does not serve SM {sm}{jetson}; it serves {', '.join(map(str, served))}",
        fix="on that device: pip install 'gi-edge[tensorrt]' (JetPack brings its own), then gi-edge engine BUNDLE "
        "--runtime tensorrt",
    )


def _dotted(sm: int) -> str:
    return f"{sm // 10}.{sm % 10}"
