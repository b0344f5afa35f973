"""PyTorch on the device: eager and compiled, each answer compared with the trained model's, then timed.

Run as ``python -m gpu_suite.torch_runs JOB``, it prints one row of JSON a line as soon as each is measured, so that
what an ended process has measured is not lost.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch._dynamo.utils import counters

from gi_edge.artifacts.adapter import read_adapter
from gi_edge.artifacts.environment import Mark
from gi_edge.artifacts.held_out import held_out_frames
from gi_edge.config import Value
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.errors import GiEdgeError
from gi_edge.metrics.gate import Answers, Origin, verdict_from_answers
from gi_edge.metrics.parity import Precision
from gi_edge.modeling.methods import load_trained
from gi_edge.modeling.pixels import PixelClassifier, logits_of
from gi_edge.progress import Silent
from gi_edge.runtime.nvml import SLOWING, NvmlGpu, nvml_gpu, state_from_nvml
from gi_edge_bench.energy import Meter
from gi_edge_export.deploy import DTYPES, deployed_from_model
from gi_edge_export.merge import merged_from_trained
from gpu_suite.ceilings import set_tf32
from gpu_suite.options import CompileMode, Network
from gpu_suite.timing import clock_of, time_call, timed_call
from gpu_suite.values import Row

Runtime = Literal["PyTorch eager", "torch.compile"]


class TorchJob(Value):
    """What one process measures."""

    model: str
    adapter: Path
    data: Path
    weights: Path
    runtime: Runtime
    mode: CompileMode
    device: Literal["cuda", "cpu"]
    seconds: float
    rows: tuple[tuple[Network, Precision, int], ...]
    """Network, precision and batch size of each row, in order."""


@dataclass(frozen=True)
class Subject:
    """A trained model, merged, and what it answered on the held-out frames in fp32 on the CPU before the merge."""

    merged: nn.Module
    spec: PreprocessSpec
    pixels: NDArray[np.uint8]
    """[n, size, size, 3]."""
    truth: NDArray[np.int64]
    logits: NDArray[np.float32]
    classes: tuple[str, ...]
    temperature: float


def subject_of(job: TorchJob) -> Subject:
    """Load and merge an adapter, decode its test part, answer it. Raises: GiEdgeError if something does not fit."""
    adapter = read_adapter(job.adapter)
    manifest = adapter.manifest
    held_out = held_out_frames(manifest, job.data, adapter.split.ids("test"), Silent())
    trained = load_trained(adapter, job.weights, Silent())
    return Subject(
        merged=merged_from_trained(trained),
        spec=manifest.preprocess,
        pixels=held_out.pixels,
        truth=np.array([frame.label for frame in held_out.frames], dtype=np.int64),
        logits=logits_of(PixelClassifier(trained, manifest.preprocess), held_out.pixels),
        classes=manifest.classes,
        temperature=manifest.temperature,
    )


def network_of(subject: Subject, network: Network, precision: Precision) -> nn.Module:
    """Return what is run: uint8 pixels in, fp32 logits out. Raises: GiEdgeError for a precision PyTorch has not."""
    if precision not in DTYPES:
        raise GiEdgeError(f"PyTorch runs no {precision} here: it is made of the ONNX file", fix="--precisions fp16")
    if network == "deployed":
        return deployed_from_model(subject.merged, subject.spec, precision)
    dtype = DTYPES[precision]
    model = PixelClassifier(subject.merged, subject.spec, dtype)
    model.model = model.model.to(dtype).to(memory_format=torch.channels_last)
    return model.eval()


def measured_row(
    job: TorchJob, subject: Subject, what: tuple[Network, Precision, int], gpu: NvmlGpu | None = None
) -> Row:
    """Measure one row; what the device refuses has its reason in the row. gpu: is watched meanwhile."""
    network, precision, batch_size = what
    bare = Row(
        model=job.model,
        runtime=job.runtime,
        network=network,
        precision=precision,
        batch_size=batch_size,
    )
    try:
        return _measured(job, subject, bare, gpu)
    except GiEdgeError as error:
        return bare.model_copy(update={"reason": error.message})
    except Exception as error:  # noqa: BLE001 - compilers and drivers raise of every class, and the suite goes on
        lines = [line for line in str(error).splitlines() if line.strip()]
        return bare.model_copy(update={"reason": f"{type(error).__name__}: {' '.join(lines[:2])}"[:300]})
    finally:
        torch.compiler.reset()
        if job.device == "cuda":
            torch.cuda.empty_cache()


def rows_from_output(out: str) -> list[Row]:
    """Return the rows that a process printed; a line cut off by its end is none."""
    lines = (line for line in out.splitlines(keepends=True) if line.startswith("{") and line.endswith("\n"))
    return [Row.model_validate_json(line) for line in lines]


def _measured(job: TorchJob, subject: Subject, bare: Row, gpu: NvmlGpu | None) -> Row:
    device, meter = torch.device(job.device), Meter(gpu)
    set_tf32(allowed=False)
    torch.backends.cudnn.benchmark = True
    # a copy each: the merged model is cast in place, and half precision has to start from fp32
    own = Subject(**{**vars(subject), "merged": merged_from_trained(subject.merged)})
    model = network_of(own, bare.network, bare.precision).to(device)
    if job.runtime == "torch.compile":
        counters.clear()
        model = torch.compile(model, mode=job.mode, dynamic=False, fullgraph=True)  # type: ignore[assignment]
    with torch.inference_mode():
        batches = [torch.from_numpy(batch).to(device) for batch in _batches(subject.pixels, bare.batch_size)]
        found = np.concatenate([model(batch).float().cpu().numpy() for batch in batches])[: len(subject.pixels)]
        batch = batches[0]
        once = timed_call(lambda: model(batch), device)
        timed = time_call(once, job.seconds, wants_p99=bare.batch_size == 1, meter=meter)
    judged = _judged(subject, found, bare)
    return judged.model_copy(
        update={
            "computed_by": f"PyTorch {torch.__version__}",
            "region": "device",
            "clock": clock_of(device),
            "images_per_second": timed.per_second(bare.batch_size),
            "p50_ms": timed.summary.p50_ms,
            "p99_ms": timed.summary.p99_ms,
            "samples": timed.summary.count,
            "is_steady": timed.is_steady,
            "energy": timed.reading.energy(timed.summary.count * bare.batch_size),
            **_seen(gpu, meter),
            "note": "TF32 off, cudnn.benchmark on" + (_compiled_note(job) if job.runtime == "torch.compile" else ""),
        }
    )


def _seen(gpu: NvmlGpu | None, meter: Meter) -> dict[str, object]:
    """Return the fields of a row on the GPU's clocks."""
    if gpu is None:
        return {}
    slowed = sorted(meter.reasons & SLOWING)
    text = f"The GPU lowered its clocks while it was timed: {', '.join(slowed)}."
    return {
        "sm_clock_mhz": state_from_nvml(gpu, computes=True).sm_clock_mhz,
        "marks": (Mark(kind="throttled", text=text),) if slowed else (),
    }


