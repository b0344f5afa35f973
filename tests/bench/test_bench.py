"""The bench finds an engine that answers otherwise, and writes down what it saw."""

from __future__ import annotations

import base64
import io
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from benches import QUICK, QUICK_WORDS, Fake, held_out_subject, job, opened
from PIL import Image

import gi_edge_bench.models as bench_models
from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.results import read_result, write_result
from gi_edge.artifacts.speed import SpeedRun
from gi_edge.errors import ArtifactError, DataError, MissingDependencyError, RuntimeUnavailableError
from gi_edge.progress import Silent
from gi_edge.runtime.backends import open_model
from gi_edge.runtime.device import cuda_device
from gi_edge.runtime.onnxruntime import open_session
from gi_edge.runtime.session import Backend
from gi_edge_bench.flipped import flipped_from_answers
from gi_edge_bench.frames import reference_frames
from gi_edge_bench.marks import is_unsteady
from gi_edge_bench.parity import answers_of, parity_pass
from gi_edge_bench.run import run


@pytest.fixture
def subject(workspace):
    return held_out_subject(workspace)


def test_a_sound_bundle_passes_and_the_result_survives_its_file(workspace, tmp_path):
    result = run(job(workspace), Silent())
    (bundle,) = result.bundles
    fp32, fp16 = bundle.models
    assert (fp32.parity.verdict.status, fp16.parity.verdict.status) == ("pass", "undecided")
    assert fp16.parity.verdict.reasons[0].startswith("too little data to decide on macro-F1: ")
    assert fp32.parity.verdict.file_sha256 == fp32.sha256
    assert (fp32.parity.verdict.parity.flips, fp32.parity.flipped) == (0, ())
    assert fp32.parity.verdict.parity.max_abs_error < 1e-4
    assert fp32.parity.verdict.computes_precision
    assert not fp16.parity.verdict.computes_precision  # ONNX Runtime's CPU provider widens halves
    assert fp32.parity.engine == fp32.parity.reference
    assert [(speed.scenario, speed.batch_size) for speed in fp32.speeds][:2] == [("single-stream", 1), ("offline", 4)]
    assert fp32.startup.load_ms > 0
    assert fp32.startup.peak_memory_bytes > 50e6
    assert fp32.startup.gpu_memory_bytes is None
    assert result.settings["minimum_count"] == 5
    assert result.environment.logical_cpus >= 1
    assert "CPUExecutionProvider" in result.environment.providers
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
        ("the answer to the frame before", lambda session: lambda pixels: np.roll(session.run(pixels), 1, axis=0)),
    ],
)
def test_an_engine_that_answers_otherwise_is_caught(subject, name, spoil):
    bundle, held_out = subject
    session = open_session(bundle.path / "model.fp32.onnx", "cpu")
    for tested, status in ((Fake(spoil(session)), "fail"), (session, "pass")):
        model = opened(bundle, tested)
        logits = answers_of(model, held_out.frames.pixels, 3)
        assert parity_pass(model, bundle, held_out, logits).verdict.status == status, name


def test_an_engine_of_another_class_list_is_refused_before_its_answers_are_compared(subject):
    bundle, held_out = subject
    wide = Fake(lambda pixels: np.zeros((len(pixels), 23), np.float32))
    with pytest.raises(
        ArtifactError, match=r"answers in the shape \[9, 23\], and \[9, 3\] is what the bundle promises"
    ):
        answers_of(opened(bundle, wide), held_out.frames.pixels, 3)


def test_changed_frames_are_kept_with_both_answers_and_their_picture_the_surest_first(subject):
    bundle, held_out = subject
    logits = held_out.reference.logits.copy()
    logits[2] = np.roll(logits[2], 1)
    logits[5] = 4 * np.roll(logits[5], 1)
    logits[7] = np.nan
    classes = bundle.manifest.classes
    first, second = flipped_from_answers(held_out, logits, 1.0, classes, pictures=True)
    ids = held_out.reference.ids
    assert (first.frame, second.frame) == (ids[5], ids[2])
    assert first.engine_probability > second.engine_probability
    top = classes[held_out.reference.logits[5].argmax()]
    assert (first.label, first.reference) == (classes[held_out.reference.labels[5]], top)
    assert first.engine == classes[logits[5].argmax()] != top
    picture = Image.open(io.BytesIO(base64.b64decode(first.picture)))
    assert (picture.format, picture.size) == ("JPEG", (64, 64))
    assert np.abs(np.asarray(picture).mean((0, 1)) - held_out.frames.pixels[5].mean((0, 1))).max() < 4
    (bare, _) = flipped_from_answers(held_out, logits, 1.0, classes, pictures=False)
    assert bare.picture is None


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


