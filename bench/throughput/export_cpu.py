"""Time exported graphs beside one another on the CPU: ``python bench/throughput/export_cpu.py --json FILE``.

timm's plain ``torch.onnx.export`` of the same weights against the deployed form, fp32 and int8, in ONNX Runtime and
OpenVINO. int8 is the dialect of ONNX Runtime with every matrix in int8, calibrated on random pixels.
In each round every graph runs once, so that a busy machine slows all of them; a ratio is the median over rounds of
plain time / time. The ceiling is the ratio that a graph of nothing but the plain one's matrix products would reach: all
kernel time of the plain graph in ONNX Runtime over that of its MatMul, Gemm and Conv nodes. The weights are random: the
time does not depend on them. No part of the package.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import openvino
import timm
import torch
from torch import nn

from gi_edge.artifacts.manifest import package_versions
from gi_edge.data.preprocess import PreprocessSpec, images_from_pixels
from gi_edge.progress import Silent
from gi_edge_bench.environment import environment_now
from gi_edge_export.config import OPSET
from gi_edge_export.deploy import deployed_from_model
from gi_edge_export.onnx import write_onnx
from gi_edge_export.quantize.graph import FORMS, activations_of, quantised_from_graph
from gi_edge_export.quantize.ranges import ranges_from_seen, seen_from_pixels

PLAIN = "plain"
MODELS = ("convnextv2_tiny", "convnextv2_atto")
BATCH_SIZES = (1, 8)
CLASSES = 14
MATRICES = ("MatMul", "Gemm", "FusedGemm", "FusedMatMul", "Conv", "FusedConv")
TOLERANCES = {PLAIN: 0.0, "fp32": 1e-3, "int8": 0.1}
"""Largest difference of any logit from the plain graph's, as a share of the largest."""
Run = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Pixels and the same frames scaled → logits; a graph takes which of them it was made for."""


@dataclass(frozen=True)
class Row:
    """Times of one graph in one runtime, per image."""

    model: str
    runtime: str
    graph: str
    batch: int
    threads: int
    samples: int
    min_ms: float
    median_ms: float
    ratio: float
    """Median over rounds of plain time / time."""
    ceiling: float | None = None
    """Of the plain graph in ONNX Runtime."""


def graphs_of(name: str, spec: PreprocessSpec, folder: Path) -> dict[str, Path]:
    """Write every graph of one model; a further form joins here."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=CLASSES).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim == 1 or ".grn." in key:
                parameter.normal_(0.3, 0.2)
    paths = {kind: folder / f"{name}.{kind}.onnx" for kind in TOLERANCES}
    export_plainly(model, spec, paths[PLAIN])
    write_onnx(paths["fp32"], deployed_from_model(model, spec), spec, {})
    write_int8(paths["fp32"], spec, paths["int8"])
    return paths


def write_int8(fp32: Path, spec: PreprocessSpec, path: Path) -> None:
    """Quantise every matrix of the deployed form; the ranges are those of four random frames."""
    graph, form = onnx.load(fp32), FORMS["onnxruntime"]
    pixels = np.random.default_rng(1).integers(0, 256, (4, spec.size_px, spec.size_px, 3), dtype=np.uint8)
    seen = seen_from_pixels(graph, activations_of(graph), pixels, spec, Silent())
    onnx.save(quantised_from_graph(graph, ranges_from_seen(graph, seen, "minmax", form), form), path)


def export_plainly(model: nn.Module, spec: PreprocessSpec, path: Path) -> None:
    """What anyone would do: timm's network as it stands, scaled float images in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (torch.zeros(2, 3, spec.size_px, spec.size_px),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            opset_version=OPSET,
            input_names=["images"],
            output_names=["logits"],
            verbose=False,
        )
    program.save(path)


def in_onnxruntime(path: Path, threads: int) -> Run:
    """Load a graph in ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels, images: session.run(["logits"], {name: pixels if name == "pixels" else images})[0]


