"""The classifier that a device uses."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from gi_edge.artifacts.bundle import read_bundle
from gi_edge.data.preprocess import pixels_from_image, read_image
from gi_edge.errors import ArtifactError
from gi_edge.runtime.classifier import Classifier, softmax
from gi_edge.runtime.onnxruntime import open_session


@pytest.fixture
def paths(workspace):
    return sorted((workspace / "data" / "lesions").rglob("*.jpg"))


def test_predictions_are_the_softmax_of_the_session_at_the_bundles_temperature_in_order(workspace, paths):
    bundle = read_bundle(workspace / "bundles" / "lesions")
    classifier = Classifier.from_bundle(bundle.path, provider="cpu")
    session = open_session(bundle.path / "model.fp32.onnx", "cpu")
    for path, prediction in zip(paths[:11], classifier.predict(paths[:11], batch_size=4), strict=True):
        pixels = pixels_from_image(read_image(path), bundle.manifest.preprocess)[None]
        assert prediction.path == path
        expected = softmax(session.run(pixels), bundle.manifest.temperature)[0]
        assert np.allclose(prediction.probabilities, expected, atol=1e-5)


@pytest.mark.parametrize("bad", [{0}, {3}, {0, 1, 2, 3}, {4}, set(range(6))])
def test_unreadable_files_keep_their_place_and_are_never_guessed(workspace, paths, tmp_path, bad):
    (tmp_path / "bad.jpg").write_bytes(b"x")
    asked = [tmp_path / "bad.jpg" if row in bad else path for row, path in enumerate(paths[:6])]
    classifier = Classifier.from_bundle(workspace / "bundles" / "lesions", provider="cpu")
    answers = list(classifier.predict(asked, batch_size=4))
    assert [answer.path for answer in answers] == asked
    assert {row for row, answer in enumerate(answers) if answer.probabilities is None} == bad
    assert all(answers[row].error == "not an image that Pillow knows" for row in bad)


def test_softmax_survives_large_logits():
    assert softmax(np.array([[1000, 999, 0]], np.float32))[0] == pytest.approx([0.731059, 0.268941, 0], abs=1e-6)


def test_a_session_answers_several_threads_alike(workspace, paths):
    bundle = read_bundle(workspace / "bundles" / "lesions")
    session = open_session(bundle.path / "model.fp32.onnx", "cpu")
    pixels = np.stack([pixels_from_image(read_image(path), bundle.manifest.preprocess) for path in paths[:8]])
    expected = session.run(pixels)
    found = {}

    def work(row):
        found[row] = session.run(pixels[row : row + 1])

    threads = [threading.Thread(target=work, args=(row,)) for row in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.allclose(np.concatenate([found[row] for row in range(8)]), expected, atol=1e-5)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="ONNX Runtime cannot load"):
        open_session(tmp_path / "model.onnx", "cpu")


def test_a_precision_that_the_bundle_lacks_names_the_command(workspace):
    bundle = read_bundle(workspace / "bundles" / "lesions")
    fp32_only = type(bundle)(bundle.path, bundle.manifest.model_copy(update={"models": bundle.manifest.models[:1]}))
    with pytest.raises(ArtifactError, match="no fp16 model, only fp32") as caught:
        fp32_only.model("fp16")
    assert caught.value.fix == "gi-edge export --adapter lesions --fp16 --force"
