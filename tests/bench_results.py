"""Bench results with realistic numbers, built from labels and logits by the metrics themselves."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.environment import Environment
from gi_edge.artifacts.results import BenchResult, BundleRun, ModelRun, ParityPass
from gi_edge.artifacts.speed import Region, Scenario, SpeedRun, Startup, WarmUp
from gi_edge.metrics.agreement import flip_rate_upper95
from gi_edge.metrics.classification import Classification, classification_from_labels
from gi_edge.metrics.gate import Origin, verdict_from_checks
from gi_edge.metrics.latency import latency_summary
from gi_edge.metrics.limits import limit_checks
from gi_edge.metrics.parity import Parity, Precision
from gi_edge.metrics.verdict import Check, Verdict

NAMES = ("Barrett's esophagus", "Ulcer <3 mm & flat", "Colon polyps")
GROUP_CAUTION = "Split by video: the test part holds 12 videos that training never saw."
FRAME_CAUTION = "Frame-level split: near-copies of training frames can be in the test part."
TORCH_HALF = "PyTorch on the CPU, half precision"


def answers(classes: int, n: int, accuracy: float, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return truth [n] with a long tail, class 0 the most frequent, and answers [n] of about that accuracy."""
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, classes + 1) ** 1.2
    truth = rng.choice(classes, n, p=weights / weights.sum())
    wrong = rng.choice(classes, n)
    return truth, np.where(rng.random(n) < accuracy, truth, wrong)


def scores(
    names: tuple[str, ...], n: int = 400, accuracy: float = 0.8, changed: int = 0, seed: int = 0
) -> Classification:
    """Score answers on n frames, the first `changed` of which answer the next class instead."""
    truth, answer = answers(len(names), n, accuracy, seed)
    answer[:changed] = (answer[:changed] + 1) % len(names)
    return classification_from_labels(truth, answer, names, majority=0)


def parity(n: int = 400, flips: int = 0, max_abs_error: float | None = 3.1e-6, nonfinite: int = 0) -> Parity:
    return Parity(
        n=n,
        flips=flips,
        flip_rate_upper95=flip_rate_upper95(flips, n),
        max_abs_error=max_abs_error,
        mean_abs_error=None if max_abs_error is None else max_abs_error / 7,
        max_probability_error=None if max_abs_error is None else min(max_abs_error / 9, 0.01),
        near_ties=None if max_abs_error is None else 2,
        expected_flip_rate=None if max_abs_error is None else 4.5e-4,
        nonfinite_frames=nonfinite,
    )


def verdict(
    precision: Precision, found: Parity, by: str, *, computes: bool = True, checks: tuple[Check, ...] = ()
) -> Verdict:
    """Draw a verdict from the numbers of a parity and further checks."""
    origin = Origin("ab" * 32, by, computes)
    return verdict_from_checks(precision, found, (*limit_checks(precision, found), *checks), origin)


def macro_check(n: int = 400) -> Check:
    """A macro-F1 that so few frames cannot decide, and a class that they cannot either."""
    return Check(
        name="macro_f1",
        n=n,
        value=-0.001,
        low=-0.003,
        high=0.0,
        bound=0.0142,
        limit=0.005,
        outcome="undecided",
        needed=True,
        frames_needed=1100,
        reason="too little data to decide on macro-F1: 1 of 400 frames changed",
    )


def speed(
    batch_size: int = 1,
    count: int = 700,
    median_ms: float = 24.0,
    tail: float = 0.01,
    seed: int = 0,
    *,
    scenario: Scenario | None = None,
    region: Region = "host",
) -> SpeedRun:
    """Time a made-up model: one frame after another at batch size 1, else batches, unless a scenario is named."""
    samples = median_ms * (1 + np.random.default_rng(seed).gamma(2.0, tail, count))
    return SpeedRun(
        scenario=scenario or ("single-stream" if batch_size == 1 else "offline"),
        region=region,
        batch_size=batch_size,
        warm_up=WarmUp(count=50, seconds=1.2, is_steady=True),
        summary=latency_summary(samples),
        images_per_second=batch_size * count / (samples.sum() / 1000),
        samples_ms=tuple(samples.round(4)),
    )


def model(
    precision: Precision = "fp32",
    *,
    names: tuple[str, ...] = NAMES,
    measured: Parity | None = None,
    proves_precision: bool = True,
    speeds: tuple[SpeedRun, ...] | None = None,
    is_speed_only: bool = False,
    checks: tuple[Check, ...] = (),
) -> ModelRun:
    """Return a run of one model file that passed its export; measured is what this run compared."""
    here = measured or parity()
    exported = parity(here.n, max_abs_error=3.1e-6 if precision == "fp32" else 0.021)
    by = "PyTorch on the CPU, single precision" if precision == "fp32" else TORCH_HALF
    passed = ParityPass(
        verdict=verdict(
            precision, here, "onnxruntime 1.23.2, CPUExecutionProvider", computes=proves_precision, checks=checks
        ),
        frames="dataset",
        engine=scores(names, here.n, changed=here.flips),
        reference=scores(names, here.n),
    )
    return ModelRun(
        precision=precision,
        file=f"model-{precision}.onnx",
        sha256=("ab" if precision == "fp32" else "cd") * 32,
        size_bytes=113_421_312 if precision == "fp32" else 57_012_224,
        runtime="onnxruntime 1.23.2",
        provider="CPUExecutionProvider",
        export_verdict=verdict(precision, exported, by, checks=checks),
        parity=None if is_speed_only else passed,
        startup=Startup(load_ms=412.7, first_inference_ms=61.3, peak_memory_bytes=734_003_200),
        speeds=(speed(),) if speeds is None else speeds,
    )


def bundle(
    *models: ModelRun,
    name: str = "gastrovision",
    names: tuple[str, ...] = NAMES,
    split_kind: Literal["group", "frame"] = "group",
    backbone_licence: str = "CC BY-NC 4.0",
) -> BundleRun:
    return BundleRun(
        name=name,
        manifest_sha256="ef" * 32,
        dataset="GastroVision",
        dataset_licence="CC BY 4.0",
        backbone="convnextv2_tiny.fcmae_ft_in22k_in1k",
        backbone_licence=backbone_licence,
        classes=names,
        split_kind=split_kind,
        split_caution=GROUP_CAUTION if split_kind == "group" else FRAME_CAUTION,
        size_px=224,
        models=models or (model(names=names),),
    )


def result(*bundles: BundleRun) -> BenchResult:
    return BenchResult(
        settings={"batch_sizes": [1, 8]},
        created="2026-03-04T05:06:07+00:00",
        gi_edge_version="0.1.0",
        environment=Environment(
            platform="Linux-6.1.0-x86_64-with-glibc2.36",
            cpu="Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
            logical_cpus=2,
            gpus=(),
            python="3.11.7",
            packages={"numpy": "2.4.6", "onnxruntime": "1.23.2"},
        ),
        bundles=bundles,
    )
