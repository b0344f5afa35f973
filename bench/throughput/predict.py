"""Time file-to-label prediction against its parts: ``python bench/throughput/predict.py BUNDLE --data FOLDER``.

In each round every plan runs once over the same files, so that a busy machine slows all of them: decoding alone on all
cores, inference alone on all cores with the pixels in memory, and the pipeline of gi_edge.runtime.classifier. Rates
are files per second; the share is the median over rounds of pipeline / the slower part, and so is the bound, what is
possible where both parts want all cores: 1 / (1/decode + 1/inference). "as predict" is what ``gi-edge predict`` does
with many images on a CPU; the other plans are what was tried beside it. No part of the package.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort

from gi_edge.artifacts.bundle import Bundle, read_bundle
from gi_edge.cli.predict_sources import sources_from_arguments
from gi_edge.data.pool import worker_count
from gi_edge.data.preprocess import PreprocessSpec, pixels_from_image, read_image
from gi_edge.runtime.classifier import Classifier
from gi_edge.runtime.onnxruntime import OnnxRuntimeSession
from gi_edge_bench.environment import environment_now

CORES = worker_count()


@dataclass(frozen=True)
class Plan:
    """How the cores are used."""

    name: str
    threads: int
    """Of one inference."""
    inferences: int
    """Batches at once."""
    batch_size: int
    spins: bool = True
    """Whether ONNX Runtime's threads turn round while they wait for work."""


PLANS = (
    Plan("as predict", 1, CORES, 1),
    Plan("batches of 4", 1, CORES, 4),
    Plan("batches of 8", 1, CORES, 8),
    Plan("all cores a batch, spinning", CORES, 1, 8),
    Plan("all cores a batch, no spinning", CORES, 1, 8, spins=False),
    Plan("two such batches, no spinning", CORES, 2, 4, spins=False),
)


@dataclass(frozen=True)
class Row:
    """One plan's rates, files per second: the medians over rounds."""

    plan: str
    rounds: int
    files: int
    decode: float
    inference: float
    pipeline: float
    share: float
    """Of the slower part."""
    bound: float
    """Of the slower part, at most, where both parts want the same cores."""
    share_of_best: float
    """Of the slower of decoding and the fastest plan's inference."""


def classifier_of(bundle: Bundle, plan: Plan) -> Classifier:
    """Open the fp32 model on the CPU as the plan says."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = plan.threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if plan.spins else "0")
    file = bundle.path / bundle.model("fp32").path
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return Classifier(bundle, OnnxRuntimeSession(session), plan.inferences)


def rate_of(work: Callable[[], object], files: int) -> float:
    """Return files per second of one run."""
    start = time.perf_counter()
    work()
    return files / (time.perf_counter() - start)


def decode(files: list[Path], spec: PreprocessSpec, pool: ThreadPoolExecutor) -> np.ndarray:
    """Decode all files; pixels [n, size, size, 3]."""
    return np.stack(list(pool.map(lambda path: pixels_from_image(read_image(path), spec), files)))


def infer(plan: Plan, classifier: Classifier, pixels: np.ndarray) -> None:
    """Compute all pixels [n, size, size, 3], batches at once as the plan says."""
    with ThreadPoolExecutor(plan.inferences) as pool:
        starts = range(0, len(pixels), plan.batch_size)
        list(pool.map(lambda start: classifier.session.run(pixels[start : start + plan.batch_size]), starts))


def predict(plan: Plan, classifier: Classifier, files: list[Path]) -> None:
    """Answer all files."""
    if not all(answer.label for answer in classifier.predict(files, plan.batch_size)):
        raise SystemExit("a file could not be read: name a folder of whole ones")


def measure(bundle: Bundle, files: list[Path], rounds: int) -> list[Row]:
    """Run every plan and both parts once a round."""
    spec, pool = bundle.manifest.preprocess, ThreadPoolExecutor(CORES)
    pixels = decode(files, spec, pool)
    runs: dict[str, Callable[[], object]] = {"decode": partial(decode, files, spec, pool)}
    for plan in PLANS:
        classifier = classifier_of(bundle, plan)
        infer(plan, classifier, pixels[: plan.batch_size * plan.inferences])
        runs[f"infer {plan.name}"] = partial(infer, plan, classifier, pixels)
        runs[f"pipe {plan.name}"] = partial(predict, plan, classifier, files)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        for name, work in runs.items():
            rates[name].append(rate_of(work, len(files)))
        sys.stderr.write(f"round {number + 1} of {rounds}\n")
    return rows_of({name: np.array(values) for name, values in rates.items()}, len(files))


def rows_of(rates: dict[str, np.ndarray], files: int) -> list[Row]:
    """Summarise [rounds] rates of each run."""
    decode = rates["decode"]
    fastest = max((np.median(rates[f"infer {plan.name}"]), plan.name) for plan in PLANS)[1]
    best = np.minimum(decode, rates[f"infer {fastest}"])
    rows = []
    for plan in PLANS:
        inference, pipeline = rates[f"infer {plan.name}"], rates[f"pipe {plan.name}"]
        slower = np.minimum(decode, inference)
        together = 1 / (1 / decode + 1 / inference)
        medians = [float(np.median(each)) for each in (decode, inference, pipeline)]
        shares = [float(np.median(each)) for each in (pipeline / slower, together / slower, pipeline / best)]
        rows.append(Row(plan.name, len(decode), files, *medians, *shares))
    return rows


def main() -> None:
    """Measure, print a table, write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of image files")
    parser.add_argument("--files", type=int, default=128, help="evenly from the folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    every = [source.path for source in sources_from_arguments([given.data]) if not source.is_video]
    files = [every[row * len(every) // given.files] for row in range(min(given.files, len(every)))]
    bundle = read_bundle(given.bundle)
    rows = measure(bundle, files, given.rounds)
    titles = ("plan", "rounds", "decode", "infer", "pipeline", "share", "bound", "of best")
    sys.stdout.write("{:31} {:>6} {:>8} {:>8} {:>8} {:>6} {:>6} {:>7}\n".format(*titles))
    for row in rows:
        sys.stdout.write(
            f"{row.plan:31} {row.rounds:6} {row.decode:8.1f} {row.inference:8.1f} {row.pipeline:8.1f} {row.share:6.2f} "
            f"{row.bound:6.2f} {row.share_of_best:7.2f}\n"
        )
    if given.json:
        report = {
            "command": " ".join(["python", "bench/throughput/predict.py", *sys.argv[1:]]),
            "backbone": bundle.manifest.backbone.architecture,
            "size_px": bundle.manifest.preprocess.size_px,
            "cores": CORES,
            "load_average_1_min": os.getloadavg()[0],
            "environment": environment_now().model_dump(mode="json"),
            "rows": [asdict(row) for row in rows],
        }
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
