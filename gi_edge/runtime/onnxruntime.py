"""ONNX Runtime sessions. A provider that falls back to another is an error, never a slower success."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from gi_edge.config import value_from_mapping
from gi_edge.data.preprocess import PreprocessSpec, images_from_pixels
from gi_edge.errors import ArtifactError, ConfigError, RuntimeUnavailableError
from gi_edge.runtime.device import has_cuda_device
from gi_edge.runtime.placements import placements_of, profiled_placements, record_placements
from gi_edge.runtime.providers import PROVIDER_NAMES, load_cuda_libraries, provider_fault
from gi_edge.runtime.session import FLOAT_INPUT, PIXEL_INPUT, Bound, Placement, Provider

_RUN_ERRORS = ("Fail", "RuntimeException", "EPFail", "EngineError")
"""Its classes that ONNX Runtime raises where a run fails, as for want of memory; they have no common base."""
# TF32 is ONNX Runtime's default on CUDA and would make "fp32" a 10-bit mantissa.
_CUDA_OPTIONS = {"use_tf32": "0"}
_OTHER_PROVIDER = "pip install 'gi-edge[cuda]', or --provider cpu"
_OTHER_RUNTIME = "--provider cpu, or --runtime tensorrt with an engine: gi-edge engine BUNDLE"
"""Where the index has no onnxruntime-gpu, as for a Jetson: there gi-edge[cuda] brings the package for the CPU."""


@dataclass(frozen=True)
class _Source:
    """What a session was opened from."""

    path: Path
    providers: list[Any]


class OnnxRuntimeSession:
    """An ONNX model in ONNX Runtime; implements Session. run may be called from several threads."""

    def __init__(self, session: ort.InferenceSession, source: _Source) -> None:
        self._session = session
        self._source = source
        self.runtime = f"onnxruntime {ort.__version__}"
        self.provider: str = session.get_providers()[0]
        self.widens_half = self.provider == PROVIDER_NAMES["cpu"]
        self.properties: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        """Metadata of the file."""
        first = session.get_inputs()[0].shape[0]
        self.largest_batch: int | None = first if isinstance(first, int) else None
        self._scaling = _scaling_of(session.get_inputs()[0].name, self.properties)

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 pixels [n, size, size, 3] RGB → float32 logits [n, classes]; scales them if the file wants that.

        Raises: RuntimeUnavailableError if ONNX Runtime fails, as for want of memory.
        """
        with _failures_of(self.provider, len(pixels)):
            (logits,) = self._session.run(["logits"], self._feed(pixels))
        result: NDArray[np.float32] = logits
        return result

    def run_both(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As run, with the probabilities that the file itself makes of the logits, both float32 [n, classes].

        Raises: ArtifactError if the file gives no probabilities; RuntimeUnavailableError as run does.
        """
        if "probabilities" not in [output.name for output in self._session.get_outputs()]:
            raise ArtifactError("the model file gives no probabilities", fix="gi-edge export again")
        with _failures_of(self.provider, len(pixels)):
            logits, probabilities = self._session.run(["logits", "probabilities"], self._feed(pixels))
        return logits, probabilities

    @cached_property
    def placements(self) -> tuple[Placement, ...]:
        """Where the nodes run; found out when it is asked for, by one more run where ONNX Runtime is older."""
        told = placements_of(self._session)
        if told is not None:
            return told
        entry = self._session.get_inputs()[0]
        shape = [size if isinstance(size, int) else 1 for size in entry.shape]
        dtype = np.uint8 if entry.name == PIXEL_INPUT else np.float32
        return profiled_placements(self._source.path, self._source.providers, {entry.name: np.zeros(shape, dtype)})

    def bind(self, pixels: NDArray[np.uint8]) -> Bound:
        """Copy a batch to where the graph computes. Raises: RuntimeUnavailableError, as run does."""
        with _failures_of(self.provider, len(pixels)):
            return _BoundBatch(self._session, self._feed(pixels))

    def _feed(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8] | NDArray[np.float32]]:
        if self._scaling is None:
            return {PIXEL_INPUT: pixels}
        return {FLOAT_INPUT: images_from_pixels(pixels, self._scaling)}


class _BoundBatch:
    """Input and logits in buffers that stay where they are, by ONNX Runtime's IO binding; implements Bound."""

    clock: Literal["host", "cuda events"] = "host"

    def __init__(self, session: ort.InferenceSession, feed: dict[str, Any]) -> None:
        self._session = session
        self._provider, self._count = session.get_providers()[0], len(next(iter(feed.values())))
        device = "cpu" if self._provider == PROVIDER_NAMES["cpu"] else "cuda"
        ((name, batch),) = feed.items()
        self._input = ort.OrtValue.ortvalue_from_numpy(batch, device, 0)
        classes = next(output.shape[1] for output in session.get_outputs() if output.name == "logits")
        self._logits = ort.OrtValue.ortvalue_from_shape_and_type([len(batch), classes], np.float32, device, 0)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(name, self._input)
        self._binding.bind_ortvalue_output("logits", self._logits)
        self._binding.synchronize_inputs()

    def run(self) -> float:
        """Compute once; the milliseconds of the host's clock."""
        with _failures_of(self._provider, self._count):
            before = time.perf_counter_ns()
            self._session.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()
            return (time.perf_counter_ns() - before) / 1e6

    def logits(self) -> NDArray[np.float32]:
        """Return a copy of the answers of the last run."""
        return np.array(self._logits.numpy(), dtype=np.float32)

    def close(self) -> None:
        """Free the memory."""
        self._binding.clear_binding_inputs()
        self._binding.clear_binding_outputs()
        self._input = self._logits = None


@contextmanager
def _failures_of(provider: str, count: int) -> Iterator[None]:
    """Turn what ONNX Runtime raises in a run of so many frames into an error with a cure."""
    try:
        yield
    except Exception as error:
        own = [getattr(ort.capi.onnxruntime_pybind11_state, name) for name in _RUN_ERRORS]
        if not isinstance(error, (*own, RuntimeError, MemoryError)):
            raise
        said = (str(error).splitlines() or [type(error).__name__])[0]
        frames = "1 frame" if count == 1 else f"{count} frames"
        raise RuntimeUnavailableError(
            f"ONNX Runtime's {provider} did not compute {frames}: {said}",
            fix="fewer frames at once: --batch-size; or end other programs that hold memory, nvidia-smi shows those "
            "on a GPU",
        ) from error


def _scaling_of(input_name: str, properties: dict[str, str]) -> PreprocessSpec | None:
    if input_name != FLOAT_INPUT:
        return None
    recorded = properties.get("gi_edge.preprocess")
    if recorded is None:
        raise ArtifactError(
            "the model file takes scaled images and does not say how to scale them", fix="gi-edge export again"
        )
    return value_from_mapping(PreprocessSpec, json.loads(recorded), source="the model file's gi_edge.preprocess")


def open_session(
    path: Path, provider: Literal["auto"] | Provider = "auto", threads: int | None = None
) -> OnnxRuntimeSession:
    """Load a model file. auto takes CUDA where the driver sees a device, else the CPU. threads: of the CPU.

    The TensorRT provider builds its engine in the first run, and again for a batch size beyond those it has seen. It
    follows the types of the graph, but may multiply fp32 in TF32: the environment variable NVIDIA_TF32_OVERRIDE=0
    forbids that.

    Raises: ConfigError for more threads than this machine has logical CPUs; RuntimeUnavailableError if the provider
    asked for is not the one that took the graph, or lacks its operators, or took none of its nodes, where this version
    tells; ArtifactError if the file is no model that ONNX Runtime loads.
    """
    _check_threads(threads)
    if provider == "auto":
        provider = "cuda" if has_cuda_device() else "cpu"
    providers = _providers(provider)
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors; the fallback warning becomes the error below
    record_placements(options)
    if threads is not None:
        options.intra_op_num_threads = threads
    name = PROVIDER_NAMES[provider]
    try:
        # without enable_fallback=0 a failed run is repeated on the CPU
        session = ort.InferenceSession(path, options, providers=providers, enable_fallback=0)
    except ort.capi.onnxruntime_pybind11_state.NotImplemented as error:
        raise RuntimeUnavailableError(
            f"ONNX Runtime's {name} cannot compute {path.name}: {str(error).splitlines()[0].partition(' : ')[2]}",
            fix="take another precision: --precision fp32 (bfloat16 models are for TensorRT)",
        ) from error
    except Exception as error:  # ONNX Runtime raises its own classes without a common base
        fault = provider_fault(provider)
        if fault:
            raise _no_provider(name, fault) from error
        raise ArtifactError(
            f"ONNX Runtime cannot load {path}: {str(error).splitlines()[0]}", fix="export it again: gi-edge export"
        ) from error
    taken = session.get_providers()[0]
    if taken != name:
        fault = provider_fault(provider)
        raise _no_provider(name, f"ONNX Runtime fell back to {taken}{': ' + fault if fault else ''}")
    if provider != "cpu":  # older versions tell by a run only, which is left to who asks for placements
        check_placements(provider, placements_of(session) or ())
    return OnnxRuntimeSession(session, _Source(path, providers))


def _check_threads(threads: int | None) -> None:
    """ONNX Runtime starts as many as it is told, each with its memory, and hears no Ctrl-C meanwhile."""
    most = os.cpu_count() or 1
    if threads is not None and threads > most:
        raise ConfigError(
            f"{threads} threads were asked for, and this machine has {most} logical CPU{'s' * (most != 1)}",
            fix=f"--threads {most}, or fewer",
        )


def check_placements(provider: Provider, placements: tuple[Placement, ...]) -> None:
    """Hold a provider to what it was asked for: one that takes no node is named first by its session all the same.

    placements: where the nodes went; none if that is not known.

    Raises: RuntimeUnavailableError if nodes went elsewhere only.
    """
    name, taken = PROVIDER_NAMES[provider], [place.provider for place in placements]
    if taken and name not in taken:
        raise _no_provider(name, f"it took no node of the graph: all went to {' and '.join(taken)}")


def _providers(provider: Provider) -> list[Any]:
    """Return what to ask ONNX Runtime for. Raises: RuntimeUnavailableError if this machine cannot have it."""
    name = PROVIDER_NAMES[provider]
    if name not in ort.get_available_providers():
        raise RuntimeUnavailableError(
            f"this ONNX Runtime has no {name}, only {', '.join(ort.get_available_providers())}",
            fix=_OTHER_PROVIDER if platform.machine() == "x86_64" else _OTHER_RUNTIME,
        )
    if provider == "cpu":
        return [name]
    if not has_cuda_device():
        raise _no_provider(name, "the NVIDIA driver shows no GPU")
    load_cuda_libraries()
    cuda = (PROVIDER_NAMES["cuda"], _CUDA_OPTIONS)
    return [cuda] if provider == "cuda" else [name, cuda]


def _no_provider(name: str, found: str) -> RuntimeUnavailableError:
    return RuntimeUnavailableError(
        f"{name} was asked for, but {found}", fix="gi-edge doctor says what is wrong; or --provider cpu"
    )
