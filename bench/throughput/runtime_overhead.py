"""Time OnnxRuntimeSession.run beside a bare InferenceSession.run: ``python bench/throughput/runtime_overhead.py``.

One model file in one session, batch 1, the same pixels: two sessions would have two pools of threads, which spin for a
while after each run and slow the other's. In each round all run once, in random order, so that a busy machine slows
all; the ratio is the median over rounds of ours / bare, its interval a bootstrap of the rounds. The bound loop, whose
buffers stay where they are, runs beside them. Without --model a ConvNeXt-V2 Tiny with random weights is exported: the
time does not depend on the weights. No part of the package.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from gi_edge.artifacts.manifest import package_versions
from gi_edge.runtime.onnxruntime import open_session
from gi_edge.runtime.session import PIXEL_INPUT

LIMIT = 1.03


def exported(name: str, folder: Path) -> Path:
    """Export a model with random weights as export does."""
    import timm
    import torch

    from gi_edge.data.preprocess import PreprocessSpec
    from gi_edge_export.deploy import deployed_from_model
    from gi_edge_export.onnx import write_onnx

    torch.manual_seed(0)
    spec = PreprocessSpec(size_px=224)
    model = timm.create_model(name, num_classes=14).eval()
    path = folder / f"{name}.onnx"
    write_onnx(path, deployed_from_model(model, spec), spec, {})
    return path


def rounds_ns(runs: dict[str, Callable[[], Any]], seconds: float, warmups: int = 5) -> dict[str, np.ndarray]:
    """Run all of them in turns until the time is up; nanoseconds [rounds] of each."""
    for run in runs.values():
        for _ in range(warmups):
            run()
    found: dict[str, list[int]] = {name: [] for name in runs}
    random = np.random.default_rng(0)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name in random.permutation(list(runs)):
            before = time.perf_counter_ns()
            runs[name]()
            found[name].append(time.perf_counter_ns() - before)
    return {name: np.array(samples) for name, samples in found.items()}


def ratio_of(ours: np.ndarray, bare: np.ndarray) -> dict[str, float]:
    """Median over rounds of ours / bare, with a 95 % interval by bootstrap."""
    ratios = ours / bare
    drawn = np.random.default_rng(0).integers(0, len(ratios), (2000, len(ratios)))
    low, high = np.quantile(np.median(ratios[drawn], axis=1), (0.025, 0.975))
    return {"median": float(np.median(ratios)), "low": float(low), "high": float(high)}


def measured(path: Path, threads: int, seconds: float) -> dict[str, Any]:
    """Time the loops on one file."""
    ours = open_session(path, "cpu", threads)
    bare: ort.InferenceSession = ours._session
    size = bare.get_inputs()[0].shape[1]
    pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    bound = ours.bind(pixels)
    runs = {
        "bare": lambda: bare.run(["logits"], {PIXEL_INPUT: pixels}),
        "ours": lambda: ours.run(pixels),
        "bound": bound.run,
    }
    if not np.array_equal(runs["bare"]()[0], runs["ours"]()):
        raise SystemExit("the loops give different logits")
    samples = rounds_ns(runs, seconds)
    bound.close()
    return {
        "model": path.name,
        "size_px": size,
        "batch": 1,
        "threads": threads,
        "rounds": len(samples["bare"]),
        "median_ms": {name: float(np.median(values)) / 1e6 for name, values in samples.items()},
        "ours_over_bare": ratio_of(samples["ours"], samples["bare"]),
        "bound_over_bare": ratio_of(samples["bound"], samples["bare"]),
    }


def main() -> None:
    """Measure, print, and write JSON where asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="an ONNX file of a bundle; a random Tiny unless given")
    parser.add_argument("--name", default="convnextv2_tiny", help="timm's name of the random model")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.model or exported(given.name, Path(folder))
        found = measured(path, given.threads, given.seconds)
    found["packages"] = package_versions(("onnxruntime-gpu", "onnxruntime", "numpy"))
    text = json.dumps(found, indent=2)
    print(text)  # noqa: T201
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")
    if found["ours_over_bare"]["low"] > LIMIT:
        sys.exit(f"run costs more than {LIMIT - 1:.0%} over a bare loop")


if __name__ == "__main__":
    main()
