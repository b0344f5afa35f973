"""The bench finds an engine that answers otherwise, and writes down what it saw."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from benches import QUICK_WORDS, Fake, held_out_subject, job, opened
from PIL import Image

from gi_edge.artifacts.results import read_result, write_result
from gi_edge.artifacts.speed import SpeedRun
from gi_edge.errors import ArtifactError, DataError, RuntimeUnavailableError
from gi_edge.progress import Silent
from gi_edge.runtime.device import cuda_device
from gi_edge.runtime.onnxruntime import open_session
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
