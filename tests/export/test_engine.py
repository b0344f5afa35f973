"""Engines built for real, by TensorRT for RTX, which needs no GPU to build."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from engines import AMPERE, SETTINGS, graph_of
from onnx import TensorProto, helper

from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.engine import BatchRange, read_engines
from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.errors import ArtifactError, ConfigError, GateError, RuntimeUnavailableError
from gi_edge.files import sha256_file
from gi_edge.progress import Silent
from gi_edge.runtime.device import cuda_device
from gi_edge_export.engine.build import build_plan, parse_onnx
from gi_edge_export.engine.config import EngineJob, EngineSettings
from gi_edge_export.engine.layers import check_layers, typed_layers
from gi_edge_export.engine.run import build_engine

pytestmark = pytest.mark.tensorrt
pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed: pip install 'gi-edge[tensorrt-rtx]'")


@pytest.fixture(scope="module")
def built(workspace, tmp_path_factory):
    """A bundle with one fp16 engine; copy it before changing it."""
    path = tmp_path_factory.mktemp("built") / "lesions"
    shutil.copytree(workspace / "bundles" / "lesions", path)
    build_engine(EngineJob(bundle=path, precision="fp16", settings=SETTINGS), Silent())
    return path


@pytest.fixture
def with_engine(built, tmp_path):
    return Path(shutil.copytree(built, tmp_path / "lesions"))


def engine_folder_of(bundle):
    return next((bundle / "engines").glob("*/fp16"))


def test_an_engine_joins_its_bundle_and_says_what_it_is(built):
    bundle = read_bundle(built)
    (engine,) = read_engines(bundle)
    entry = engine.entry
    assert engine.path.parent.name == f"sm86-sm120-tensorrt-rtx-{entry.runtime_version}"
    assert entry.target.compute_capabilities == ("8.6", "12.0")
    assert entry.onnx_sha256 == sha256_file(built / "model.fp16.onnx")
    assert entry.bundle_manifest_sha256 == sha256_file(built / MANIFEST)
    assert [(file.path, file.sha256) for file in entry.files] == [("model.plan", sha256_file(engine.plan))]
    assert (entry.proof.method, set(entry.proof.matrices), set(entry.proof.sums)) == (
        "typed network",
        {"fp16"},
        {"fp32"},
    )
    assert entry.proof.matrices["fp16"] == sum(
        node.op_type in ("Conv", "Gemm", "MatMul") for node in onnx.load(built / "model.fp16.onnx").graph.node
    )
    assert (entry.batch.text, entry.tf32, entry.timing_cache_sha256) == ("1:2:4", False, None)


def test_an_existing_engine_stays_unless_forced(with_engine):
    job = EngineJob(bundle=with_engine, precision="fp16", settings=SETTINGS)
    before = sha256_file(engine_folder_of(with_engine) / "engine.json")
    with pytest.raises(ArtifactError, match="exists already → add --force"):
        build_engine(job, Silent())
    assert sha256_file(engine_folder_of(with_engine) / "engine.json") == before
    build_engine(job.model_copy(update={"force": True}), Silent())
    assert sha256_file(engine_folder_of(with_engine) / "engine.json") != before


def rewrite(folder, **fields):
    path = folder / "engine.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def swap_plan_and_sidecar_hash(folder):
    """A plan of another origin whose hash is entered as well: what the sidecar alone cannot show."""
    (folder / "model.plan").write_bytes(b"another engine")
    digest = hashlib.sha256(b"another engine").hexdigest()
    rewrite(folder, files=[{"path": "model.plan", "size_bytes": 14, "sha256": digest}], onnx_sha256="0" * 64)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda f: (f / "model.plan").write_bytes(b"cut"), r"'model\.plan' was altered"),
        (lambda f: (f / "model.plan").unlink(), r"'model\.plan' is missing"),
        (lambda f: (f / "extra").write_bytes(b"x"), "'extra' is not listed"),
        (lambda f: (f / "engine.json").unlink(), "is no engine"),
        (lambda f: (f / "engine.json").write_text("[]"), "is no engine sidecar"),
        (lambda f: rewrite(f, files=[]), "is not listed"),
        (lambda f: rewrite(f, onnx_sha256="0" * 64), r"built from another model\.fp16\.onnx"),
        (lambda f: rewrite(f, bundle_manifest_sha256="0" * 64), "another export"),
        (swap_plan_and_sidecar_hash, r"built from another model\.fp16\.onnx"),
        (lambda f: f.rename(f.parent / "fp32"), "another target, runtime or precision"),
        (lambda f: f.rename(f.parent / "x") and f.symlink_to(f.parent / "x"), "through a link"),
    ],
)
def test_an_engine_that_is_not_this_bundles_is_refused(with_engine, damage, match):
    damage(engine_folder_of(with_engine))
    bundle = read_bundle(with_engine)
    with pytest.raises(ArtifactError, match=match):
        read_engines(bundle)


def reseal(bundle, name):
    """Enter a changed file's hash into the manifest, as somebody with write access could."""
    content = json.loads((bundle / MANIFEST).read_text())
    for entry in content["files"]:
        if entry["path"] == name:
            entry.update(size_bytes=(bundle / name).stat().st_size, sha256=sha256_file(bundle / name))
    (bundle / MANIFEST).write_text(json.dumps(content))


def test_an_fp32_graph_passed_off_as_fp16_gives_no_engine(bundle, gi_edge):
    shutil.copyfile(bundle / "model.fp32.onnx", bundle / "model.fp16.onnx")
    reseal(bundle, "model.fp16.onnx")
    done = gi_edge("engine", "lesions", "--precision", "fp16", "--sm", "86", cwd=bundle.parent.parent)
    assert done.code == 3
    assert "fp16 was asked for, but" in done.err
    assert "computes in fp32" in done.err
    assert not (bundle / "engines").exists()