def _compiled_note(job: TorchJob) -> str:
    """Return the mode, and whether CUDA graphs that it promises were left out, which PyTorch tells nobody else."""
    skipped = counters["inductor"]["cudagraph_skips"]
    return f", mode {job.mode}" + (f", CUDA graphs skipped {skipped} times" if skipped else "")


def _batches(pixels: NDArray[np.uint8], batch_size: int) -> list[NDArray[np.uint8]]:
    """Cut all frames into batches of one size, the last filled up from the front."""
    count = -(-len(pixels) // batch_size)
    rows = np.arange(count * batch_size) % len(pixels)
    return [pixels[part] for part in np.split(rows, count)]


def _judged(subject: Subject, found: NDArray[np.float32], bare: Row) -> Row:
    """Return the row with its verdict; it is about these answers, and there is no file whose hash it could carry."""
    answers = Answers(subject.truth, subject.logits, found, subject.classes, None, subject.temperature)
    verdict = verdict_from_answers(bare.precision, answers, Origin("", bare.runtime, True))
    return bare.model_copy(
        update={
            "verdict": verdict.status,
            "flips": verdict.parity.flips,
            "frames": verdict.parity.n,
            "max_abs_error": verdict.parity.max_abs_error,
        }
    )


def main(job: TorchJob) -> None:
    """Measure and print every row. An error that meets all of them ends the process with its reason."""
    try:
        subject = subject_of(job)
    except GiEdgeError as error:
        sys.exit(f"error: {error.message}")
    with nvml_gpu() as gpu:
        for what in job.rows:
            row = measured_row(job, subject, what, gpu if job.device == "cuda" else None)
            sys.stdout.write(row.model_dump_json() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(TorchJob.model_validate_json(sys.argv[1]))
