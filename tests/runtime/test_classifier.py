"""The classifier that a device uses."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gi_edge.artifacts.bundle import read_bundle
from gi_edge.data.preprocess import pixels_from_image, read_image
from gi_edge.errors import ArtifactError, DataError
from gi_edge.runtime.classifier import Classifier, softmax
from gi_edge.runtime.onnxruntime import open_session
from gi_edge.runtime.session import Backend

CPU = Backend(provider="cpu")


@pytest.fixture
def paths(workspace):
    return sorted((workspace / "data" / "lesions").rglob("*.jpg"))


@pytest.fixture(scope="module")
def classifier(workspace):
    return Classifier.from_bundle(workspace / "bundles" / "lesions", backend=CPU)


def test_predictions_are_the_softmax_of_the_session_at_the_bundles_temperature_in_order(workspace, classifier, paths):
    bundle = read_bundle(workspace / "bundles" / "lesions")
    session = open_session(bundle.path / "model.fp32.onnx", "cpu")
    for path, prediction in zip(paths[:11], classifier.predict(paths[:11], batch_size=4), strict=True):
        pixels = pixels_from_image(read_image(path), bundle.manifest.preprocess)[None]
        assert prediction.source == path
        expected = softmax(session.run(pixels), bundle.manifest.temperature)[0]
        assert np.allclose(prediction.probabilities, expected, atol=1e-5)
        assert prediction.label == classifier.classes[int(expected.argmax())] == path.parent.name
        assert prediction.probability == pytest.approx(expected.max(), abs=1e-5)


@pytest.mark.parametrize("bad", [{0}, {3}, {0, 1, 2, 3}, {4}, set(range(6))])
def test_unreadable_files_keep_their_place_and_are_never_guessed(classifier, paths, tmp_path, bad):
    (tmp_path / "bad.jpg").write_bytes(b"x")
    asked = [tmp_path / "bad.jpg" if row in bad else path for row, path in enumerate(paths[:6])]
    answers = list(classifier.predict(asked, batch_size=4))
    assert [answer.source for answer in answers] == asked
    assert {row for row, answer in enumerate(answers) if answer.probabilities is None} == bad
    assert all(answers[row].error == "not an image that Pillow knows" for row in bad)
    assert all((answers[row].label, answers[row].probability) == ("", 0.0) for row in bad)


FORMS = {
    "text": lambda path: str(path),
    "array": lambda path: np.asarray(Image.open(path)),
    "array of other strides": lambda path: np.asarray(Image.open(path))[:, ::-1][:, ::-1],
    "read-only array": lambda path: np.frombuffer(Image.open(path).tobytes(), np.uint8).reshape(64, 80, 3),
    "Pillow": lambda path: Image.open(path),
    "Pillow, RGBA": lambda path: Image.open(path).convert("RGBA"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_image_is_answered_as_its_file(classifier, paths, form):
    """Batch 1, so that not a bit may differ."""
    expected = [answer.probabilities for answer in classifier.predict(paths[:3], batch_size=1)]
    found = list(classifier.predict([FORMS[form](path) for path in paths[:3]], batch_size=1))
    assert np.array_equal([answer.probabilities for answer in found], expected)
    assert [answer.source for answer in found] == ([str(path) for path in paths[:3]] if form == "text" else [0, 1, 2])


def test_forms_may_be_mixed_and_a_stack_of_frames_is_taken_frame_by_frame(classifier, paths):
    expected = [answer.label for answer in classifier.predict(paths[::7])]
    mixed = [list(FORMS.values())[row % len(FORMS)](path) for row, path in enumerate(paths[::7])]
    assert [answer.label for answer in classifier.predict(mixed, batch_size=2)] == expected
    stack = np.stack([FORMS["array"](path) for path in paths[::7]])
    assert [answer.label for answer in classifier.predict(stack)] == expected


def test_a_pillow_image_is_set_upright_as_its_file_is(classifier, paths, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(paths[0]).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    both = list(classifier.predict([tmp_path / "turned.jpg", Image.open(tmp_path / "turned.jpg")], batch_size=1))
    assert np.array_equal(both[0].probabilities, both[1].probabilities)


def test_a_truncated_pillow_image_is_answered_with_an_error(classifier, paths, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(paths[0].read_bytes()[:700])
    with Image.open(tmp_path / "cut.jpg") as image:
        found = list(classifier.predict([image, paths[0]]))
    assert found[0].probabilities is None
    assert "truncated" in found[0].error
    assert found[1].label == "blue lesion"


NO_IMAGES = {
    "float array": (np.zeros((8, 8, 3), np.float32), "array of float32 [8, 8, 3]"),
    "grey array": (np.zeros((8, 8), np.uint8), "array of uint8 [8, 8]"),
    "RGBA array": (np.zeros((8, 8, 4), np.uint8), "array of uint8 [8, 8, 4]"),
    "channels first": (np.zeros((3, 8, 8), np.uint8), "array of uint8 [3, 8, 8]"),
    "no pixels": (np.zeros((0, 8, 3), np.uint8), "array of uint8 [0, 8, 3]"),
    "batch": (np.zeros((2, 8, 8, 3), np.uint8), "array of uint8 [2, 8, 8, 3]"),
    "bytes": (b"jpeg", "a bytes"),
    "nothing": (None, "a NoneType"),
}


@pytest.mark.parametrize("case", NO_IMAGES)
def test_what_is_no_image_is_refused_by_its_position_after_the_answers_before_it(classifier, paths, case):
    image, found = NO_IMAGES[case]
    answers = classifier.predict([paths[0], image], batch_size=1)
    assert next(answers).label == "blue lesion"
    with pytest.raises(DataError) as caught:
        next(answers)
    assert f"image 1 is {'an ' if 'array' in found else ''}{found}" in str(caught.value)


ONE = ["frame.jpg", Path("frame.jpg"), Image.new("RGB", (8, 8)), np.zeros((8, 8, 3), np.uint8), None, 7]


@pytest.mark.parametrize("one", ONE)
def test_one_image_instead_of_several_is_refused_at_once(classifier, one):
    with pytest.raises(DataError, match=r"predict\(\[image\]\)"):
        classifier.predict(one)


def test_an_impossible_batch_size_is_refused_at_once(classifier, paths):
    with pytest.raises(DataError, match="batch size is 0"):
        classifier.predict(paths, batch_size=0)


def test_no_images_have_no_answers(classifier):
    assert list(classifier.predict([])) == []


@pytest.mark.parametrize(("threads", "batch_size"), [(None, 8), (1, 1), (1, 3)])
def test_threads_that_share_a_classifier_get_the_answers_they_get_alone(workspace, paths, threads, batch_size):
    backend = Backend(provider="cpu", threads=threads)
    shared = Classifier.from_bundle(workspace / "bundles" / "lesions", backend=backend)
    asked = [paths[row::4] for row in range(4)]
    alone = [[answer.probabilities for answer in shared.predict(part, batch_size)] for part in asked]
    with ThreadPoolExecutor(4) as pool:
        parts = [asked[row % 4] for row in range(12)]
        together = list(pool.map(lambda part: list(shared.predict(part, batch_size)), parts))
    for row, answers in enumerate(together):
        assert [answer.source for answer in answers] == asked[row % 4]
        found = [answer.probabilities for answer in answers]
        assert np.allclose(found, alone[row % 4], atol=1e-6)


def test_a_source_is_read_a_few_batches_ahead_only_and_left_when_the_answers_are(classifier, paths):
    taken = []

    def source():
        for number in range(1000):
            taken.append(number)
            yield paths[number % len(paths)]

    answers = classifier.predict(source(), batch_size=4)
    for _ in range(5):
        next(answers)
    answers.close()
    assert 5 <= len(taken) <= 5 + 4 * 4


def test_a_prediction_loads_neither_statistics_nor_plots(workspace, paths):
    """Both are slow to import: 1.3 of 2.2 seconds to the first answer went there once."""
    code = f"""
import sys
from gi_edge.runtime.classifier import Classifier
print(next(Classifier.from_bundle({str(workspace / "bundles" / "lesions")!r}).predict([{str(paths[0])!r}])).label)
print([name for name in ("scipy", "sklearn", "matplotlib", "torch", "pandas", "av") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["blue lesion", "[]"]


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
