"""What gi-edge bench prints for the GPU suite, with and without a GPU that NVML tells of."""

from __future__ import annotations

import numpy as np

from gi_edge.artifacts.environment import Gpu, GpuState, Mark
from gi_edge.artifacts.results import BenchResult, BundleRun, ModelRun, ParityPass
from gi_edge.artifacts.speed import Energy, SpeedRun, Startup, WarmUp
from gi_edge.metrics.classification import classification_from_labels
from gi_edge.metrics.gate import Answers, Origin, verdict_from_answers
from gi_edge.metrics.latency import latency_summary
from gi_edge_bench.environment import environment_now

ENERGY = Energy(method="energy counter", millijoules_per_frame=12.5, mean_watts=300.0, seconds=2.0)
BUSY = Mark(kind="throttled", text="The GPU lowered its clocks while it was timed: software power cap.")


def model_run(sizes, provider="CUDAExecutionProvider", precision="fp32"):
    truth = np.arange(12) % 3
    logits = np.eye(3, dtype=np.float32)[truth]
    scores = classification_from_labels(truth, truth, ("a", "b", "c"), 0)
    verdict = verdict_from_answers(
        precision, Answers(truth, logits, logits, ("a", "b", "c"), None), Origin("ab" * 32, "x", True)
    )
    samples = np.linspace(1, 2, 20)
    speeds = tuple(
        SpeedRun(
            scenario=scenario,
            region="host",
            batch_size=size,
            warm_up=WarmUp(count=3, seconds=1, is_steady=True),
            summary=latency_summary(samples),
            images_per_second=100.0 * size,
            samples_ms=tuple(samples),
        )
        for size in sizes
        for scenario in ("paced", "offline")
    )
    return ModelRun(
        precision=precision,
        file="model.onnx",
        sha256="ab" * 32,
        size_bytes=1,
        runtime="onnxruntime 1.0",
        provider=provider,
        export_verdict=verdict,
        parity=ParityPass(verdict=verdict, frames="dataset", engine=scores, reference=scores),
        startup=Startup(load_ms=1, first_inference_ms=1, peak_memory_bytes=None),
        speeds=speeds,
    )


def printed(sizes):
    """What gi-edge bench --json prints for these batch sizes."""
    bundle = BundleRun(
        name="tiny-bundle",
        manifest_sha256="ab" * 32,
        dataset="frames",
        dataset_licence="none",
        backbone="tiny",
        backbone_licence="none",
        classes=("a", "b", "c"),
        split_kind="group",
        split_caution="",
        size_px=32,
        models=(model_run(sizes),),
    )
    return BenchResult(
        created="2026-01-01T00:00:00+00:00",
        gi_edge_version="0",
        settings={},
        environment=environment_now(),
        bundles=(bundle,),
    ).model_dump_json()


def seen_on_a_gpu(sizes):
    """What gi-edge bench --json prints of a GPU that NVML tells of."""
    result = BenchResult.model_validate_json(printed(sizes))
    state = GpuState(
        sm_clock_mhz=1410,
        memory_clock_mhz=None,
        temperature_c=None,
        power_watts=None,
        throttle_reasons=(),
        other_processes=0,
    )
    gpu = Gpu(
        name="Fake",
        compute_capability=None,
        driver="1",
        cuda=None,
        memory_bytes=None,
        max_sm_clock_mhz=None,
        power_limit_watts=None,
        before=state,
        after=state.model_copy(update={"sm_clock_mhz": 1155}),
    )
    (bundle,) = result.bundles
    (model,) = bundle.models
    speeds = tuple(speed.model_copy(update={"energy": ENERGY}) for speed in model.speeds)
    bundle = bundle.model_copy(update={"models": (model.model_copy(update={"speeds": speeds}),)})
    environment = result.environment.model_copy(update={"gpus": (gpu,)})
    changes = {"bundles": (bundle,), "environment": environment, "marks": (BUSY,)}
    return result.model_copy(update=changes).model_dump_json()
