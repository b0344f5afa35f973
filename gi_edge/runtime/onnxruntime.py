"""ONNX Runtime sessions. A provider that falls back to another is an error, never a slower success."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from gi_edge.config import value_from_mapping
from gi_edge.data.preprocess import PreprocessSpec, images_from_pixels
from gi_edge.errors import ArtifactError, RuntimeUnavailableError
from gi_edge.runtime.session import FLOAT_INPUT, PIXEL_INPUT, Bound, Placement, Provider, has_cuda_device

_PROVIDER_NAMES: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class OnnxRuntimeSession:
    """An ONNX model in ONNX Runtime; implements Session. run may be called from several threads."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.runtime = f"onnxruntime {ort.__version__}"
        self.provider: str = session.get_providers()[0]
        self.widens_half = self.provider == _PROVIDER_NAMES["cpu"]
        self.properties: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        """Metadata of the file."""
        self._scaling = _scaling_of(session.get_inputs()[0].name, self.properties)

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 pixels [n, size, size, 3] RGB → float32 logits [n, classes]; scales them if the file wants that."""
        (logits,) = self._session.run(["logits"], self._feed(pixels))
        result: NDArray[np.float32] = logits
        return result

    def run_both(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As run, with the probabilities that the file itself makes of the logits, both float32 [n, classes].

        Raises: ArtifactError if the file gives no probabilities.
        """
        if "probabilities" not in [output.name for output in self._session.get_outputs()]:
            raise ArtifactError("the model file gives no probabilities", fix="gi-edge export again")
        logits, probabilities = self._session.run(["logits", "probabilities"], self._feed(pixels))
        return logits, probabilities

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Empty: one provider took the whole graph, as far as is asked here."""
        return ()

    def bind(self, pixels: NDArray[np.uint8]) -> Bound:
        """Copy a batch to where the graph computes."""
        return _BoundBatch(self._session, self._feed(pixels))

    def _feed(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8] | NDArray[np.float32]]:
        if self._scaling is None:
            return {PIXEL_INPUT: pixels}
        return {FLOAT_INPUT: images_from_pixels(pixels, self._scaling)}


class _BoundBatch:
    """Inputs bound by ONNX Runtime's IO binding; implements Bound."""

    clock: Literal["host", "cuda events"] = "host"

    def __init__(self, session: ort.InferenceSession, feed: dict[str, Any]) -> None:
        self._session = session
        device = "cpu" if session.get_providers()[0] == _PROVIDER_NAMES["cpu"] else "cuda"
        self._binding = session.io_binding()
        self._inputs = {name: ort.OrtValue.ortvalue_from_numpy(value, device, 0) for name, value in feed.items()}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        self._binding.bind_output("logits", device)

    def run(self) -> float:
        """Compute once; the milliseconds of the host's clock."""
        before = time.perf_counter_ns()
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        return (time.perf_counter_ns() - before) / 1e6

    def logits(self) -> NDArray[np.float32]:
        """Return a copy of the answers of the last run."""
        result: NDArray[np.float32] = self._binding.copy_outputs_to_cpu()[0]
        return result

    def close(self) -> None:
        """Free the memory."""
        self._binding.clear_binding_inputs()
        self._binding.clear_binding_outputs()
        self._inputs.clear()


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

    Raises: RuntimeUnavailableError if the provider asked for is not the one that took the graph, or lacks its
    operators; ArtifactError if the file is no model that ONNX Runtime loads.
    """
    if provider == "auto":
        provider = "cuda" if has_cuda_device() else "cpu"
    name = _PROVIDER_NAMES[provider]
    if name not in ort.get_available_providers():
        raise RuntimeUnavailableError(
            f"this ONNX Runtime has no {name}, only {', '.join(ort.get_available_providers())}",
            fix="pip install 'gi-edge[cuda]', or --provider cpu",
        )
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors; the fallback warning becomes the error below
    if threads is not None:
        options.intra_op_num_threads = threads
    # TF32 is ONNX Runtime's default on CUDA and would make "fp32" a 10-bit mantissa.
    wanted = [(name, {"use_tf32": "0"})] if provider == "cuda" else [name]
    try:
        session = ort.InferenceSession(path, options, providers=wanted)
    except ort.capi.onnxruntime_pybind11_state.NotImplemented as error:
        raise RuntimeUnavailableError(
            f"ONNX Runtime's {name} cannot compute {path.name}: {str(error).splitlines()[0].partition(' : ')[2]}",
            fix="take another precision: --precision fp32 (bfloat16 models are for TensorRT)",
        ) from error
    except Exception as error:  # ONNX Runtime raises its own classes without a common base
        raise ArtifactError(
            f"ONNX Runtime cannot load {path}: {str(error).splitlines()[0]}", fix="export it again: gi-edge export"
        ) from error
    if session.get_providers()[0] != name:
        raise RuntimeUnavailableError(
            f"{name} was asked for, but ONNX Runtime fell back to {session.get_providers()[0]}",
            fix="check the driver with nvidia-smi, or --provider cpu",
        )
    return OnnxRuntimeSession(session)
