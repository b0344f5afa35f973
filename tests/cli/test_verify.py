"""gi-edge verify: every question has a damage that it alone notices."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from altered import answers, reseal

from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.files import sha256_file


@pytest.fixture
def bundle(workspace, tmp_path):
    return Path(shutil.copytree(workspace / "bundles" / "lesions", tmp_path / "bundles" / "lesions"))


def test_a_whole_bundle_passes_and_is_named_by_its_hash(bundle, gi_edge):
    done, found = answers(gi_edge, bundle)
    assert done.code == 0, done.err
    assert {check["status"] for check in found.values()} == {"pass"}
    assert list(found)[:4] == ["files", "preprocess", "reference", "training"]
    assert found["engines folder"]["detail"] == "none: the bundle is ONNX only"
    assert json.loads(done.out)["manifest_sha256"] == sha256_file(bundle / MANIFEST)
    table = gi_edge("verify", "lesions", cwd=bundle.parent.parent)
    assert "model.fp16.onnx graph" in table.out
    assert sha256_file(bundle / MANIFEST) in table.out


def test_damaged_files_end_it_at_once_with_exit_code_3(bundle, gi_edge):
    (bundle / "labels.txt").write_text("a\n")
    done, found = answers(gi_edge, bundle)
    assert done.code == 3
    assert list(found) == ["files"]
    assert "not as it was made: files: " in done.err
    assert "'labels.txt' was altered" in done.err


def swap_two_labels(bundle):
    path = bundle / "labels.txt"
    first, second, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join((second, first, *rest)))


def other_mean(bundle):
    path = bundle / "preprocess.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mean": [0.5, 0.5, 0.5]}))


def change_reference(bundle, **change):
    path = bundle / "reference.npz"
    with np.load(path, allow_pickle=False) as arrays:
        content = dict(arrays)
    for name, function in change.items():
        content[name] = function(content[name])
    np.savez(path, **content)


def not_finite(logits):
    return np.where(np.arange(len(logits))[:, None] == 0, np.float32("nan"), logits)


def swap_classes_in_the_graph(bundle):
    path = bundle / "model.fp16.onnx"
    graph = onnx.load(path)
    for item in graph.metadata_props:
        if item.key == "gi_edge.classes":
            item.value = json.dumps(json.loads(item.value)[::-1])
    onnx.save(graph, path)


def change_properties(bundle, **change):
    path = bundle / "model.fp16.onnx"
    graph = onnx.load(path)
    for item in graph.metadata_props:
        item.value = change.get(item.key.removeprefix("gi_edge."), item.value)
    onnx.save(graph, path)


def hotter_manifest(bundle):
    """Of a softer temperature than the files were made with, their properties changed along."""
    listing = bundle / MANIFEST
    content = json.loads(listing.read_text())
    content["temperature"] *= 2
    content["calibration"]["temperature"] *= 2
    content["models"] = [item for item in content["models"] if item["precision"] == "fp16"]
    (bundle / "model.fp32.onnx").unlink()
    content["files"] = [item for item in content["files"] if item["path"] != "model.fp32.onnx"]
    listing.write_text(json.dumps(content))
    change_properties(bundle, temperature=repr(content["temperature"]))


def other_input_form(bundle):
    listing = bundle / MANIFEST
    content = json.loads(listing.read_text())
    content["models"][1]["input"] = "float"
    listing.write_text(json.dumps(content))


def other_types_in_the_graph(bundle):
    shutil.copyfile(bundle / "model.fp32.onnx", bundle / "model.fp16.onnx")


def break_the_graph(bundle):
    path = bundle / "model.fp32.onnx"
    graph = onnx.load(path)
    del graph.graph.node[3]
    onnx.save(graph, path)


def stray_file(bundle):
    (bundle / "engines").mkdir()
    (bundle / "engines" / "model.plan").write_bytes(b"x")


def engine_without_sidecar(bundle):
    folder = bundle / "engines" / "gpu-tensorrt-10.3.0" / "fp16"
    folder.mkdir(parents=True)
    (folder / "model.plan").write_bytes(b"x")


@pytest.mark.parametrize(
    ("damage", "check", "detail"),
    [
        (swap_two_labels, "files", "its manifest has other classes than labels.txt"),
        (other_mean, "preprocess", "the manifest says"),
        (lambda b: change_reference(b, logits=lambda a: a[:, :2]), "reference", "shape of the logits"),
        (lambda b: change_reference(b, logits=lambda a: a.astype(np.float64)), "reference", "type of the logits"),
        (lambda b: change_reference(b, logits=not_finite), "reference", "not finite"),
        (lambda b: change_reference(b, label=lambda a: a + 1), "reference", "outside 0 to 2"),
        (lambda b: change_reference(b, label=lambda a: a[1:]), "reference", "number of labels"),
        (lambda b: change_reference(b, frame=lambda a: np.char.add(a, "x")), "reference", "frames"),
        (swap_classes_in_the_graph, "model.fp16.onnx graph", "gi_edge.classes"),
        (lambda b: change_properties(b, temperature="9.0"), "model.fp16.onnx graph", "gi_edge.temperature"),
        (lambda b: change_properties(b, adapter_sha256="0" * 64), "model.fp16.onnx graph", "gi_edge.adapter_sha256"),
        (lambda b: change_properties(b, dataset_licence="CC0"), "model.fp16.onnx graph", "gi_edge.dataset_licence"),
        (other_input_form, "model.fp16.onnx graph", "inputs: found [('pixels', (64, 64, 3))]"),
        (hotter_manifest, "model.fp16.onnx answers", "not the softmax of its logits"),
        (other_types_in_the_graph, "model.fp16.onnx graph", "fp16 was asked for, but"),
        (break_the_graph, "model.fp32.onnx graph", "onnx refuses it"),
        (stray_file, "engines folder", "engines/model.plan: no engine's"),
        (engine_without_sidecar, "engines/gpu-tensorrt-10.3.0/fp16", "engine.json cannot be read"),
    ],
)
def test_what_the_hashes_cannot_show_is_found(bundle, gi_edge, damage, check, detail):
    damage(bundle)
    reseal(bundle)
    done, found = answers(gi_edge, bundle)
    assert done.code == 3, done.err
    assert {name for name, item in found.items() if item["status"] == "fail"} == {check}
    assert detail in found[check]["detail"]
    assert check in done.err


def test_a_verdict_about_another_file_is_found(bundle, gi_edge):
    path = bundle / "model.fp32.onnx"
    graph = onnx.load(path)
    graph.producer_name = "somebody else"
    onnx.save(graph, path)
    reseal(bundle, verdicts=False)
    done, found = answers(gi_edge, bundle)
    assert done.code == 3
    assert {name for name, item in found.items() if item["status"] == "fail"} == {"model.fp32.onnx verdict"}
    assert "sha256" in found["model.fp32.onnx verdict"]["detail"]


def test_without_onnx_the_graph_is_loaded_and_the_rest_said_to_be_skipped(bundle, gi_edge, monkeypatch):
    real = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("gi_edge_export.bundle_check.find_spec", lambda name: None if name == "onnx" else real(name))
    done, found = answers(gi_edge, bundle)
    assert done.code == 0, done.err
    assert found["model.fp16.onnx answers"]["status"] == "pass"
    assert "probabilities are the softmax" in found["model.fp16.onnx answers"]["detail"]
    assert found["model.fp16.onnx graph"]["status"] == "skipped"
    assert "pip install onnx" in found["model.fp16.onnx graph"]["detail"]
    break_the_graph(bundle)
    reseal(bundle)
    done, found = answers(gi_edge, bundle)
    assert (done.code, found["model.fp32.onnx answers"]["status"]) == (3, "fail")


def test_a_model_that_onnxruntime_cannot_compute_is_skipped_not_called_damaged(bundle, gi_edge):
    graph = onnx.load(bundle / "model.fp16.onnx")
    for item in (*graph.graph.node, *graph.graph.initializer):
        if isinstance(item, onnx.TensorProto) and item.data_type == onnx.TensorProto.FLOAT16:
            wide = onnx.numpy_helper.to_array(item).astype(ml_dtypes.bfloat16)
            item.CopyFrom(onnx.numpy_helper.from_array(wide, item.name))
        for attribute in getattr(item, "attribute", ()):
            if attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT16:
                attribute.i = onnx.TensorProto.BFLOAT16
    graph.opset_import[0].version = 22
    del graph.graph.value_info[:]
    for item in graph.metadata_props:
        item.value = "bf16" if item.key == "gi_edge.precision" else item.value
    onnx.save(graph, bundle / "model.fp16.onnx")
    listing = bundle / MANIFEST
    content = json.loads(listing.read_text())
    content["models"][1].update(precision="bf16", opset=22)
    listing.write_text(json.dumps(content))
    reseal(bundle)
    done, found = answers(gi_edge, bundle)
    assert (done.code, found["model.fp16.onnx graph"]["status"]) == (0, "pass"), done.err
    assert found["model.fp16.onnx answers"]["status"] == "skipped"
    assert "cannot compute model.fp16.onnx" in found["model.fp16.onnx answers"]["detail"]


def test_no_bundle_of_that_name_is_an_ordinary_error(bundle, gi_edge):
    done = gi_edge("verify", "lesion", cwd=bundle.parent.parent)
    assert done.code == 1
    assert "did you mean 'lesions'" in done.err
