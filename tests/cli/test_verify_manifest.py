"""A manifest that contradicts itself, labels.txt or a model file: verify finds it, and nothing is answered by it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from altered import answers, reseal

from gi_edge.artifacts.manifest import MANIFEST


@pytest.fixture
def bundle(workspace, tmp_path):
    return Path(shutil.copytree(workspace / "bundles" / "lesions", tmp_path / "bundles" / "lesions"))


def set_in(content, path, value):
    *parents, last = path
    for key in parents:
        content = content[key]
    content[last] = value


@pytest.mark.parametrize(
    ("path", "value", "check", "detail"),
    [
        (("models", 1, "verdict", "status"), "pass", "files", "model.fp16.onnx says pass, its checks say undecided"),
        (("models", 1, "verdict", "reasons"), [], "files", "model.fp16.onnx says undecided, its checks say undecided"),
        (("models", 1, "verdict", "checks", 0, "outcome"), "fail", "files", "says undecided, its checks say fail"),
        (("temperature",), 5.0, "files", "temperature 5 is not the fitted"),
        (("models", 1, "verdict", "parity", "flips"), 3, "model.fp16.onnx verdict", "3 of 9 frames changed class: at"),
        (("models", 0, "verdict", "parity", "n"), 11, "model.fp32.onnx verdict", "the verdict's frames"),
        (("models", 0, "verdict", "parity", "max_abs_error"), 1e-9, "model.fp32.onnx verdict", "max_abs_error does"),
        (("merge", "max_abs_error"), 5.0, "training", "merging changed the model: a logit is off by 5"),
        (("majority_label",), "nothing", "training", "most frequent class is nothing"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_found(bundle, gi_edge, path, value, check, detail):
    content = json.loads((bundle / MANIFEST).read_text())
    assert content["models"][1]["verdict"]["status"] == "undecided"
    set_in(content, path, value)
    (bundle / MANIFEST).write_text(json.dumps(content))
    done, found = answers(gi_edge, bundle)
    assert done.code == 3, done.err
    assert {name for name, item in found.items() if item["status"] == "fail"} == {check}
    assert detail in found[check]["detail"]


def exchange_classes(content, bundle):
    content["classes"] = content["classes"][::-1]


def exchange_classes_and_labels(content, bundle):
    exchange_classes(content, bundle)
    (bundle / "labels.txt").write_text("".join(f"{label}\n" for label in content["classes"]))


def heat(content, bundle):
    content["temperature"] = content["calibration"]["temperature"] = 9.0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (exchange_classes, "was altered: its manifest has other classes than labels.txt"),
        (exchange_classes_and_labels, "was altered: model.fp32.onnx and its manifest differ in classes"),
        (heat, "was altered: model.fp32.onnx and its manifest differ in temperature"),
    ],
)
def test_a_manifest_that_its_model_contradicts_predicts_nothing(bundle, gi_edge, change, told):
    content = json.loads((bundle / MANIFEST).read_text())
    change(content, bundle)
    (bundle / MANIFEST).write_text(json.dumps(content))
    reseal(bundle)
    for words in (("predict", "lesions", bundle / "labels.txt"), ("bench", "lesions", "--probes")):
        done = gi_edge(*words, cwd=bundle.parent.parent)
        assert (done.code, done.out) == (1, "")
        assert told in done.err


def test_a_bundle_whose_verdict_was_changed_serves_nothing(bundle, gi_edge):
    content = json.loads((bundle / MANIFEST).read_text())
    set_in(content, ("models", 1, "verdict", "status"), "pass")
    (bundle / MANIFEST).write_text(json.dumps(content))
    for words in (("bench", "lesions"), ("predict", "lesions", bundle / "labels.txt")):
        done = gi_edge(*words, cwd=bundle.parent.parent)
        assert done.code == 1
        assert "it was altered" in done.err
        assert "its checks say undecided" in done.err
