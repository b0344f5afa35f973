"""Model repositories, held against Triton's own protobuf definitions."""

from __future__ import annotations

import importlib.util
import shutil
from importlib import metadata

import pytest
from google.protobuf import text_format

from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.engine import BatchRange
from gi_edge_export.repository import write_onnx_repository
from gi_edge_export.triton import Tensor, TritonModel, config_text, write_triton_model

PLAN = TritonModel(
    name='caf\u00e9 "x"',
    backend="tensorrt",
    inputs=(Tensor("pixels", "TYPE_UINT8", (224, 224, 3)),),
    outputs=(Tensor("logits", "TYPE_FP32", (5,)), Tensor("probabilities", "TYPE_FP32", (5,))),
    batch=BatchRange(minimum=1, optimum=4, maximum=16),
)


@pytest.fixture(scope="module")
def parse():
    """Parse config.pbtxt as Triton does; the message comes from tritonclient, whose package would import grpc."""
    try:
        files = metadata.files("tritonclient") or []
    except metadata.PackageNotFoundError:
        pytest.skip("tritonclient, which brings Triton's definitions, is not installed: pip install 'gi-edge[dev]'")
    path = next(file for file in files if file.name == "model_config_pb2.py").locate()
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda text: text_format.Parse(text, module.ModelConfig())


def test_a_plan_is_described_in_tritons_own_terms(parse):
    config = parse(config_text(PLAN))
    assert (config.name, config.backend, config.max_batch_size) == ('caf\u00e9 "x"', "tensorrt", 16)
    (pixels,) = config.input
    assert (pixels.name, list(pixels.dims)) == ("pixels", [224, 224, 3])
    assert type(pixels).DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[pixels.data_type].name == (
        "TYPE_UINT8"
    )
    assert [(item.name, list(item.dims), item.label_filename) for item in config.output] == [
        ("logits", [5], "labels.txt"),
        ("probabilities", [5], "labels.txt"),
    ]
    assert list(config.dynamic_batching.preferred_batch_size) == [4]
    assert config.dynamic_batching.max_queue_delay_microseconds == 1000
    (group,) = config.instance_group
    assert (group.count, group.kind) == (1, type(group).KIND_GPU)


def test_files_lie_where_triton_looks_and_cost_no_space(tmp_path):
    (tmp_path / "model.plan").write_bytes(b"plan")
    (tmp_path / "labels").write_text("a\nb\n")
    folder = write_triton_model(tmp_path / "repository", PLAN, (tmp_path / "model.plan",), tmp_path / "labels")
    assert folder.name == PLAN.name
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "1/model.plan",
        "config.pbtxt",
        "labels.txt",
    ]
    assert (folder / "1" / "model.plan").stat().st_ino == (tmp_path / "model.plan").stat().st_ino


def test_where_the_disk_has_no_links_files_are_copied(tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError("no hard links here")

    monkeypatch.setattr("os.link", refuse)
    for name in ("model.onnx", "model.onnx.data", "labels"):
        (tmp_path / name).write_text(name)
    model = PLAN.__class__(**{**vars(PLAN), "backend": "onnxruntime"})
    files = (tmp_path / "model.onnx", tmp_path / "model.onnx.data")
    folder = write_triton_model(tmp_path / "repository", model, files, tmp_path / "labels")
    assert [(path.name, path.read_text()) for path in sorted((folder / "1").iterdir())] == [
        ("model.onnx", "model.onnx"),
        ("model.onnx.data", "model.onnx.data"),
    ]


def test_what_onnxruntime_cannot_load_is_left_out_of_its_repository(workspace, tmp_path):
    bundle = read_bundle(workspace / "bundles" / "lesions")
    single, half = bundle.manifest.models
    models = (single, half.model_copy(update={"precision": "bf16"}))
    for name in (single.path, half.path, "labels.txt"):
        shutil.copyfile(bundle.path / name, tmp_path / name)
    write_onnx_repository(tmp_path, "x", models)
    assert [path.name for path in (tmp_path / "model_repository").iterdir()] == ["x-fp32-onnx"]


@pytest.mark.tensorrt
def test_export_writes_repository_and_engines_that_the_bundle_accepts(copied, gi_edge, parse):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    shared = ["--adapter", "lesions", "--name", "served", "--force"]
    done = gi_edge("export", *shared, "--triton", "--engine", "tensorrt-rtx", "--sm", "86", cwd=copied)
    assert done.code == 0, done.err
    bundle = read_bundle(copied / "bundles" / "served")
    config = parse((bundle.path / "model_repository" / "served-fp32-onnx" / "config.pbtxt").read_text())
    assert (config.name, config.backend, config.max_batch_size) == ("served-fp32-onnx", "onnxruntime", 32)
    assert [(item.name, list(item.dims)) for item in config.input] == [("pixels", [64, 64, 3])]
    assert ("logits", [3]) in [(item.name, list(item.dims)) for item in config.output]
    listed = {file.path for file in bundle.manifest.files}
    assert "model_repository/served-fp32-onnx/1/model.onnx" in listed
    assert not any(path.startswith("engines") for path in listed)
    assert gi_edge("verify", "served", cwd=copied).code == 0


def test_export_refuses_an_engine_it_cannot_build_before_it_begins(workspace, gi_edge):
    words = ["export", "--name", "never", "--engine", "tensorrt-rtx", "--sm", "90"]
    done = gi_edge(*words, cwd=workspace)
    assert done.code == 1
    assert "merged" not in done.err
    assert not (workspace / "bundles" / "never").exists()


def test_engine_options_without_an_engine_are_a_usage_error(workspace, gi_edge):
    done = gi_edge("export", "--name", "never", "--sm", "86", cwd=workspace)
    assert done.code == 2
    assert "--sm shapes an engine; add --engine" in done.err
