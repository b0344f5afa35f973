"""Without the dataset and packed frames, built-in images still find a broken engine; and other backends are asked."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from benches import QUICK, QUICK_WORDS, Fake, job

from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.artifacts.probes import PROBES_FILE, read_probes
from gi_edge.artifacts.results import read_result
from gi_edge.data.probes import PROBE_NAMES, probe_pixels
from gi_edge.errors import ArtifactError, RuntimeUnavailableError
from gi_edge.progress import Silent
from gi_edge.report.notes import comparison_notes
from gi_edge.report.standing import standing_from_model
from gi_edge.runtime.batches import logits_from_session
from gi_edge.runtime.device import cuda_device
from gi_edge.runtime.onnxruntime import OnnxRuntimeSession, open_session
from gi_edge.runtime.session import Backend
from gi_edge_bench.frames import Material
from gi_edge_bench.parity import compare_answers
from gi_edge_bench.run import run


@pytest.fixture
def bare(copied):
    """A workspace whose dataset is gone and whose bundle has no packed frames."""
    shutil.rmtree(copied / "data")
    return copied


@pytest.fixture
def old(bare):
    """One whose bundle was written before there were probe images."""
    folder = bare / "bundles" / "lesions"
    (folder / PROBES_FILE).unlink()
    content = json.loads((folder / MANIFEST).read_text())
    content["files"] = [entry for entry in content["files"] if entry["path"] != PROBES_FILE]
    (folder / MANIFEST).write_text(json.dumps(content))
    return bare


def test_probe_images_are_the_same_each_time_and_differ_from_one_another():
    pixels = probe_pixels(64)
    assert pixels.shape == (len(PROBE_NAMES), 64, 64, 3) == (16, 64, 64, 3)
    assert (pixels == probe_pixels(64)).all()
    assert len({frame.tobytes() for frame in pixels}) == 16
    black, white, noise, gradient = pixels[12:]
    assert (black.max(), white.min()) == (0, 255)
    assert noise.std() > 70
    assert (gradient[0, 0, 0], gradient[-1, -1, 0], gradient[-1, 0, 1]) == (0, 255, 255)
    assert (np.diff(gradient[:, :, 1].astype(int), axis=0) >= 0).all()


def test_the_bundle_carries_them_with_the_trained_models_answers(workspace):
    bundle = read_bundle(workspace / "bundles" / "lesions")
    probes = read_probes(bundle)
    assert probes.names == PROBE_NAMES
    assert (probes.pixels == probe_pixels(64)).all()
    found = logits_from_session(open_session(bundle.path / "model.fp32.onnx", "cpu"), probes.pixels)
    assert np.abs(found - probes.logits).max() < 1e-3
    assert len(set(probes.logits.argmax(axis=1).tolist())) > 1


def test_they_are_taken_by_themselves_and_prove_nothing_on_patients_frames(bare, gi_edge):
    done = gi_edge("bench", *QUICK_WORDS, "--json", cwd=bare)
    assert done.code == 0, done.err
    assert "lesions: compared on the 16 probe images built into gi-edge" in done.err
    for model in json.loads(done.out)["bundles"][0]["models"]:
        (comparison,) = model["comparisons"]
        assert (comparison["against"], comparison["frames"]) == ("reference on probe images", "probes")
        assert (comparison["is_alike"], comparison["parity"]["n"]) == (True, 16)
        assert model["parity"] is None
        assert model["speeds"][0]["note"] == "probe images"
        assert comparison["computes_precision"] is (model["precision"] == "fp32")
    assert "computes fp16 graphs in fp32: agreement here says nothing of fp16" in gi_edge(
        "bench", *QUICK_WORDS, cwd=bare
    ).out.replace("\n", " ").replace("  ", " ")


def test_a_broken_engine_is_found_on_them_and_exits_3(bare, gi_edge, monkeypatch):
    honest = OnnxRuntimeSession.run
    monkeypatch.setattr(OnnxRuntimeSession, "run", lambda self, pixels: honest(self, pixels[..., ::-1].copy()))
    done = gi_edge("bench", *QUICK_WORDS, "--output", "r.json", cwd=bare)
    assert done.code == 3
    assert "does not answer as the reference on probe images: a logit is off by" in done.err
    assert not json.loads((bare / "r.json").read_text())["bundles"][0]["models"][0]["comparisons"][0]["is_alike"]


def test_probes_can_be_asked_for_though_the_dataset_is_here(workspace, gi_edge, tmp_path):
    words = [*QUICK_WORDS, "--probes", "--precision", "fp32", "--json", "--output", tmp_path / "r.json"]
    done = gi_edge("bench", *words, cwd=workspace)
    assert done.code == 0, done.err
    assert json.loads(done.out)["bundles"][0]["models"][0]["comparisons"][0]["frames"] == "probes"


def test_a_bundle_from_before_says_to_export_again(old, gi_edge):
    with pytest.raises(ArtifactError, match="has no probe images") as caught:
        run(job(old, frames="probes"), Silent())
    assert caught.value.fix == "gi-edge export --adapter lesions --fp16 --force, or give --data DIR"
    done = gi_edge("bench", *QUICK_WORDS, cwd=old)
    assert done.code == 1
    assert "lesions" in done.err
    assert gi_edge("bench", *QUICK_WORDS, "--speed-only", cwd=old).code == 0


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda arrays: arrays.pop("logits"), "holds no probe images"),
        (lambda arrays: arrays.update(logits=arrays["logits"][:, :2]), "is of another model"),
    ],
)
def test_probes_of_another_form_are_refused(bare, spoil, found):
    bundle = read_bundle(bare / "bundles" / "lesions")
    path = bundle.path / PROBES_FILE
    arrays = dict(np.load(path, allow_pickle=False))
    spoil(arrays)
    np.savez(path, **arrays)
    with pytest.raises(ArtifactError, match=found):
        read_probes(bundle)


# --- another backend


def test_another_backend_is_compared_on_the_same_frames(workspace):
    against = Backend(provider="cpu", threads=1)
    result = run(job(workspace, settings=QUICK.model_copy(update={"against": (against,)})), Silent())
    for model in result.bundles[0].models:
        (comparison,) = model.comparisons
        assert comparison.against == f"{model.runtime}, CPUExecutionProvider, {model.precision}"
        assert (comparison.frames, comparison.is_alike, comparison.parity.n) == ("dataset", True, 9)
        assert model.parity is not None
        assert comparison.computes_precision is (model.precision == "fp32")


@pytest.mark.parametrize(
    ("widens", "computes"), [((False, False), True), ((False, True), False), ((True, False), False)]
)
def test_an_agreement_counts_where_both_sides_compute_in_half(workspace, monkeypatch, widens, computes):
    import gi_edge_bench.parity as bench_parity
    from gi_edge.runtime.backends import OpenModel, open_model

    bundle = read_bundle(workspace / "bundles" / "lesions")
    honest = open_model(bundle, "fp16", Backend(provider="cpu"))
    sides = []
    for widens_half in widens:
        session = Fake(honest.session.run)
        session.widens_half = widens_half
        sides.append(OpenModel(session, honest.file, honest.entry, None))
    monkeypatch.setattr(bench_parity, "open_model", lambda *_: sides[1])
    material = Material(probe_pixels(64), "probes", probes=read_probes(bundle))
    found = compare_answers(bundle, sides[0], material, (Backend(provider="cpu"),), pictures=False).comparisons
    assert [item.computes_precision for item in found] == [not widens[0], computes]
    assert all(item.is_alike for item in found)


def answers_through(monkeypatch, change):
    """Let every backend to compare with answer what change makes of the honest logits."""
    import gi_edge_bench.parity as bench_parity
    from gi_edge.runtime.backends import OpenModel, open_model

    def other(bundle, precision, backend):
        model = open_model(bundle, precision, backend)
        honest = model.session

        class Changed:
            runtime, provider = "rolled 1", "RolledProvider"

            def run(self, pixels):
                return change(honest.run(pixels))

        return OpenModel(Changed(), model.file, model.entry, None)

    monkeypatch.setattr(bench_parity, "open_model", other)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda logits: np.roll(logits, 1, axis=1), "a logit is off by"),
        (lambda logits: np.full_like(logits, np.nan), "9 of 9 frames of rolled 1, RolledProvider, fp32 gave NaN or"),
    ],
)
def test_a_backend_that_answers_otherwise_exits_3(workspace, gi_edge, tmp_path, monkeypatch, change, found):
    answers_through(monkeypatch, change)
    words = [*QUICK_WORDS, "--precision", "fp32", "--against", "onnxruntime:cpu", "--output", tmp_path / "r.json"]
    done = gi_edge("bench", "lesions", *words, cwd=workspace)
    assert done.code == 3
    assert f"lesions fp32 on CPUExecutionProvider differs from rolled 1, RolledProvider, fp32: {found}" in done.err
    assert "find which is wrong: gi-edge bench lesions --data DIR on each, by --runtime and --provider" in done.err
    assert "export" not in done.err


def test_a_backend_that_differs_on_probe_images_is_not_told_as_the_reference(bare, gi_edge, monkeypatch):
    answers_through(monkeypatch, lambda logits: np.roll(logits, 1, axis=1))
    words = [*QUICK_WORDS, "--precision", "fp32", "--against", "onnxruntime:cpu", "--json", "--output", "r.json"]
    done = gi_edge("bench", "lesions", *words, cwd=bare)
    assert done.code == 3
    assert "differs from rolled 1, RolledProvider, fp32" in done.err
    (model,) = json.loads(done.out)["bundles"][0]["models"]
    assert [item["is_alike"] for item in model["comparisons"]] == [True, False]
    result = read_result(bare / "r.json")
    (run_of_model,) = result.bundles[0].models
    assert standing_from_model(run_of_model).reason.startswith("it differs from rolled 1, RolledProvider, fp32: ")
    reference, other = comparison_notes(result.bundles[0])[:2]
    assert reference.startswith("fp32: alike the reference; 0 of 16 probe images changed class")
    assert other.startswith("fp32: differs from rolled 1, RolledProvider, fp32; ")


def test_a_backend_to_compare_with_that_is_not_there_is_an_error(workspace):
    if cuda_device() is not None:
        pytest.skip("this machine has a GPU")
    against = Backend(provider="cuda")
    with pytest.raises(RuntimeUnavailableError, match="nothing to compare fp32 with: ") as caught:
        run(job(workspace, settings=QUICK.model_copy(update={"against": (against,)})), Silent())
    assert "or another --against" in caught.value.fix


# --- evaluate


def test_evaluate_takes_packed_frames_without_the_dataset_but_never_probes(bare, gi_edge):
    done = gi_edge("evaluate", "--bundle", "lesions", cwd=bare)
    assert done.code == 1
    assert "data" in done.err
