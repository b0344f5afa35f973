"""A made-up bench result with everything in it: two bundles, four precisions, every scenario, a GPU, flipped frames."""

from __future__ import annotations

import base64
import io

import numpy as np
from bench_results import bundle, model, parity, result, scores, speed
from PIL import Image

from gi_edge.artifacts.environment import Environment, Gpu, GpuState, Mark
from gi_edge.artifacts.results import BenchResult, BundleRun, Comparison, FlippedFrame, ModelRun, NodePlacement
from gi_edge.artifacts.speed import CrossCheck, Deadlines, Energy, IdleGap, SpeedRun, Startup, WarmUp
from gi_edge.metrics.parity import Precision
from gi_edge.metrics.verdict import Check

LONG = tuple(
    f"{site} of the {part}"
    for part in ("stomach", "small bowel", "large bowel")
    for site in (
        "Normal mucosa and vascular pattern",
        "Ulcer <3 mm & flat",
        "Polyps",
        "Erosion",
        "Angiectasia",
        "Fresh blood",
        "Mucosal inflammation",
        "Diverticula",
        "Resection margins",
    )
)
SHORT = ("No bleeding", "Bleeding")
MEDIANS: dict[Precision, float] = {"fp32": 31.2, "fp16": 11.4, "bf16": 12.9, "int8": 8.3}
FLIPS: dict[Precision, int] = {"fp32": 0, "fp16": 3, "bf16": 9, "int8": 41}
RATES = (25.0, 30.0, 60.0)
GPU_STATE = GpuState(
    sm_clock_mhz=1410,
    memory_clock_mhz=1593,
    temperature_c=61,
    power_watts=188.4,
    throttle_reasons=(),
    other_processes=0,
)