def test_a_truncated_bundle_is_refused(copied):
    model = copied / "bundles" / "lesions" / "model.fp32.onnx"
    model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match=r"model\.fp32\.onnx"):
        run(job(copied), Silent())


def test_speed_only_proves_nothing_and_says_so(workspace):
    result = run(job(workspace, frames=None), Silent())
    model = result.bundles[0].models[0]
    assert (model.parity, model.comparisons) == (None, ())
    assert "random pixels" in model.speeds[0].timed_region


def test_a_provider_that_is_not_there_is_an_error_never_a_slower_success(workspace):
    """Without a GPU, ONNX Runtime would fall back to the CPU with a warning."""
    if cuda_device() is not None:
        pytest.skip("this machine has a GPU; the fallback cannot be provoked")
    with pytest.raises(RuntimeUnavailableError) as caught:
        open_session(workspace / "bundles" / "lesions" / "model.fp32.onnx", "cuda")
    assert "--provider cpu" in caught.value.fix


def test_every_model_is_loaded_from_the_bundle_that_was_hashed_on_the_backend_asked_for(workspace, monkeypatch):
    loaded = []

    def spy(bundle, precision, backend):
        loaded.append((precision, backend))
        return open_model(bundle, precision, backend)

    monkeypatch.setattr(bench_models, "open_model", spy)
    backend = Backend(provider="cpu", threads=1)
    run(job(workspace, settings=QUICK.model_copy(update={"backend": backend})), Silent())
    assert loaded == [("fp32", backend), ("fp16", backend)]


def test_an_optional_engine_that_cannot_run_is_told_and_left_out_a_named_one_is_an_error(workspace, monkeypatch):
    said = []

    class Listening(Silent):
        def say(self, text):
            said.append(text)

    def unavailable(bundle, precision, backend):
        raise RuntimeUnavailableError("no GPU of its target", fix="gi-edge engine lesions")

    bundle = read_bundle(workspace / "bundles" / "lesions")
    monkeypatch.setattr(bench_models, "load_runtime", lambda backend: None)
    monkeypatch.setattr(bench_models, "open_model", unavailable)
    candidate = bench_models.Candidate("fp32", Backend(runtime="tensorrt"), is_optional=True)
    pixels = np.zeros((1, 64, 64, 3), np.uint8)
    assert bench_models.open_candidate(bundle, candidate, pixels, Listening()) is None
    assert said == ["lesions fp32: the tensorrt engine is left out: no GPU of its target → gi-edge engine lesions"]
    named = bench_models.Candidate("fp32", Backend(runtime="tensorrt"))
    with pytest.raises(RuntimeUnavailableError, match="no GPU of its target"):
        bench_models.open_candidate(bundle, named, pixels, Silent())


def engine_of(precision, runtime="tensorrt", minimum=1):
    batch = SimpleNamespace(minimum=minimum, optimum=8, maximum=16, text=f"{minimum}:8:16")
    return SimpleNamespace(entry=SimpleNamespace(precision=precision, runtime=runtime, batch=batch))


@pytest.mark.parametrize(
    ("changes", "device", "found"),
    [
        ({}, None, [("fp32", "onnxruntime"), ("fp16", "onnxruntime")]),
        ({"with_engines": True}, None, [("fp32", "onnxruntime"), ("fp16", "onnxruntime")]),
        (
            {"with_engines": True},
            "a GPU",
            [("fp32", "onnxruntime"), ("fp16", "onnxruntime"), ("fp16", "tensorrt"), ("fp16", "tensorrt-rtx")],
        ),
        ({"with_engines": True, "precisions": ("fp32",)}, "a GPU", [("fp32", "onnxruntime")]),
        ({"backend": Backend(runtime="tensorrt")}, "a GPU", [("fp16", "tensorrt")]),
        ({"backend": Backend(runtime="tensorrt"), "precisions": ("fp32",)}, "a GPU", [("fp32", "tensorrt")]),
    ],
)
def test_which_models_are_measured(workspace, monkeypatch, changes, device, found):
    engines = (engine_of("fp16"), engine_of("fp16"), engine_of("fp16", "tensorrt-rtx"))
    monkeypatch.setattr(bench_models, "read_engines", lambda bundle: engines)
    monkeypatch.setattr(bench_models, "cuda_device", lambda: device)
    bundle = read_bundle(workspace / "bundles" / "lesions")
    candidates = bench_models.candidates_of(bundle, QUICK.model_copy(update=changes), Silent())
    assert [(item.precision, item.backend.runtime) for item in candidates] == found
    assert all(
        item.is_optional == (item.backend.runtime != changes.get("backend", QUICK.backend).runtime)
        for item in candidates
    )


