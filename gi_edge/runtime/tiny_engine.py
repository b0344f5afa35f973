"""An engine of a small graph, built where it runs; gi_edge_export.engine builds those of bundles, and proves them."""

from __future__ import annotations

from collections.abc import Iterable

from gi_edge.errors import RuntimeUnavailableError
from gi_edge.runtime.session import PIXEL_INPUT
from gi_edge.runtime.tensorrt import Toolkit, log_of


def plan_from_onnx(toolkit: Toolkit, onnx: bytes, capability: str | None = None) -> bytes:
    """Build a plan of one to two frames. capability: such as "SM86", for another GPU than this one; RTX only.

    Raises: RuntimeUnavailableError with what the runtime said.
    """
    trt, log = toolkit.trt, log_of(toolkit)
    try:
        builder = trt.Builder(log)
    except TypeError as error:  # how the bindings say that there is none
        raise _failed(toolkit, "does not start", log.errors) from error
    network = builder.create_network(toolkit.network_flags())
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx):
        raise _failed(toolkit, "does not take a graph of five nodes", log.errors)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    shape = tuple(network.get_input(0).shape)[1:]
    profile.set_shape(PIXEL_INPUT, (1, *shape), (2, *shape), (2, *shape))
    config.add_optimization_profile(profile)
    if capability is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _failed(toolkit, "could not build an engine", log.errors)
    return bytes(plan)


def _failed(toolkit: Toolkit, what: str, errors: Iterable[str]) -> RuntimeUnavailableError:
    told = "; ".join(errors) or "it did not say why"
    return RuntimeUnavailableError(f"{toolkit.text} {what}: {told}", fix="check driver and GPU with nvidia-smi")
