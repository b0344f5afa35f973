"""What the suite writes: one JSON, rows in it, each measured or with the reason why it was not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from gi_edge.artifacts.environment import Environment, Mark
from gi_edge.artifacts.speed import Energy
from gi_edge.config import Value
from gi_edge.files import write_atomic
from gi_edge.metrics.parity import Precision

RowRuntime = Literal["PyTorch eager", "torch.compile", "onnxruntime", "tensorrt", "tensorrt-rtx"]
Kind = Literal["fp32", "tf32", "fp16", "bf16", "int8"]
"""Types of matrix products: operands, with sums in fp32 (fp32, tf32, fp16, bf16) or int32 (int8)."""


class Ceiling(Value):
    """The most that this device was seen to do of one thing."""

    per_second: float | None
    """FLOP/s, integer operations/s, or bytes/s; None if it did not run."""
    how: str
    """What was run, with its size."""
    samples: int = 0
    reason: str | None = None
    """Why it did not run."""


class Ceilings(Value):
    """Matrix products per type, and copies within the device's memory."""

    device: str
    """Its name."""
    matrix: dict[Kind, Ceiling]
    memory: Ceiling
    """Copies: bytes read plus bytes written."""


class Work(Value):
    """What one image costs in a network, whatever runs it; see work.py."""

    flops_per_image: int
    weights: int
    """Numbers in the weights and biases of matrix layers and convolutions."""
    activations_per_image: int
    """Numbers that these layers read and write, besides weights."""


class Row(Value):
    """One model on one runtime, in one precision, at one batch size."""

    model: str
    runtime: RowRuntime
    network: Literal["timm", "deployed"] = "deployed"
    precision: Precision
    batch_size: int
    cuda_graph: bool = False
    """TensorRT: whether the launches were recorded once and replayed."""
    computed_by: str = ""
    """Version and place, such as "onnxruntime 1.31.1, CUDAExecutionProvider"; empty if it did not run."""
    multiplies_in: Kind | None = None
    """What its matrix products are computed in, where that is not the precision: ONNX Runtime's CPU provider widens."""
    region: str = ""
    """What one sample spans: device, or host with the copies to and from it."""
    clock: str = ""
    images_per_second: float | None = None
    """Answered images over the wall time of the timed part."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    """None below 662 samples."""
    samples: int = 0
    is_steady: bool | None = None
    """Whether the warm-up ended because times had settled."""
    energy: Energy | None = None
    """What the GPU drew during the timed part, an image of it each; None where NVML does not tell."""
    sm_clock_mhz: int | None = None
    """Of the GPU, by NVML, when the runs of the row's command had ended."""
    marks: tuple[Mark, ...] = ()
    """Why the times of the row's command are to be doubted."""
    flops_per_second: float | None = None
    share_of_matrix: float | None = None
    """Of the measured ceiling of the matrix products it computes."""
    bytes_per_second: float | None = None
    share_of_copy: float | None = None
    verdict: str | None = None
    """pass, fail or undecided, on the held-out frames."""
    flips: int | None = None
    frames: int | None = None
    """Held-out frames that were compared."""
    max_abs_error: float | None = None
    """Of any logit, against the trained model in fp32 on the CPU."""
    reason: str | None = None
    """Why it did not run; None if it did."""
    note: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What it is about; rows of several regions share one, and the row with a CUDA graph has that without."""
        return (self.model, self.runtime, self.network, self.precision, str(self.batch_size))


class Step(Value):
    """One command of the suite."""

    command: str
    seconds: float
    reason: str | None
    """Why it failed; None if it did not."""


class SuiteResult(Value):
    """One run of the suite."""

    schema_version: Literal[1] = 1
    kind: Literal["gpu-suite"] = "gpu-suite"
    created: str
    """UTC, ISO 8601."""
    settings: dict[str, Any]
    weights: str
    """What the weights are, hence what the scores are worth."""
    environment: Environment
    packages: dict[str, str]
    """Of PyTorch and the exporters."""
    ceilings: Ceilings | None
    work: dict[str, Work]
    """By model."""
    steps: tuple[Step, ...]
    rows: tuple[Row, ...]
    is_complete: bool
    """False in what an interrupted run left."""

    @property
    def device(self) -> str:
        """Name of the GPU, or of the CPU where there is none."""
        if self.ceilings is not None:
            return self.ceilings.device
        return self.environment.gpus[0].name if self.environment.gpus else self.environment.cpu


def write_suite(path: Path, result: SuiteResult) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, result.model_dump_json(indent=1) + "\n")


def file_name_of(device: str) -> str:
    """Return the name of a result file, such as gpu_suite_nvidia_h100_80gb_hbm3.json."""
    return f"gpu_suite_{re.sub(r'[^a-z0-9]+', '_', device.lower()).strip('_')}.json"