def test_an_engine_that_takes_no_single_frames_is_refused_with_the_command_that_builds_one(workspace, monkeypatch):
    bundle = read_bundle(workspace / "bundles" / "lesions")
    model = replace(opened(bundle, Fake()), engine=engine_of("fp32", minimum=4))
    monkeypatch.setattr(bench_models, "load_runtime", lambda backend: None)
    monkeypatch.setattr(bench_models, "open_model", lambda *given: model)
    candidate = bench_models.Candidate("fp32", Backend(runtime="tensorrt"))
    with pytest.raises(RuntimeUnavailableError, match=r"takes 4 frames at least \(batch 4:8:16\)") as caught:
        bench_models.open_candidate(bundle, candidate, np.zeros((1, 64, 64, 3), np.uint8), Silent())
    assert caught.value.fix == "gi-edge engine lesions --batch 1:8:16 --force"


def test_loading_the_runtime_is_no_part_of_the_first_models_load_time(workspace, monkeypatch):
    bundle, order = read_bundle(workspace / "bundles" / "lesions"), []

    def load(backend):
        order.append(backend.runtime)
        time.sleep(0.5)

    def open_quickly(*given):
        order.append("open")
        return opened(bundle, Fake())

    monkeypatch.setattr(bench_models, "load_runtime", load)
    monkeypatch.setattr(bench_models, "open_model", open_quickly)
    candidate = bench_models.Candidate("fp32", Backend())
    _, startup = bench_models.open_candidate(bundle, candidate, np.zeros((1, 64, 64, 3), np.uint8), Silent())
    assert order == ["onnxruntime", "open"]
    assert startup.load_ms < 400


def test_a_runtime_that_is_not_there_leaves_an_optional_model_out(workspace, monkeypatch):
    def missing(backend):
        raise MissingDependencyError("no tensorrt", fix="pip install it")

    monkeypatch.setattr(bench_models, "load_runtime", missing)
    bundle, pixels = read_bundle(workspace / "bundles" / "lesions"), np.zeros((1, 64, 64, 3), np.uint8)
    optional = bench_models.Candidate("fp32", Backend(runtime="tensorrt"), is_optional=True)
    assert bench_models.open_candidate(bundle, optional, pixels, Silent()) is None
    with pytest.raises(MissingDependencyError, match="no tensorrt"):
        bench_models.open_candidate(bundle, bench_models.Candidate("fp32", Backend()), pixels, Silent())


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        (["--batch-size", 0], 1, "batch_sizes"),
        (["--threads", 0], 1, "threads"),
        (["--streams", 1], 1, "streams"),
        (["--frame-rate", 0], 1, "frame_rates"),
        (["--probes", "--speed-only"], 2, "--probes and --speed-only exclude each other"),
        (["--runtime", "tensorrt", "--provider", "cpu"], 2, "--provider is of ONNX Runtime"),
        (["--cuda-graph"], 2, "--runtime tensorrt"),
        (["--cuda-graph", "--runtime", "tensorrt-rtx"], 2, "not of TensorRT for RTX"),
        (["--speed-only", "--against", "onnxruntime:cpu"], 2, "leave one out"),
        (["--against", "onnx"], 1, "--against onnx: runtime"),
        (["--against", "tensorrt:cpu"], 1, "tensorrt has no providers"),
        (["--speed-only", "--region", "file"], 1, "there are none"),
        (["--speed-only", "--scenario", "paced", "--region", "device"], 1, "there is nothing to time: paced"),
    ],
)
def test_settings_that_cannot_be_are_refused(workspace, gi_edge, tmp_path, words, code, found):
    done = gi_edge("bench", "lesions", *words, "--output", tmp_path / "r.json", cwd=workspace)
    assert done.code == code
    assert found in done.err


def test_no_warm_up_is_what_it_says(workspace, gi_edge, tmp_path):
    words = ["bench", "lesions", "--speed-only", "--precision", "fp32", *QUICK_WORDS, "--warmup-seconds", 0]
    done = gi_edge(*words, "--output", tmp_path / "r.json", cwd=workspace)
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["settings"]["warmup_seconds"] == 0
    (speed,) = result["bundles"][0]["models"][0]["speeds"]
    assert (speed["warm_up"]["count"], speed["warm_up"]["is_steady"]) == (3, None)
    drifts = is_unsteady(SpeedRun.model_validate(speed))
    assert ("unsteady" in [mark["kind"] for mark in result["marks"]]) is drifts
    kept = gi_edge(*words, "--output", tmp_path / "r.json", cwd=workspace)
    assert kept.code == 1
    assert "--force" in kept.err
    assert gi_edge(*words, "--output", tmp_path / "r.html", cwd=workspace).code == 2
