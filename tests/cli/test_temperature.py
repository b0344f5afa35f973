"""One temperature from training to the device: adapter, bundle, evaluate and predict mean the same probabilities."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from support import gi_edge_process, write_frames

from gi_edge.artifacts.adapter import AdapterManifest, read_adapter
from gi_edge.artifacts.bundle import read_bundle
from gi_edge.metrics.temperature import BOUNDS

TRAINING = "--backbone gi-edge-small --image-size 32 --epochs 2 --batch-size 8 --rank 2 --learning-rate 5e-4"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model that was hardly trained, so that its validation part holds mistakes and its temperature is not 1."""
    root = tmp_path_factory.mktemp("temperature")
    write_frames(root / "data" / "lesions", per_class=20)
    for line in ("init", f"train {TRAINING}", "export"):
        done = gi_edge_process(*line.split(), cwd=root)
        assert done.code == 0, done.err
        if line.startswith("train"):
            (root / "train.err").write_text(done.err)
    return root


@pytest.fixture(scope="module")
def manifest(place):
    return read_adapter(place / "adapters" / "lesions").manifest


def test_the_adapter_says_how_its_temperature_was_found(place, manifest):
    found = manifest.calibration
    assert manifest.temperature == found.temperature
    assert abs(np.log(found.temperature)) > 0.1
    assert BOUNDS[0] <= found.low <= found.temperature <= found.high <= BOUNDS[1]
    assert found.nll_after < found.nll_before
    assert found.n == manifest.split.val
    best = manifest.history[manifest.best_epoch - 1]
    assert best.val_loss == pytest.approx(found.nll_before, abs=1e-6)
    told = f"temperature {found.temperature:.2f} ({found.low:.2f} to {found.high:.2f}), fitted on {found.n} validation"
    assert told in (place / "train.err").read_text()


def test_evaluate_gives_the_scores_that_the_adapter_carries(place, manifest, gi_edge):
    done = gi_edge("evaluate", "--adapter", "lesions", "--json", cwd=place)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["evaluation"] == manifest.evaluation.model_dump(mode="json")
    assert found["temperature"] == manifest.temperature


def test_bundle_and_prediction_answer_at_the_same_temperature(place, manifest, gi_edge):
    bundle = read_bundle(place / "bundles" / "lesions")
    assert (bundle.manifest.temperature, bundle.manifest.calibration) == (manifest.temperature, manifest.calibration)
    reference = bundle.reference()
    scaled = reference.logits.astype(np.float64) / manifest.temperature
    nll = -log_softmax(scaled, axis=1)[np.arange(len(scaled)), reference.labels].mean()
    assert manifest.evaluation.overall.nll.value == pytest.approx(nll, abs=1e-5)
    done = gi_edge("evaluate", "--bundle", "lesions", "--json", cwd=place)
    assert done.code == 0, done.err
    assert json.loads(done.out)["evaluation"]["overall"]["nll"]["value"] == pytest.approx(nll, abs=1e-4)
    frame = place / "data" / "lesions" / reference.ids[0]
    predicted = gi_edge("predict", "lesions", frame, "--json", cwd=place)
    assert predicted.code == 0, predicted.err
    probabilities = list(json.loads(predicted.out)["probabilities"].values())
    assert probabilities == pytest.approx(softmax(scaled[0]), abs=1e-4)
    assert probabilities != pytest.approx(softmax(reference.logits[0]), abs=1e-3)


def test_an_adapter_without_a_temperature_is_read_as_one_at_temperature_1(manifest):
    content = manifest.model_dump(mode="json")
    del content["temperature"], content["calibration"]
    for record in content["history"]:
        del record["val_loss"], record["learning_rate"]
    old = AdapterManifest.model_validate(content)
    assert (old.temperature, old.calibration) == (1.0, None)


def test_the_log_of_the_run_lies_in_the_workspace(place, manifest):
    from training.test_watch import scalars

    found = scalars(place / "runs" / "lesions")
    assert [value for _, value in found["val/macro_f1"]] == pytest.approx([r.val_macro_f1 for r in manifest.history])
    assert [value for _, value in found["val/loss"]] == pytest.approx([r.val_loss for r in manifest.history])
    assert [value for _, value in found["train/epoch_loss"]] == pytest.approx([r.loss for r in manifest.history])
    assert found["train/learning_rate"][-1][1] == pytest.approx(manifest.history[-1].learning_rate)
    assert "log of lesions: tensorboard --logdir runs" in (place / "train.err").read_text()


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        ("train --tracker mlflow --name other", 1, "pip install mlflow"),
        ("train --tracker paper --name other", 2, "'paper' is not one of"),
    ],
)
def test_a_tracker_that_is_not_there_ends_before_any_work(place, gi_edge, monkeypatch, words, code, found):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = gi_edge(*words.split(), cwd=place)
    assert done.code == code
    assert found in done.err
    assert not (place / "runs" / "other").exists()


def test_a_wrong_tracker_in_the_workspace_file_is_named(gi_edge, tmp_path):
    write_frames(tmp_path / "d", per_class=2)
    (tmp_path / "gi-edge.toml").write_text('[datasets.d]\npath = "d"\n[train]\ntracker = "paper"\n')
    done = gi_edge("train", cwd=tmp_path)
    assert done.code == 1
    assert "tracker must be 'tensorboard', 'mlflow', 'wandb' or 'none'" in done.err
