"""The parts of the GPU suite: what is counted, timed and read, each by its values."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from networks import PIXELS, SPEC, convnext_of
from nvml_fake import FakeNvml
from suites import BUSY, ENERGY, model_run, printed, seen_on_a_gpu
from torch import nn

from gi_edge.modeling.pixels import PixelClassifier, logits_of
from gi_edge.runtime.nvml import NvmlGpu
from gi_edge_bench.energy import Meter
from gpu_suite.bench_runs import Target, bench_rows, bench_words, graph_rows, rows_from_run
from gpu_suite.ceilings import copy_ceiling, matrix_ceiling, measured_ceilings, set_tf32
from gpu_suite.commands import Done
from gpu_suite.options import Options
from gpu_suite.timing import is_settled, time_call, timed_call
from gpu_suite.torch_runs import Subject, TorchJob, measured_row, rows_from_output
from gpu_suite.values import Ceiling, Ceilings, Row, Work
from gpu_suite.work import bytes_per_image, rated, work_of_architecture, work_of_module

CPU = torch.device("cpu")
TARGET = Target("tiny", "tiny-bundle", "fp32", "onnxruntime")


@pytest.mark.parametrize(
    ("layer", "shape", "flops", "weights", "activations"),
    [
        (nn.Linear(8, 4), (1, 8), 2 * 8 * 4, 8 * 4 + 4, 8 + 4),
        (nn.Conv2d(3, 8, 4, stride=4), (1, 3, 32, 32), 2 * 64 * 8 * 48, 8 * 48 + 8, 3 * 1024 + 8 * 64),
        (nn.Conv2d(6, 6, 7, padding=3, groups=6), (1, 6, 10, 10), 2 * 600 * 49, 6 * 49 + 6, 600 + 600),
        (nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8)), (1, 8), 128, 72, 16),
    ],
)
def test_work_of_known_layers(layer, shape, flops, weights, activations):
    assert work_of_module(layer, torch.zeros(shape)) == Work(
        flops_per_image=flops, weights=weights, activations_per_image=activations
    )


def test_work_of_convnext_v2_tiny():
    """By its published shape (Woo et al. 2023): depths 3, 3, 9, 3 on 96, 192, 384, 768 channels at 56, 28, 14, 7."""
    stages = [(3, 96, 56**2), (3, 192, 28**2), (9, 384, 14**2), (3, 768, 7**2)]
    products = 56**2 * 96 * 48 + 768 * 5
    products += sum(depth * positions * (49 * width + 8 * width**2) for depth, width, positions in stages)
    products += sum(positions * 4 * (width // 2) * width for _, width, positions in stages[1:])
    assert work_of_architecture("convnextv2_tiny", 5, 224).flops_per_image == 2 * products


def test_bytes_and_shares():
    work = Work(flops_per_image=1000, weights=400, activations_per_image=50)
    assert bytes_per_image(work, "fp16", 4, 32) == 2 * (100 + 50) + 3 * 1024
    ceilings = Ceilings(
        device="one",
        matrix={kind: Ceiling(per_second=1e6 * n, how="") for n, kind in enumerate(("fp32", "fp16", "bf16"), 1)}
        | {"int8": Ceiling(per_second=None, how="", reason="none")},
        memory=Ceiling(per_second=1e7, how=""),
    )
    row = Row(model="one", runtime="onnxruntime", precision="fp16", batch_size=4, images_per_second=100)
    found = rated(row, work, ceilings, 32)
    assert (found.flops_per_second, found.share_of_matrix) == (1e5, 0.05)
    assert (found.bytes_per_second, found.share_of_copy) == (337200, pytest.approx(0.03372))
    widened = rated(row.model_copy(update={"multiplies_in": "fp32"}), work, ceilings, 32)
    assert widened.share_of_matrix == 0.1
    assert rated(row.model_copy(update={"precision": "int8"}), work, ceilings, 32).share_of_matrix is None
    assert rated(row, work, None, 32).share_of_copy is None
    unrun = Row(model="one", runtime="onnxruntime", precision="fp16", batch_size=4, reason="no")
    assert rated(unrun, work, ceilings, 32) == unrun


@pytest.mark.parametrize(
    ("times", "settled"),
    [([9, 8, 7, 6, 5, 4, 3, 2], False), ([9, 9, 9, 9, 1, 1, 1, 1], True), ([5, 5, 5, 5, 5, 5, 5.3, 5.3], False)],
)
def test_warm_up_ends_when_times_have_settled(times, settled):
    assert is_settled(times) is settled


@pytest.mark.parametrize(("wants_p99", "fewest"), [(True, 662), (False, 16)])
def test_samples_are_counted(wants_p99, fewest):
    timed = time_call(lambda: 2.0, 0.005, wants_p99=wants_p99)
    assert timed.summary.count >= fewest
    assert timed.summary.p50_ms == 2.0
    assert timed.is_steady
    if wants_p99:
        assert timed.summary.p99_ms == 2.0
    assert timed.per_second(8) == pytest.approx(8 * timed.summary.count / timed.seconds)


def test_the_host_clock_spans_the_call():
    assert timed_call(lambda: time.sleep(0.02), CPU)() >= 20


def test_ceilings_of_a_cpu(monkeypatch):
    monkeypatch.setattr("gpu_suite.ceilings.SIZES", {"cpu": (32, 64)})
    monkeypatch.setattr("gpu_suite.ceilings.COPY_BYTES", {"cpu": 2**20})
    found = measured_ceilings(CPU, 0.002)
    assert found.matrix["tf32"] == Ceiling(per_second=None, how="", reason="a CPU has no TF32")
    for kind in ("fp32", "fp16", "bf16"):
        ceiling = found.matrix[kind]
        assert ceiling.per_second > 0
        assert ceiling.samples >= 16
        assert ceiling.how.startswith("torch.mm of ")
    assert (found.matrix["int8"].per_second is None) == (found.matrix["int8"].reason is not None)
    assert found.memory.per_second > 1e7
    larger = matrix_ceiling("fp32", 128, CPU, 0.002)
    assert larger.how == "torch.mm of 128 x 128 x 128, median"
    assert copy_ceiling(CPU, 0.002).how == "copy of 1 MiB within the device's memory, read and written, median"


def test_tf32_is_set_by_the_interface_that_compilers_read():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        for allowed in (True, False):
            set_tf32(allowed=allowed)
            assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (allowed, allowed)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def subject_of_network():
    model = convnext_of("convnextv2_tiny")
    pixels = PIXELS[:4]
    logits = logits_of(PixelClassifier(model, SPEC), pixels)
    return Subject(model, SPEC, pixels, logits.argmax(axis=1), logits, ("a", "b", "c", "d"), 1.0)


def job_of(seconds=0.001):
    nowhere = Path("nowhere")
    return TorchJob(
        model="tiny",
        adapter=nowhere,
        data=nowhere,
        weights=nowhere,
        runtime="PyTorch eager",
        mode="default",
        device="cpu",
        seconds=seconds,
        rows=(),
    )


@pytest.mark.parametrize("network", ["timm", "deployed"])
@pytest.mark.parametrize(("precision", "least", "most"), [("fp32", 0, 1e-4), ("bf16", 1e-3, 0.1)])
def test_pytorch_answers_as_the_trained_model(network, precision, least, most):
    subject = subject_of_network()
    before = {name: tensor.clone() for name, tensor in subject.merged.state_dict().items()}
    row = measured_row(job_of(), subject, (network, precision, 3))
    assert row.reason is None
    assert (row.network, row.precision, row.batch_size, row.frames, row.flips) == (network, precision, 3, 4, 0)
    assert least <= row.max_abs_error / abs(subject.logits).max() <= most
    assert row.note == "TF32 off, cudnn.benchmark on"
    after = subject.merged.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_a_row_that_pytorch_refuses_has_its_reason(monkeypatch):
    subject = subject_of_network()
    assert measured_row(job_of(), subject, ("timm", "int8", 1)).reason.startswith("PyTorch runs no int8 here")

    def no_room(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr("gpu_suite.torch_runs.time_call", no_room)
    row = measured_row(job_of(), subject, ("timm", "fp32", 2))
    assert row.reason == "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"
    assert row.images_per_second is None


def test_lines_that_were_cut_off_are_no_rows():
    row = Row(model="tiny", runtime="PyTorch eager", precision="fp32", batch_size=1)
    line = row.model_dump_json()
    assert rows_from_output(f"noise\n{line}\n{line[:-5]}") == [row]


def test_rows_of_a_bench_result():
    (row,) = rows_from_run(TARGET, model_run([4, 8]), [8])
    assert (row.batch_size, row.images_per_second, row.samples, row.p99_ms) == (8, 800, 20, None)
    assert (row.verdict, row.flips, row.frames, row.max_abs_error) == ("pass", 0, 12, 0)
    assert row.computed_by == "onnxruntime 1.0, CUDAExecutionProvider"
    (widened,) = rows_from_run(TARGET, model_run([8], "CPUExecutionProvider", "fp16"), [8])
    assert widened.multiplies_in == "fp32"


@pytest.mark.parametrize(
    ("breaks_at", "calls", "reasons"),
    [
        (1024, [[1], [8, 256]], [None, None, None]),
        (256, [[1], [8, 256], [8], [256]], [None, None, "exit code 1: error: out of memory at 256"]),
        (1, [[1], [8, 256]], ["exit code 1: error: no provider"] * 3),
    ],
)
def test_a_batch_too_large_costs_only_its_own_row(breaks_at, calls, reasons):
    asked = []

    def call(words):
        sizes = [int(words[place + 1]) for place, word in enumerate(words) if word == "--batch-size"]
        sizes = sizes or [1]  # single frames are a scenario of their own, without a size
        assert (sizes == [1]) is ("single-stream" in words)
        asked.append(sizes)
        if max(sizes) >= breaks_at:
            text = "no provider" if breaks_at == 1 else f"out of memory at {max(sizes)}"
            return Done("gi-edge bench", 1, "", f"error: {text}", 1)
        return Done("gi-edge bench", 0, printed(sizes), "", 1)

    rows = bench_rows(TARGET, Options(device="cuda", batch_sizes=(256, 1, 8)), call, lambda: False)
    assert asked == calls
    assert [(row.batch_size, row.reason) for row in rows] == list(zip((1, 8, 256), reasons, strict=True))


def test_a_verdict_of_fail_keeps_its_times():
    rows = bench_rows(
        TARGET, Options(batch_sizes=(1,)), lambda _: Done("bench", 3, printed([1]), "error: unlike", 1), lambda: False
    )
    assert [(row.images_per_second, row.reason) for row in rows] == [(100, None)]


# --- energy, clocks, marks and CUDA graphs

ENGINE = Target("tiny", "tiny-bundle", "fp32", "tensorrt")


def test_rows_carry_energy_clock_and_marks():
    rows = bench_rows(
        TARGET, Options(batch_sizes=(1,)), lambda _: Done("bench", 0, seen_on_a_gpu([1]), "", 1), lambda: False
    )
    assert [(row.energy, row.sm_clock_mhz, row.marks) for row in rows] == [(ENERGY, 1155, (BUSY,))]
    (without,) = bench_rows(
        TARGET, Options(batch_sizes=(1,)), lambda _: Done("bench", 0, printed([1]), "", 1), lambda: False
    )
    assert (without.energy, without.sm_clock_mhz, without.marks) == (None, None, ())


def test_the_smallest_batch_that_ran_is_measured_with_a_cuda_graph_too():
    asked = []

    def call(words):
        asked.append(words)
        return Done("bench", 0, seen_on_a_gpu([8]), "", 1)

    shared = {"model": "tiny", "runtime": "tensorrt", "precision": "fp32"}
    measured = [
        Row(**shared, batch_size=1, reason="out of memory"),
        *(Row(**shared, batch_size=size, images_per_second=1.0) for size in (8, 32)),
    ]
    (row,) = graph_rows(ENGINE, Options(), call, measured)
    assert (row.cuda_graph, row.batch_size, row.energy, row.reason) == (True, 8, ENERGY, None)
    assert asked == [bench_words(ENGINE._replace(cuda_graph=True), Options(), [8])]
    assert "--cuda-graph" in asked[0]
    assert "--cuda-graph" not in bench_words(ENGINE, Options(), [8])
    (refused,) = graph_rows(ENGINE, Options(), lambda _: Done("bench", 1, "", "error: cannot be recorded", 1), measured)
    assert (refused.cuda_graph, refused.reason) == (True, "exit code 1: error: cannot be recorded")
    assert graph_rows(ENGINE, Options(), call, measured[:1]) == []


def watched_gpu(**facts):
    return NvmlGpu(FakeNvml(power=250_000, sm_clock=1200, **facts), "handle")


def test_the_gpu_is_watched_while_samples_are_taken():
    timed = time_call(lambda: time.sleep(0.001) or 2.0, 0.05, wants_p99=False, meter=Meter(watched_gpu()))
    energy = timed.reading.energy(timed.summary.count)
    assert (energy.method, energy.mean_watts) == ("sampled power", 250)
    assert timed.seconds <= energy.seconds < timed.seconds + 0.2
    assert energy.millijoules_per_frame == pytest.approx(250e3 * energy.seconds / timed.summary.count)
    assert time_call(lambda: 2.0, 0.005, wants_p99=False).reading.energy(1) is None


@pytest.mark.parametrize(("reasons", "marks"), [(0x4, (BUSY,)), (0x2, ()), (0, ())])
def test_rows_of_pytorch_tell_energy_and_clock_and_what_slowed_the_gpu(reasons, marks):
    row = measured_row(job_of(0.01), subject_of_network(), ("timm", "fp32", 2), watched_gpu(reasons=reasons))
    assert (row.reason, row.sm_clock_mhz, row.marks) == (None, 1200, marks)
    assert row.energy.mean_watts == 250
    assert row.energy.millijoules_per_frame == pytest.approx(250e3 * row.energy.seconds / (2 * row.samples))
    unseen = measured_row(job_of(), subject_of_network(), ("timm", "fp32", 2))
    assert (unseen.energy, unseen.sm_clock_mhz, unseen.marks) == (None, None, ())
