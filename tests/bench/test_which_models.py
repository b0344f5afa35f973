"""Which models are measured, on which backend, and what is told of the others."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from benches import QUICK, Fake, job, opened

import gi_edge_bench.models as bench_models
from gi_edge.artifacts.bundle import read_bundle
from gi_edge.errors import MissingDependencyError, RuntimeUnavailableError
from gi_edge.progress import Silent
from gi_edge.runtime.backends import open_model
from gi_edge.runtime.session import Backend
from gi_edge_bench.run import run


def test_every_model_is_loaded_from_the_bundle_that_was_hashed_on_the_backend_asked_for(workspace, monkeypatch):
    loaded = []

    def spy(bundle, precision, backend):
        loaded.append((precision, backend))
        return open_model(bundle, precision, backend)

    monkeypatch.setattr(bench_models, "open_model", spy)
    backend = Backend(provider="cpu", threads=1)
    run(job(workspace, settings=QUICK.model_copy(update={"backend": backend})), Silent())
    assert loaded == [("fp32", backend), ("fp16", backend)]


def test_an_optional_engine_that_cannot_run_is_told_and_left_out_a_named_one_is_an_error(workspace, monkeypatch):
    said = []

    class Listening(Silent):
        def say(self, text):
            said.append(text)

    def unavailable(bundle, precision, backend):
        raise RuntimeUnavailableError("no GPU of its target", fix="gi-edge engine lesions")

    bundle = read_bundle(workspace / "bundles" / "lesions")
    monkeypatch.setattr(bench_models, "load_runtime", lambda backend: None)
    monkeypatch.setattr(bench_models, "open_model", unavailable)
    candidate = bench_models.Candidate("fp32", Backend(runtime="tensorrt"), is_optional=True)
    pixels = np.zeros((1, 64, 64, 3), np.uint8)
    assert bench_models.open_candidate(bundle, candidate, pixels, Listening()) is None
    assert said == ["lesions fp32: the tensorrt engine is left out: no GPU of its target → gi-edge engine lesions"]
    named = bench_models.Candidate("fp32", Backend(runtime="tensorrt"))
    with pytest.raises(RuntimeUnavailableError, match="no GPU of its target"):
        bench_models.open_candidate(bundle, named, pixels, Silent())


def engine_of(precision, runtime="tensorrt", minimum=1):
    batch = SimpleNamespace(minimum=minimum, optimum=8, maximum=16, text=f"{minimum}:8:16")
    return SimpleNamespace(entry=SimpleNamespace(precision=precision, runtime=runtime, batch=batch))


@pytest.mark.parametrize(
    ("changes", "device", "found"),
    [
        ({}, None, [("fp32", "onnxruntime"), ("fp16", "onnxruntime")]),
        ({"with_engines": True}, None, [("fp32", "onnxruntime"), ("fp16", "onnxruntime")]),
        (
            {"with_engines": True},
            "a GPU",
            [("fp32", "onnxruntime"), ("fp16", "onnxruntime"), ("fp16", "tensorrt"), ("fp16", "tensorrt-rtx")],
        ),
        ({"with_engines": True, "precisions": ("fp32",)}, "a GPU", [("fp32", "onnxruntime")]),
        ({"backend": Backend(runtime="tensorrt")}, "a GPU", [("fp16", "tensorrt")]),
        ({"backend": Backend(runtime="tensorrt"), "precisions": ("fp32",)}, "a GPU", [("fp32", "tensorrt")]),
    ],
)
def test_which_models_are_measured(workspace, monkeypatch, changes, device, found):
    engines = (engine_of("fp16"), engine_of("fp16"), engine_of("fp16", "tensorrt-rtx"))
    monkeypatch.setattr(bench_models, "read_engines", lambda bundle: engines)
    monkeypatch.setattr(bench_models, "cuda_device", lambda: device)
    bundle = read_bundle(workspace / "bundles" / "lesions")
    candidates = bench_models.candidates_of(bundle, QUICK.model_copy(update=changes), Silent())
    assert [(item.precision, item.backend.runtime) for item in candidates] == found
    assert all(
        item.is_optional == (item.backend.runtime != changes.get("backend", QUICK.backend).runtime)
        for item in candidates
    )


def test_an_engine_that_takes_no_single_frames_is_refused_with_the_command_that_builds_one(workspace, monkeypatch):
    bundle = read_bundle(workspace / "bundles" / "lesions")
    model = replace(opened(bundle, Fake()), engine=engine_of("fp32", minimum=4))
    monkeypatch.setattr(bench_models, "load_runtime", lambda backend: None)
    monkeypatch.setattr(bench_models, "open_model", lambda *given: model)
    candidate = bench_models.Candidate("fp32", Backend(runtime="tensorrt"))
    with pytest.raises(RuntimeUnavailableError, match=r"takes 4 frames at least \(batch 4:8:16\)") as caught:
        bench_models.open_candidate(bundle, candidate, np.zeros((1, 64, 64, 3), np.uint8), Silent())
    assert caught.value.fix == "gi-edge engine lesions --batch 1:8:16 --force"


def test_loading_the_runtime_is_no_part_of_the_first_models_load_time(workspace, monkeypatch):
    bundle, order = read_bundle(workspace / "bundles" / "lesions"), []

    def load(backend):
        order.append(backend.runtime)
        time.sleep(0.5)

    def open_quickly(*given):
        order.append("open")
        return opened(bundle, Fake())

    monkeypatch.setattr(bench_models, "load_runtime", load)
    monkeypatch.setattr(bench_models, "open_model", open_quickly)
    candidate = bench_models.Candidate("fp32", Backend())
    _, startup = bench_models.open_candidate(bundle, candidate, np.zeros((1, 64, 64, 3), np.uint8), Silent())
    assert order == ["onnxruntime", "open"]
    assert startup.load_ms < 400


def test_a_runtime_that_is_not_there_leaves_an_optional_model_out(workspace, monkeypatch):
    def missing(backend):
        raise MissingDependencyError("no tensorrt", fix="pip install it")

    monkeypatch.setattr(bench_models, "load_runtime", missing)
    bundle, pixels = read_bundle(workspace / "bundles" / "lesions"), np.zeros((1, 64, 64, 3), np.uint8)
    optional = bench_models.Candidate("fp32", Backend(runtime="tensorrt"), is_optional=True)
    assert bench_models.open_candidate(bundle, optional, pixels, Silent()) is None
    with pytest.raises(MissingDependencyError, match="no tensorrt"):
        bench_models.open_candidate(bundle, bench_models.Candidate("fp32", Backend()), pixels, Silent())
