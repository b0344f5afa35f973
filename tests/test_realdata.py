"""The path on real endoscopy frames, small enough for every run of the checks."""

from __future__ import annotations

import json

import pytest
from benches import QUICK_WORDS
from support import gi_edge_process

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def test_train_export_bench_on_real_frames(real_data, tmp_path):
    weights = real_data / "weights" / "convnextv2_atto.gi-distilled.safetensors"
    init = gi_edge_process("init", "--data", real_data / "hyperkvasir-5", "--weights", weights, cwd=tmp_path)
    assert init.code == 0, init.err
    trained = gi_edge_process("train", "--image-size", 64, "--epochs", 2, "--json", cwd=tmp_path)
    assert trained.code == 0, trained.err
    manifest = json.loads(trained.out)
    assert manifest["backbone"]["architecture"] == "convnextv2_atto"
    assert manifest["dataset"]["frames"] == 1428
    test = manifest["test"]
    assert test["macro"]["f1"] > 2 * test["majority_macro_f1"]
    exported = gi_edge_process(
        "export", "--adapter", "hyperkvasir-5", "--fp16", "--allow-undecided", "--json", cwd=tmp_path
    )
    assert exported.code == 0, exported.err
    fp32, fp16 = json.loads(exported.out)["models"]
    assert fp32["verdict"]["parity"]["max_abs_error"] < 1e-4
    assert "half precision" in fp16["verdict"]["computed_by"]
    benched = gi_edge_process("bench", *QUICK_WORDS, "--provider", "cpu", "--allow-undecided", "--json", cwd=tmp_path)
    assert benched.code == 0, benched.err
    (bundle,) = json.loads(benched.out)["bundles"]
    assert [model["parity"]["verdict"]["status"] for model in bundle["models"]] == ["pass", "undecided"]


def test_a_real_sample_with_single_image_classes_names_the_first(real_data, tmp_path):
    words = ["train", "--data", real_data / "kvasir-capsule-sample", "--backbone", "gi-edge-small", "--image-size", 32]
    done = gi_edge_process(*words, cwd=tmp_path)
    assert done.code == 1
    assert "class 'Ampulla of vater' has 1 readable image" in done.err
    assert "--exclude 'Ampulla of vater'" in done.err


def test_native_sizes_and_class_names_with_spaces_train(real_data, tmp_path):
    words = ["train", "--data", real_data / "gastrovision-sample", "--backbone", "gi-edge-small", "--image-size", 32]
    done = gi_edge_process(*words, "--epochs", 1, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "Normal mucosa and vascular pattern in the large bowel" in json.loads(done.out)["classes"]