def picture(seed: int, side: int = 96) -> str:
    """Return a reddish blob as a JPEG in base64."""
    rows, columns = np.mgrid[0:side, 0:side]
    centre = np.random.default_rng(seed).uniform(20, side - 20, 2)
    near = np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / 300)
    pixels = np.stack([150 + 90 * near, 70 + 60 * near, 60 + 20 * near], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, format="JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()


def flipped(count: int, names: tuple[str, ...]) -> tuple[FlippedFrame, ...]:
    return tuple(
        FlippedFrame(
            frame=f"{names[number % len(names)]}/0d59b1f4c2e7a6b8_{1000 + number}.jpg",
            label=names[number % len(names)],
            reference=names[number % len(names)],
            engine=names[(number + 1) % len(names)],
            reference_probability=0.62 - 0.005 * number,
            engine_probability=0.58 - 0.005 * number,
            picture=None if number == 2 else picture(number),
        )
        for number in range(count)
    )


def every_speed(precision: Precision) -> tuple[SpeedRun, ...]:
    median = MEDIANS[precision]
    steady = speed(1, 900, median, 0.02).model_copy(
        update={
            "energy": Energy(method="energy counter", millijoules_per_frame=9.2 * median, mean_watts=141.0, seconds=9.0)
        }
    )
    return (
        steady,
        speed(1, 900, 0.82 * median, 0.004, 1, region="device").model_copy(update={"clock": "cuda events"}),
        speed(1, 200, median + 14.5, 0.11, 2, region="file"),
        *(speed(size, 90, median * size * (0.4 + 0.6 / size), 0.02, size) for size in (4, 16, 64)),
        *(_paced(precision, rate) for rate in RATES),
        speed(1, 700, 1.7 * median, 0.09, 4, scenario="multi-stream").model_copy(
            update={"streams": 2, "images_per_second": 1170 / median}
        ),
    )


def _paced(precision: Precision, rate: float) -> SpeedRun:
    median, frames = MEDIANS[precision], int(rate * 20)
    run = speed(1, frames, median * 1.02, 0.06, int(rate), scenario="paced")
    interval = 1000 / rate
    missed = min(frames - 10, int(frames * max(0.0, 1.1 * median / interval - 0.9)))
    late = Deadlines(frame_rate=rate, deadline_ms=interval, frames=frames, missed=missed)
    return run.model_copy(update={"deadlines": late, "images_per_second": rate * (frames - missed) / frames})


def score_checks(names: tuple[str, ...], n: int) -> tuple[Check, ...]:
    shared = {"low": -0.0041, "high": 0.0012, "bound": 0.0038, "outcome": "pass", "needed": True}
    return (
        Check(name="macro_f1", n=n, value=-0.0009, limit=0.005, **shared),
        *(
            Check(name="sensitivity", label=name, n=n // (number + 2), value=-0.001 * number, limit=0.01, **shared)
            for number, name in enumerate(names[:6])
        ),
        Check(name="ece", n=n, value=0.0004, low=-0.001, high=0.002, bound=0.0018, outcome="told", needed=False),
    )


def every_model(precision: Precision, names: tuple[str, ...]) -> ModelRun:
    median, flips = MEDIANS[precision], FLIPS[precision]
    found = parity(1586, flips, 3.1e-6 if precision == "fp32" else 0.04)
    checks = () if precision == "fp32" else score_checks(names, 1586)
    base = model(precision, names=names, measured=found, speeds=every_speed(precision), checks=checks)
    assert base.parity is not None
    answered = base.parity.model_copy(
        update={
            "engine": scores(names, 1586, changed=flips),
            "flipped": flipped(min(flips, 12), names),
        }
    )
    return base.model_copy(
        update={
            "provider": "CUDAExecutionProvider",
            "parity": answered,
            "placements": (
                NodePlacement(provider="CUDAExecutionProvider", nodes=311, operators=("Conv", "Gelu", "MatMul")),
                NodePlacement(provider="CPUExecutionProvider", nodes=4, operators=("Gather", "Shape")),
            )
            if precision == "int8"
            else (),
            "startup": Startup(
                load_ms=412.7,
                first_inference_ms=61.3 + median,
                peak_memory_bytes=1_734_003_200,
                gpu_memory_bytes=891_289_600,
            ),
            "idle_gap": IdleGap(gap_ms=200.0, count=100, p50_ms=1.24 * median, back_to_back_p50_ms=median),
            "comparisons": _comparisons(precision),
            "cross_checks": (
                CrossCheck(
                    tool="trtexec 10.3",
                    command="trtexec --loadEngine=engines/sm80-tensorrt-10.3/model-fp16.plan --shapes=x:1x224x224x3",
                    batch_size=1,
                    statistic="median latency, computing alone",
                    their_ms=0.79 * median,
                    our_ms=0.82 * median,
                ),
            )
            if precision == "fp16"
            else (),
        }
    )


def _comparisons(precision: Precision) -> tuple[Comparison, ...]:
    probes = Comparison(
        against="reference on probe images",
        frames="probes",
        parity=parity(16, 0, 0.02),
        is_alike=True,
    )
    other = Comparison(
        against="onnxruntime 1.23.2, CPUExecutionProvider",
        frames="dataset",
        parity=parity(1586, 2, 0.031),
        is_alike=precision != "int8",
        reasons=("2 of 1586 frames changed their class away from a tie",) if precision == "int8" else (),
    )
    return (probes, other) if precision in {"fp16", "int8"} else (probes,)


def large_bundle(name: str, names: tuple[str, ...]) -> BundleRun:
    return bundle(*(every_model(precision, names) for precision in MEDIANS), name=name, names=names)


def large_result() -> BenchResult:
    """Return a result whose int8 files fail, measured on a GPU that was throttled."""
    hot = GPU_STATE.model_copy(
        update={
            "sm_clock_mhz": 1155,
            "temperature_c": 84,
            "throttle_reasons": ("SW thermal slowdown",),
            "other_processes": 1,
        }
    )
    unsteady = WarmUp(count=400, seconds=10.0, is_steady=False)
    bundles = tuple(
        large_bundle(name, names) for name, names in {"gastrovision-27": LONG, "wce-bleeding": SHORT}.items()
    )
    first = bundles[0].models[0]
    slow = first.speeds[0].model_copy(update={"warm_up": unsteady})
    models = (first.model_copy(update={"speeds": (slow, *first.speeds[1:])}), *bundles[0].models[1:])
    made = result(bundles[0].model_copy(update={"models": models}), bundles[1])
    environment = Environment(
        platform="Linux-6.1.0-x86_64-with-glibc2.36",
        cpu="Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
        architecture="x86_64",
        logical_cpus=16,
        memory_bytes=128 * 2**30,
        cpu_governor="performance",
        load_before=3.1,
        load_after=4.7,
        gpus=(
            Gpu(
                name="NVIDIA A100 80GB PCIe",
                compute_capability="8.0",
                driver="570.86.15",
                cuda="12.8",
                memory_bytes=80 * 2**30,
                max_sm_clock_mhz=1410,
                power_limit_watts=300.0,
                before=GPU_STATE,
                after=hot,
            ),
        ),
        container="docker",
        python="3.11.7",
        packages={"numpy": "2.4.6", "onnxruntime-gpu": "1.23.2", "pillow": "12.0.0"},
        providers=("CUDAExecutionProvider", "CPUExecutionProvider"),
        thread_variables={"OMP_NUM_THREADS": "1"},
        git_revision="4edc50c+changes",
    )
    marks = (
        Mark(
            kind="throttled", text="The GPU slowed its clocks during the runs: SW thermal slowdown, 1,155 of 1,410 MHz."
        ),
        Mark(kind="shared gpu", text="1 other process was on the GPU after the runs."),
        Mark(kind="busy cpu", text="The CPUs were busy before the runs: load 3.1 on 16 CPUs."),
    )
    return made.model_copy(update={"environment": environment, "marks": marks})
