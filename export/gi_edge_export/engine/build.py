"""From an ONNX file to a serialised engine, with whichever TensorRT is installed."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gi_edge.artifacts.engine import BatchRange, EngineTarget
from gi_edge.errors import ConfigError, GateError, RuntimeUnavailableError
from gi_edge.progress import Progress
from gi_edge.runtime.tensorrt import Log, Toolkit, log_of
from gi_edge_export.engine.config import EngineSettings
from gi_edge_export.engine.hooks import monitor_of
from gi_edge_export.engine.layers import TypedLayer, typed_layers
from gi_edge_export.engine.timings import kept_timings, use_timings
from gi_edge_export.triton import Tensor

_TRITON_TYPES = {"FLOAT": "TYPE_FP32", "HALF": "TYPE_FP16", "BF16": "TYPE_BF16", "UINT8": "TYPE_UINT8"}


@dataclass(frozen=True)
class Parsed:
    """A strongly typed network; builder and parser own memory that it uses, so they are kept beside it."""

    toolkit: Toolkit
    log: Log
    builder: Any
    parser: Any
    network: Any
    layers: tuple[TypedLayer, ...]

    def tensors(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return inputs and outputs, the batch dimension left out."""
        network = self.network
        inputs = [network.get_input(index) for index in range(network.num_inputs)]
        outputs = [network.get_output(index) for index in range(network.num_outputs)]
        return tuple(map(_tensor, inputs)), tuple(map(_tensor, outputs))


@dataclass(frozen=True)
class Plan:
    """A serialised engine and what its build left behind."""

    content: bytes
    timings: bytes | None
    seconds: float


def parse_onnx(toolkit: Toolkit, path: Path) -> Parsed:
    """Parse an ONNX file into a strongly typed network.

    Raises: RuntimeUnavailableError naming the operators and nodes that the runtime does not take.
    """
    trt, log = toolkit.trt, log_of(toolkit)
    try:
        builder = trt.Builder(log)
    except TypeError as error:  # how the bindings say that there is none
        raise RuntimeUnavailableError(
            f"{toolkit.text} does not start here: {'; '.join(log.errors) or error}",
            fix="check driver and GPU with nvidia-smi",
        ) from error
    network = builder.create_network(toolkit.network_flags())
    if not toolkit.is_strongly_typed(network):
        raise GateError(
            f"{toolkit.text} made a network that may change the graph's types", fix="update TensorRT, then run again"
        )
    parser = trt.OnnxParser(network, log)
    taken = parser.parse_from_file(str(path))
    faults = [_fault(parser.get_error(index)) for index in range(parser.num_errors)]
    if not taken or faults or not network.num_layers:
        told = "; ".join(dict.fromkeys(faults)) or "; ".join(log.errors) or "the file holds no graph"
        raise RuntimeUnavailableError(
            f"{toolkit.text} does not take {path.name}: {told}",
            fix="gi-edge verify BUNDLE; if the file is whole, use another --runtime, or ONNX Runtime: gi-edge bench",
        )
    return Parsed(toolkit, log, builder, parser, network, typed_layers(network))


def build_plan(parsed: Parsed, target: EngineTarget, settings: EngineSettings, title: str, progress: Progress) -> Plan:
    """Build and serialise the engine. This may take seconds (RTX) or minutes (TensorRT, which times every kernel).

    Raises: RuntimeUnavailableError with what the runtime said; KeyboardInterrupt when stopped within.
    """
    toolkit, builder = parsed.toolkit, parsed.builder
    config = _config(parsed, target, settings)
    use_timings(toolkit, config, target, progress)
    with ExitStack() as stack:
        monitor = monitor_of(toolkit, progress, title, stack)
        config.progress_monitor = monitor
        parsed.log.errors.clear()
        started = time.perf_counter()
        memory = builder.build_serialized_network(parsed.network, config)
        seconds = time.perf_counter() - started
    if monitor.interrupt is not None:
        raise monitor.interrupt
    if memory is None:
        raise RuntimeUnavailableError(
            f"{toolkit.text} could not build the engine: {'; '.join(parsed.log.errors) or 'it did not say why'}",
            fix="a larger --workspace-mb if memory is named; another --precision if a type is; else --runtime",
        )
    return Plan(bytes(memory), kept_timings(toolkit, config, target), seconds)


def inspection_of(parsed: Parsed, plan: Plan) -> str:
    """Load the engine on this machine's GPU and return the inspector's JSON.

    No code for the host is allowed in the engine. Raises: RuntimeUnavailableError if it does not load.
    """
    trt = parsed.toolkit.trt
    runtime = trt.Runtime(parsed.log)
    runtime.engine_host_code_allowed = False
    parsed.log.errors.clear()
    engine = runtime.deserialize_cuda_engine(plan.content)
    if engine is None:
        raise RuntimeUnavailableError(
            f"the engine was built but does not load here: {'; '.join(parsed.log.errors)}",
            fix="check the GPU with nvidia-smi, then run again",
        )
    return str(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))


def _config(parsed: Parsed, target: EngineTarget, settings: EngineSettings) -> Any:  # noqa: ANN401
    """Neither version-compatible nor hardware-compatible: both cost speed. TF32 off, so that fp32 is fp32."""
    trt = parsed.toolkit.trt
    config = parsed.builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that the inspector names types
    if settings.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mb * 2**20)
    config.add_optimization_profile(_profile(parsed, settings.batch))
    if parsed.toolkit.builds_for_others:
        names = [f"SM{text.replace('.', '')}" for text in target.compute_capabilities]
        config.num_compute_capabilities = len(names)
        for index, name in enumerate(names):
            config.set_compute_capability(getattr(trt.ComputeCapability, name), index)
    return config


def _profile(parsed: Parsed, batch: BatchRange) -> Any:  # noqa: ANN401
    profile = parsed.builder.create_optimization_profile()
    for index in range(parsed.network.num_inputs):
        tensor = parsed.network.get_input(index)
        first, *rest = tuple(tensor.shape)
        if first != -1 or -1 in rest:
            raise ConfigError(
                f"the input '{tensor.name}' has shape {(first, *rest)}, not a free batch and fixed sizes",
                fix="export the bundle again with this gi-edge",
            )
        profile.set_shape(tensor.name, *((size, *rest) for size in (batch.minimum, batch.optimum, batch.maximum)))
    return profile


def _tensor(tensor: Any) -> Tensor:  # noqa: ANN401
    return Tensor(tensor.name, _TRITON_TYPES[tensor.dtype.name], tuple(tensor.shape)[1:])


def _fault(error: Any) -> str:  # noqa: ANN401
    """Name operator and node of a parser error; TensorRT 10.0 had neither."""
    named = [str(getattr(error, name)()) for name in ("node_operator", "node_name") if hasattr(error, name)]
    where = f"{named[0]} '{named[1]}'" if any(named) else f"node {error.node()}"
    told = error.desc()
    # A check of the parser that failed has no words, only its own expression.
    return f"{where}: not supported" if told in ("", "false") else f"{where}: {told}"
