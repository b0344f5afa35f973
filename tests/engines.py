"""What the tests of engines share."""

from __future__ import annotations

import json

import onnx
from onnx import TensorProto, helper, numpy_helper

from gi_edge.artifacts.engine import (
    PLAN_FILE,
    BatchRange,
    EngineEntry,
    EngineTarget,
    PrecisionProof,
    engine_folder,
    write_engine_entry,
)
from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.files import sha256_file
from gi_edge_export.engine.config import EngineSettings

SETTINGS = EngineSettings(sms=(86, 120), batch=BatchRange(minimum=1, optimum=2, maximum=4))
AMPERE = EngineTarget(device=None, compute_capabilities=("8.6",))


def graph_of(path, nodes, weights=(), shape=(None, 4, 4)):
    """Write a small ONNX file from x to y."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(size))
        for name, size in (("x", shape), ("y", [None] * 3))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(w, n) for n, w in weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def add_engine(path, target, runtime="tensorrt-10.3.0", precision="fp16", **told):
    """Put an engine into a bundle; its plan is one that the fake runtime computes."""
    name, _, version = runtime.rpartition("-")
    folder = engine_folder(path, target, runtime, precision)
    folder.mkdir(parents=True)
    (folder / PLAN_FILE).write_text(json.dumps({"size": 64, **told}))
    entry = EngineEntry(
        precision=precision,
        runtime=name,
        runtime_version=version,
        target=target,
        batch=BatchRange(minimum=1, optimum=2, maximum=4),
        tf32=False,
        workspace_mb=None,
        onnx_sha256=sha256_file(path / f"model.{precision}.onnx"),
        bundle_manifest_sha256=sha256_file(path / MANIFEST),
        files=(),
        timing_cache_sha256=None,
        proof=PrecisionProof(method="typed network", matrices={precision: 1}, sums={}),
        build_seconds=1.0,
        created="2025-01-01T00:00:00+00:00",
        gi_edge_version="0.1.0",
    )
    write_engine_entry(folder, entry)
    return folder
