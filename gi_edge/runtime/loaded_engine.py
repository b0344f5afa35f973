"""A plan in the memory of the GPU, and what its tensors are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gi_edge.errors import ArtifactError, RuntimeUnavailableError
from gi_edge.runtime.session import FLOAT_INPUT, PIXEL_INPUT
from gi_edge.runtime.tensorrt import Log, Toolkit, log_of

LOGITS = "logits"
_TYPES: dict[str, np.dtype[Any]] = {"FLOAT": np.dtype(np.float32), "UINT8": np.dtype(np.uint8)}


@dataclass
class Deserialised:
    """What the runtime made of a plan. It frees memory of the GPU when it goes, so that it may be held by nothing but
    this, and closed while the context lives."""

    log: Log
    runtime: Any
    engine: Any = None

    def close(self) -> None:
        """Let go of the engine, then of the runtime that made it; a second time does nothing."""
        self.engine = None
        self.runtime = None


@dataclass(frozen=True)
class EngineTensor:
    """An input or output of an engine."""

    name: str
    is_input: bool
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    """Without the batch."""

    def nbytes(self, count: int) -> int:
        """Bytes of so many rows."""
        return count * math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class LoadedEngine:
    """A deserialised engine of ours and its tensors."""

    made: Deserialised
    input: EngineTensor
    outputs: tuple[EngineTensor, ...]
    smallest: int
    largest: int
    """Batch sizes of its profile."""

    @property
    def classes(self) -> int:
        """Length of a row of logits."""
        return next(tensor.shape[0] for tensor in self.outputs if tensor.name == LOGITS)


def deserialised(toolkit: Toolkit, content: bytes, build_command: str) -> Deserialised:
    """Load a plan, with no code for the host allowed in it. build_command: what builds it; errors name it.

    Raises: RuntimeUnavailableError with what the runtime said.
    """
    log = log_of(toolkit)
    made = Deserialised(log, toolkit.trt.Runtime(log))
    made.runtime.engine_host_code_allowed = False
    made.engine = made.runtime.deserialize_cuda_engine(content)
    if made.engine is None:
        made.close()
        raise RuntimeUnavailableError(
            f"{toolkit.text} does not load the engine: {'; '.join(log.errors) or 'it did not say why'}",
            fix=f"{build_command} --force",
        )
    return made


def loaded_engine(toolkit: Toolkit, made: Deserialised, build_command: str) -> LoadedEngine:
    """Ask an engine for its tensors. Raises: ArtifactError if it is none of ours."""
    names = [made.engine.get_tensor_name(index) for index in range(made.engine.num_io_tensors)]
    tensors = [_tensor(toolkit, made, name) for name in names]
    inputs = [tensor for tensor in tensors if tensor.is_input]
    outputs = tuple(tensor for tensor in tensors if not tensor.is_input)
    if [tensor.name for tensor in inputs] not in ([PIXEL_INPUT], [FLOAT_INPUT]) or LOGITS not in names:
        raise ArtifactError(
            f"the engine has the tensors {', '.join(names)}, not {PIXEL_INPUT} or {FLOAT_INPUT} and {LOGITS}",
            fix=f"{build_command} --force",
        )
    smallest, _, largest = made.engine.get_tensor_profile_shape(inputs[0].name, 0)
    return LoadedEngine(made, inputs[0], outputs, int(smallest[0]), int(largest[0]))


def _tensor(toolkit: Toolkit, made: Deserialised, name: str) -> EngineTensor:
    is_input = made.engine.get_tensor_mode(name) == toolkit.trt.TensorIOMode.INPUT
    dtype = _dtype_from_engine(name, made.engine.get_tensor_dtype(name).name)
    return EngineTensor(name, is_input, dtype, tuple(int(size) for size in made.engine.get_tensor_shape(name))[1:])


def _dtype_from_engine(name: str, dtype: str) -> np.dtype[Any]:
    """Return the numpy type of an engine's tensor. Raises: ArtifactError for one that no bundle of ours has."""
    if dtype not in _TYPES:
        raise ArtifactError(
            f"the engine's tensor '{name}' is {dtype}, neither uint8 nor float32",
            fix="gi-edge export again, then gi-edge engine BUNDLE --force",
        )
    return _TYPES[dtype]
