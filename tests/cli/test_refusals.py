"""Bad input and models that fail: one line, the mend, the exit code, and nothing half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from benches import QUICK_WORDS
from safetensors.torch import load_file
from support import SMALL, hidden_or_new, write_frames


def one_image_class(tmp_path):
    folder = write_frames(tmp_path / "d", per_class=4)
    (folder / "rare").mkdir()
    shutil.copy(folder / "red lesion" / "000.jpg", folder / "rare" / "0.jpg")
    return ["train", "--data", folder, *SMALL]


def wrong_weights(tmp_path):
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("convnextv2_atto").state_dict(), tmp_path / "atto.safetensors")
    data = write_frames(tmp_path / "d", per_class=4)
    return ["train", "--data", data, "--weights", tmp_path / "atto.safetensors", "--backbone", "convnextv2_nano"]


BAD = {
    "no workspace": (lambda t: ["train"], "no gi-edge.toml here or above", "gi-edge init --data DIR"),
    "no folder": (lambda t: ["train", "--data", t / "none"], "there is no folder", "--data"),
    "empty folder": (
        lambda t: (t / "e").mkdir() or ["train", "--data", t / "e"],
        "found 0 class folder",
        "CLASS/IMAGE.jpg",
    ),
    "class with one image": (one_image_class, "class 'rare' has 1 readable image", "--exclude 'rare'"),
    "unknown class": (
        lambda t: ["train", "--data", write_frames(t / "d"), *SMALL, "--exclude", "red lesions"],
        "did you mean 'red lesion'",
        "--exclude",
    ),
    "unknown spec": (
        lambda t: ["train", "--data", write_frames(t / "d"), *SMALL, "--spec", "folder"],
        "did you mean 'folders'",
        "--spec",
    ),
    "unknown recipe": (
        lambda t: ["train", "--data", write_frames(t / "d"), "--recipe", "dmo"],
        "did you mean 'demo'",
        "--recipe",
    ),
    "weights of another architecture": (wrong_weights, "does not fit convnextv2_nano", "--backbone convnextv2_atto"),
    "no weights file": (
        lambda t: ["train", "--data", write_frames(t / "d"), "--weights", t / "w.pth"],
        "there is no weights file",
        "--weights FILE",
    ),
    "no network": (
        lambda t: ["train", "--data", write_frames(t / "d"), "--backbone", "convnextv2_atto.fcmae"],
        "cannot be downloaded",
        "--weights FILE",
    ),
    "impossible setting": (
        lambda t: ["train", "--data", write_frames(t / "d"), "--epochs", 0, "--rank", -1],
        "--epochs: epochs must be at least 1, found 0; --rank: rank must be at least 1, found -1",
        "--epochs 10; --rank 16",
    ),
    "no CUDA": (
        lambda t: ["train", "--data", write_frames(t / "d"), *SMALL, "--device", "cuda"],
        "PyTorch finds no CUDA device",
        "--device cpu",
    ),
    "unknown adapter": (lambda t: ["export", "--adapter", "polyps"], "no adapter 'polyps'", "gi-edge train"),
    "no adapter at all": (lambda t: ["export"], "no adapter in", "gi-edge train"),
    "no bundle at all": (lambda t: ["bench"], "no bundle in", "gi-edge export"),
    "unknown bundle": (lambda t: ["predict", "polyps", "x.jpg"], "no bundle 'polyps'", "gi-edge export"),
    "no result": (lambda t: ["report", t / "r.json"], "is no bench result", "gi-edge bench"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_with_its_mend(case, gi_edge, tmp_path, monkeypatch):
    if case == "no CUDA":
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    words, found, mend = BAD[case]
    done = gi_edge(*words(tmp_path), cwd=tmp_path)
    assert done.code == 1, done.err
    last = done.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert found in last
    assert mend in last.split("To mend: ")[1]
    assert "Traceback" not in done.err
    assert "log of" not in done.err
    assert not list((tmp_path / "adapters").glob("*"))
    assert not (tmp_path / "bundles").exists()


@pytest.mark.parametrize("words", [["train", *SMALL], ["export", "--fp16"]])
def test_an_existing_output_is_kept_without_force(copied, gi_edge, words):
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    done = gi_edge(*words, cwd=copied)
    assert done.code == 1
    assert "exists already. To mend: add --force" in done.err
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


def test_an_adapter_for_another_backbone_is_not_exported(copied, gi_edge):
    from safetensors.torch import save_file

    weights = load_file(Path(__file__).parents[2] / "gi_edge/modeling/weights/gi-edge-small.safetensors")
    save_file({name: tensor + 1e-3 for name, tensor in weights.items()}, copied / "other.safetensors")
    done = gi_edge("export", "--weights", copied / "other.safetensors", "--name", "x", cwd=copied)
    assert done.code == 1
    assert "not the base weights of the adapter" in done.err
    assert not (copied / "bundles" / "x").exists()


def test_a_gate_that_says_no_exits_3_and_writes_nothing(copied, gi_edge, monkeypatch):
    import gi_edge_export.run as export_run
    from gi_edge_export.deploy import deployed_from_model

    def sabotaged(model, spec, precision, input_form):
        network = deployed_from_model(model, spec, precision, input_form)
        if precision == "fp16":
            network.head.fc.weight.data = network.head.fc.weight.data.roll(1, dims=0)
        return network

    monkeypatch.setattr(export_run, "deployed_from_model", sabotaged)
    done = gi_edge("export", "--fp16", "--name", "x", cwd=copied)
    assert done.code == 3
    assert "the fp16 model does not answer as the trained one" in done.err
    assert not (copied / "bundles" / "x").exists()
    assert hidden_or_new(copied / "bundles") == []


def test_every_precision_and_scaled_images_in_one_bundle(copied, gi_edge):
    words = ["--fp16", "--bf16", "--input", "float", "--name", "x", "--allow-undecided", "--json"]
    done = gi_edge("export", *words, cwd=copied)
    assert done.code == 0, done.err
    manifest = json.loads(done.out)
    assert [(entry["precision"], entry["input"], entry["opset"]) for entry in manifest["models"]] == [
        ("fp32", "float", 20), ("fp16", "float", 20), ("bf16", "float", 22),
    ]  # fmt: skip
    assert manifest["headroom"]["size_px"] == manifest["preprocess"]["size_px"]
    assert "fp16 headroom on" in done.err
    done = gi_edge("bench", "x", *QUICK_WORDS, "--allow-undecided", "--json", cwd=copied)
    assert done.code == 0, done.err
    assert [model["precision"] for model in json.loads(done.out)["bundles"][0]["models"]] == ["fp32", "fp16"]
    assert "bf16: left out" in done.err
    done = gi_edge("bench", "x", "--precision", "bf16", "--speed-only", cwd=copied)
    assert done.code == 1
    assert "ONNX Runtime's CPUExecutionProvider cannot compute model.bf16.onnx" in done.err


def test_fp16_that_would_overflow_is_refused_before_it_is_made(copied, gi_edge, monkeypatch):
    import gi_edge_export.run as export_run
    from gi_edge_export.merge import merged_from_trained

    def loud(trained):
        merged = merged_from_trained(trained)
        convolution = merged.stages[1].blocks[0].conv_dw  # a norm follows, so that fp32 answers as before
        convolution.weight.data *= 1e6
        convolution.bias.data *= 1e6
        return merged

    monkeypatch.setattr(export_run, "merged_from_trained", loud)
    done = gi_edge("export", "--fp16", "--name", "x", cwd=copied)
    assert done.code == 3
    assert "fp16 overflows at stages.1.blocks.0: " in done.err
    assert not (copied / "bundles" / "x").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "b", ""],
        ["predict", "", "x.jpg"],
        ["bench", ""],
        ["compare", "a", ""],
        ["verify", ""],
        ["report", ""],
    ],
)
def test_an_empty_argument_is_not_the_current_folder(gi_edge, tmp_path, words):
    done = gi_edge(*words, cwd=tmp_path)
    assert done.code == 2, done.err
    assert "an empty argument would mean the current folder" in done.err