def test_an_unsupported_operator_is_named_with_its_node(rtx, tmp_path):
    path = graph_of(tmp_path / "det.onnx", [helper.make_node("Det", ["x"], ["y"], name="the_det")])
    with pytest.raises(RuntimeUnavailableError, match=r"does not take det\.onnx: Det 'the_det': not supported"):
        parse_onnx(rtx, path)


@pytest.mark.parametrize("content", [b"", b"hello", None])
def test_what_is_no_graph_is_refused(rtx, tmp_path, content):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RuntimeUnavailableError, match=r"does not take model\.onnx"):
        parse_onnx(rtx, path)


def test_products_with_a_vector_of_ones_are_sums_and_int8_is_seen_behind_its_dequantisation(rtx, tmp_path):
    weight = np.ones((4, 3), np.int8)
    nodes = [
        helper.make_node("MatMul", ["ones", "x"], ["energy"], name="energy"),
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["weight", "scale", "zero"], ["w"]),
        helper.make_node("MatMul", ["d", "w"], ["product"], name="product"),
        helper.make_node("MatMul", ["x", "wide"], ["plain"], name="plain"),
        helper.make_node("Add", ["product", "plain"], ["both"]),
        helper.make_node("ReduceSum", ["energy", "axis"], ["total"], name="total"),
        helper.make_node("Add", ["both", "total"], ["y"]),
    ]
    weights = [
        ("ones", np.ones((1, 4), np.float32)),
        ("scale", np.float32(0.1)),
        ("zero", np.int8(0)),
        ("weight", weight),
        ("wide", np.ones((4, 3), np.float32)),
        ("axis", np.array([2])),
    ]
    parsed = parse_onnx(rtx, graph_of(tmp_path / "m.onnx", nodes, [(n, np.asarray(w)) for n, w in weights]))
    found = {layer.name: (layer.kind, layer.type) for layer in typed_layers(parsed.network)}
    assert found["energy"] == found["total"] == ("sum", "fp32")
    assert found["product"] == ("matrix", "int8")
    assert found["plain"] == ("matrix", "fp32")


def test_a_softmax_in_half_is_a_sum_that_no_engine_may_have(rtx, tmp_path):
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["half", "w"], ["scores"], name="product"),
        helper.make_node("Softmax", ["scores"], ["shares"], name="attention"),
        helper.make_node("Cast", ["shares"], ["y"], to=TensorProto.FLOAT),
    ]
    parsed = parse_onnx(rtx, graph_of(tmp_path / "m.onnx", nodes, [("w", np.eye(4, dtype=np.float16)[None])]))
    with pytest.raises(GateError, match="'attention' computes in fp16, not fp32 for sums"):
        check_layers(parsed.layers, "fp16")


def test_a_fixed_batch_is_refused(rtx, tmp_path):
    path = graph_of(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], shape=(2, 4, 4))
    with pytest.raises(ConfigError, match=r"the input 'x' has shape \(2, 4, 4\), not a free batch"):
        build_plan(parse_onnx(rtx, path), AMPERE, SETTINGS, "", Silent())


def test_too_little_workspace_is_told_in_the_runtimes_words(rtx, bundle):
    tight = SETTINGS.model_copy(update={"workspace_mb": 1, "batch": BatchRange(minimum=64, optimum=64, maximum=64)})
    parsed = parse_onnx(rtx, bundle / "model.fp32.onnx")
    with pytest.raises(RuntimeUnavailableError, match="workspace limit"):
        build_plan(parsed, AMPERE, tight, "", Silent())


def test_the_cli_builds_every_model_and_prints_the_sidecars(bundle, gi_edge):
    done = gi_edge("engine", "lesions", "--sm", "8.6,sm120", "--batch", "1:2:4", "--json", cwd=bundle.parent.parent)
    assert done.code == 0, done.err
    entries = [json.loads(line) for line in done.out.splitlines()]
    assert [entry["precision"] for entry in entries] == ["fp32", "fp16"]
    assert [set(entry["proof"]["matrices"]) for entry in entries] == [{"fp32"}, {"fp16"}]
    assert "matrix layers" in done.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--sm", "90"], 1, "does not serve SM 90"),
        (["--sm", "eight"], 1, "--sm 86,89,120"),
        (["--sm", "86", "--batch", "4:2:1"], 1, "1 <= minimum <= optimum <= maximum"),
        (["--sm", "86", "--precision", "fp8"], 1, "has no fp8 model, only fp32, fp16"),
        (["--sm", "86", "--triton"], 1, "Triton serves plans of TensorRT"),
        (["--sm", "86", "--workspace-mb", "0"], 1, "workspace_mb"),
        (["--runtime", "onnx"], 2, "tensorrt-rtx"),
    ],
)
def test_wrong_words_are_told_and_nothing_is_written(bundle, gi_edge, words, code, told):
    done = gi_edge("engine", "lesions", *words, cwd=bundle.parent.parent)
    assert (done.code, told in done.err) == (code, True), done.err
    assert not (bundle / "engines").exists()


@pytest.mark.gpu
@pytest.mark.skipif(cuda_device() is None, reason="no GPU that the driver shows")
@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_an_engine_for_this_gpu_is_inspected(bundle, name):
    pytest.importorskip(name.replace("-", "_"), reason=f"{name} is not installed")
    entry = build_engine(EngineJob(bundle=bundle, precision="fp16", settings=EngineSettings(runtime=name)), Silent())
    assert entry.target.device == cuda_device().name
    assert entry.proof.matrices == {"fp16": entry.proof.matrices["fp16"]}
    assert (entry.timing_cache_sha256 is not None) == (name == "tensorrt")
