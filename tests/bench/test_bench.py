"""The bench finds an engine that answers otherwise, and times what it says it times."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

import gi_edge_bench.run as bench_run
from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.results import read_result, write_result
from gi_edge.errors import DataError, RuntimeUnavailableError
from gi_edge.progress import Silent
from gi_edge.runtime.onnxruntime import open_session
from gi_edge_bench.config import BenchJob, BenchSettings, BenchTarget
from gi_edge_bench.parity import dataset_frames, parity_pass, reference_frames
from gi_edge_bench.run import run
from gi_edge_bench.timing import TIMED_REGION, time_session

QUICK = BenchSettings(minimum_seconds=0.05, minimum_count=5, warmup_seconds=0, batch_sizes=(1, 4), provider="cpu")


class Fake:
    """A session that answers as it is told."""

    runtime, provider, widens_half = "fake 1", "FakeProvider", False

    def __init__(self, answer, seconds=0.0):
        self.answer, self.seconds, self.batches = answer, seconds, []

    def run(self, pixels):
        self.batches.append(pixels)
        time.sleep(self.seconds)
        return self.answer(pixels)


def job(workspace, *, data=True):
    folder = workspace / "data" / "lesions" if data else None
    return BenchJob(settings=QUICK, targets=(BenchTarget(bundle=workspace / "bundles" / "lesions", data=folder),))


@pytest.fixture
def subject(workspace):
    """A bundle and its held-out frames."""
    bundle = read_bundle(workspace / "bundles" / "lesions")
    return bundle, dataset_frames(bundle, workspace / "data" / "lesions", Silent())


def test_a_sound_bundle_passes_and_the_result_survives_its_file(workspace, tmp_path):
    result = run(job(workspace), Silent())
    (bundle,) = result.bundles
    fp32, fp16 = bundle.models
    assert (fp32.parity.verdict.status, fp16.parity.verdict.status) == ("pass", "undecided")
    assert fp16.parity.verdict.reasons[0].startswith("too little data to decide on macro-F1: ")
    assert fp32.parity.verdict.file_sha256 == fp32.sha256
    assert fp32.parity.verdict.parity.flips == 0
    assert fp32.parity.verdict.parity.max_abs_error < 1e-4
    assert fp32.parity.verdict.computes_precision
    assert not fp16.parity.verdict.computes_precision  # ONNX Runtime's CPU provider widens halves
    assert fp32.parity.engine == fp32.parity.reference
    assert [latency.batch_size for latency in fp32.latencies] == [1, 4]
    assert result.settings["minimum_count"] == 5
    write_result(tmp_path / "r.json", result)
    assert read_result(tmp_path / "r.json") == result


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("channels swapped", lambda session: lambda pixels: session.run(np.ascontiguousarray(pixels[..., ::-1]))),
        ("labels swapped", lambda session: lambda pixels: session.run(pixels)[:, [1, 0, 2]]),
        ("upside down in value", lambda session: lambda pixels: session.run(255 - pixels)),
        ("slightly wrong scale", lambda session: lambda pixels: session.run(pixels) * np.float32(1.001)),
        (
            "NaN on some frames",
            lambda session: lambda pixels: session.run(pixels) + np.where(pixels[:, 32, 32, :1] > 100, np.nan, 0),
        ),
    ],
)
def test_an_engine_that_answers_otherwise_is_caught(subject, name, spoil):
    bundle, held_out = subject
    model = bundle.model("fp32")
    session = open_session(bundle.path / model.path, "cpu")
    spoiled = parity_pass(Fake(spoil(session)), bundle, model, held_out)
    assert spoiled.verdict.status == "fail", name
    assert parity_pass(session, bundle, model, held_out).verdict.status == "pass"


def test_altered_frames_are_not_compared(workspace, tmp_path, subject):
    bundle, reference = subject[0], subject[1].reference
    data = Path(shutil.copytree(workspace / "data" / "lesions", tmp_path / "lesions"))
    victim = data / reference.ids[0]
    victim.write_bytes((data / reference.ids[-1]).read_bytes())
    with pytest.raises(DataError, match="not the file that the reference was made from"):
        reference_frames(bundle, reference, data, Silent())
    victim.unlink()
    with pytest.raises(DataError, match="held-out frames are not in"):
        reference_frames(bundle, reference, data, Silent())
    victim.write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        reference_frames(bundle, reference, data, Silent())


def test_a_dataset_with_other_classes_is_refused(workspace, tmp_path, subject):
    bundle, reference = subject[0], subject[1].reference
    data = Path(shutil.copytree(workspace / "data" / "lesions", tmp_path / "lesions"))
    (data / "red lesion").rename(data / "purple lesion")
    with pytest.raises(DataError, match="has the classes .*purple lesion.*; 'red lesion' is not one of them"):
        reference_frames(bundle, reference, data, Silent())


def test_speed_only_proves_nothing_and_says_so(workspace):
    result = run(job(workspace, data=False), Silent())
    model = result.bundles[0].models[0]
    assert model.parity is None
    assert "random pixels" in model.latencies[0].timed_region


def test_samples_are_the_durations_of_single_batches(monkeypatch):
    pixels = np.arange(3 * 2 * 2 * 3, dtype=np.uint8).reshape(3, 2, 2, 3)
    session = Fake(lambda batch: np.zeros((len(batch), 2), np.float32), seconds=0.004)
    latency = time_session(session, pixels, 2, QUICK.model_copy(update={"minimum_count": 9}), TIMED_REGION)
    assert latency.summary.count == len(latency.samples_ms) >= 9
    assert min(latency.samples_ms) >= 4.0
    assert latency.warmup_count == 3
    assert latency.images_per_second <= 2 / 0.004
    assert {batch.shape for batch in session.batches} == {(2, 2, 2, 3)}
    assert len({batch.tobytes() for batch in session.batches}) > 1


def test_a_scenario_lasts_both_its_seconds_and_its_count():
    session = Fake(lambda batch: np.zeros((len(batch), 2), np.float32), seconds=0.001)
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    long = time_session(session, pixels, 1, QUICK.model_copy(update={"minimum_seconds": 0.2}), TIMED_REGION)
    assert sum(long.samples_ms) >= 190
    many = time_session(session, pixels, 1, QUICK.model_copy(update={"minimum_count": 80}), TIMED_REGION)
    assert many.summary.count >= 80
    assert many.summary.p90_ms is not None


def test_a_provider_that_is_not_there_is_an_error_never_a_slower_success(workspace, monkeypatch):
    """Without a GPU, ONNX Runtime would fall back to the CPU with a warning."""
    from gi_edge.runtime.device import has_cuda_device

    if has_cuda_device():
        pytest.skip("this machine has a GPU; the fallback cannot be provoked")
    with pytest.raises(RuntimeUnavailableError) as caught:
        open_session(workspace / "bundles" / "lesions" / "model.fp32.onnx", "cuda")
    assert "--provider cpu" in caught.value.fix


def test_every_model_is_loaded_from_the_bundle_that_was_hashed(workspace, monkeypatch):
    opened = []

    def spy(path, *rest):
        opened.append(path)
        return open_session(path, *rest)

    monkeypatch.setattr(bench_run, "open_session", spy)
    run(job(workspace), Silent())
    assert [path.name for path in opened] == ["model.fp32.onnx", "model.fp16.onnx"]


@pytest.mark.parametrize(("words", "found"), [(["--batch-size", 0], "batch_sizes"), (["--threads", 0], "threads")])
def test_settings_that_cannot_be_are_refused(workspace, gi_edge, words, found):
    done = gi_edge("bench", "lesions", *words, cwd=workspace)
    assert done.code == 1
    assert found in done.err


def test_no_warm_up_is_what_it_says(workspace, gi_edge, tmp_path):
    words = ["bench", "lesions", "--speed-only", "--precision", "fp32", "--warmup-seconds", 0]
    quick = ["--minimum-seconds", 0.05, "--batch-size", 1, "--output", tmp_path / "r.json"]
    done = gi_edge(*words, *quick, cwd=workspace)
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "r.json").read_text())["settings"]["warmup_seconds"] == 0
    kept = gi_edge(*words, *quick, cwd=workspace)
    assert kept.code == 1
    assert "--force" in kept.err
    assert gi_edge(*words, "--output", tmp_path / "r.html", cwd=workspace).code == 2