def in_openvino(path: Path, threads: int) -> Run:
    """Load a graph in OpenVINO, in fp32: its default on some processors is bfloat16."""
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(path, "CPU", options).create_infer_request()
    is_pixels = request.model_inputs[0].any_name == "pixels"
    return lambda pixels, images: request.infer([pixels if is_pixels else images])["logits"].copy()


RUNTIMES = {"ONNX Runtime": in_onnxruntime, "OpenVINO": in_openvino}


def ceiling_of(path: Path, threads: int, images: np.ndarray, runs: int = 20) -> float:
    """Return all kernel time of a graph in ONNX Runtime over the kernel time of its matrix products."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_profiling = True
    options.profile_file_prefix = str(path.with_suffix(""))
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for _ in range(runs):
        session.run(["logits"], {session.get_inputs()[0].name: images})
    times: dict[bool, int] = {False: 0, True: 0}
    for event in json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")):
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"] in MATRICES] += event["dur"]
    return sum(times.values()) / times[True]


def time_interleaved(
    runs: dict[str, Run], feed: tuple[np.ndarray, np.ndarray], seconds: float
) -> dict[str, list[float]]:
    """Run every graph once a round until the time is up, at least five rounds; returns seconds per run."""
    times: dict[str, list[float]] = {kind: [] for kind in runs}
    for run in runs.values():
        for _ in range(2):
            run(*feed)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[PLAIN]) < 5:
        for kind, run in runs.items():
            start = time.perf_counter()
            run(*feed)
            times[kind].append(time.perf_counter() - start)
    return times


def measure(name: str, threads: int, seconds: float) -> list[Row]:
    """Time one model in every runtime at every batch size, after a check that all graphs answer alike."""
    spec = PreprocessSpec(size_px=224)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = graphs_of(name, spec, Path(folder))
        for runtime, load in RUNTIMES.items():
            runs = {kind: load(path, threads) for kind, path in paths.items()}
            for batch in BATCH_SIZES:
                pixels = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8)
                feed = (pixels, images_from_pixels(pixels, spec))
                expected = runs[PLAIN](*feed)
                for kind, run in runs.items():
                    error = np.abs(run(*feed) - expected).max() / np.abs(expected).max()
                    if error > TOLERANCES[kind]:
                        raise SystemExit(f"{name} {kind} in {runtime} does not answer as timm's: {error:.1e}")
                times = time_interleaved(runs, feed, seconds)
                plain = np.array(times[PLAIN])
                for kind, found in times.items():
                    each = np.array(found)
                    low, middle = (float(value) * 1e3 / batch for value in (each.min(), np.median(each)))
                    ratio = float(np.median(plain / each))
                    is_plain = kind == PLAIN and runtime == "ONNX Runtime"
                    ceiling = ceiling_of(paths[PLAIN], threads, feed[1]) if is_plain else None
                    rows.append(Row(name, runtime, kind, batch, threads, len(each), low, middle, ratio, ceiling))
    return rows


def main() -> None:
    """Measure, print a table, write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=20.0, help="per model, runtime and batch size")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [row for threads in given.threads for name in given.models for row in measure(name, threads, given.seconds)]
    titles = ("model", "runtime", "graph", "batch", "threads", "n", "min ms", "median", "× plain", "ceiling")
    sys.stdout.write("{:16} {:13} {:6} {:>5} {:>7} {:>5} {:>8} {:>8} {:>8} {:>8}\n".format(*titles))
    for row in rows:
        sys.stdout.write(
            f"{row.model:16} {row.runtime:13} {row.graph:6} {row.batch:5} {row.threads:7} {row.samples:5} "
            f"{row.min_ms:8.2f} {row.median_ms:8.2f} {row.ratio:8.2f} {row.ceiling or '':8.4}\n"
        )
    if given.json:
        report = {
            "command": " ".join(["python", "bench/throughput/export_cpu.py", *sys.argv[1:]]),
            "weights": "random",
            "load_average_1_min": os.getloadavg()[0],
            "environment": environment_now().model_dump(mode="json"),
            "packages": package_versions(("torch", "timm", "onnx", "onnxscript", "openvino")),
            "rows": [asdict(row) for row in rows],
        }
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
