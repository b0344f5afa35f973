"""ONNX Runtime: a provider that is not the one asked for is an error, and it is told where nodes went."""

from __future__ import annotations

import os
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from benches import hungry_graph

from gi_edge.errors import ArtifactError, ConfigError, RuntimeUnavailableError
from gi_edge.runtime import onnxruntime as module
from gi_edge.runtime import placements, probe
from gi_edge.runtime.device import has_cuda_device
from gi_edge.runtime.onnxruntime import open_session
from gi_edge.runtime.providers import provider_fault
from gi_edge.runtime.session import Placement
from gi_edge.runtime.tiny import TINY_GRAPH

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


@pytest.fixture
def model(workspace):
    return workspace / "bundles" / "lesions" / "model.fp32.onnx"


def test_a_bound_batch_answers_as_run_does_in_buffers_that_stay(model):
    session = open_session(model, "cpu", threads=1)
    expected = session.run(PIXELS)
    bound = session.bind(PIXELS)
    places = set()
    for _ in range(3):
        assert bound.run() > 0
        places.add(bound._logits.data_ptr())
        found = bound.logits()
        np.testing.assert_allclose(found, expected, atol=1e-5)
        found[:] = 0
    np.testing.assert_allclose(bound.logits(), expected, atol=1e-5)
    assert (len(places), bound.clock) == (1, "host")
    bound.close()


@pytest.mark.parametrize(("cpus", "found"), [(4, "has 4 logical CPUs"), (1, "has 1 logical CPU"), (None, "has 1 ")])
def test_more_threads_than_logical_cpus_are_refused_before_any_is_started(monkeypatch, cpus, found):
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    most = cpus or 1
    with pytest.raises(ConfigError, match=f"^{most + 1} threads were asked for, and this machine {found}") as caught:
        open_session(TINY_GRAPH, "cpu", threads=most + 1)
    assert caught.value.fix == f"--threads {most}, or fewer"
    assert open_session(TINY_GRAPH, "cpu", threads=most).provider == "CPUExecutionProvider"


def test_the_profile_and_the_record_agree_on_where_nodes_went(model, monkeypatch):
    session = open_session(model, "cpu")
    (recorded,) = session.placements
    monkeypatch.setattr(module, "placements_of", lambda session: None)
    (profiled,) = open_session(model, "cpu").placements
    assert recorded.provider == profiled.provider == "CPUExecutionProvider"
    assert {"Conv", "Gelu", "LayerNormalization"} <= set(recorded.operators) & set(profiled.operators)
    assert recorded.nodes >= 100
    assert profiled.nodes >= 100


def test_placements_are_found_when_asked_for_and_not_before(model, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "placements_of", lambda session: asked.append(session) or ())
    session = open_session(model, "cpu")
    session.run(PIXELS)
    assert asked == []
    assert session.placements == session.placements == ()
    assert len(asked) == 1


def test_nodes_on_another_provider_are_counted_apart_most_nodes_first():
    nodes = {"CUDAExecutionProvider": ["Conv", "Conv", "Gelu"], "CPUExecutionProvider": ["Reshape"]}
    groups = [
        SimpleNamespace(ep_name=name, get_nodes=lambda kinds=kinds: [SimpleNamespace(op_type=kind) for kind in kinds])
        for name, kinds in reversed(nodes.items())
    ]
    session = SimpleNamespace(get_provider_graph_assignment_info=lambda: groups)
    found = placements.placements_of(session)
    assert [(place.provider, place.nodes, place.operators) for place in found] == [
        ("CUDAExecutionProvider", 3, ("Conv", "Gelu")),
        ("CPUExecutionProvider", 1, ("Reshape",)),
    ]
    assert placements.placements_of(SimpleNamespace()) is None


def test_a_run_that_there_is_no_room_for_is_an_error_with_a_cure_and_the_session_goes_on(tmp_path):
    session = open_session(hungry_graph(tmp_path / "hungry.onnx"), "cpu")
    pixels = np.arange(4 * 48, dtype=np.uint8).reshape(4, 4, 4, 3)
    with pytest.raises(RuntimeUnavailableError, match="CPUExecutionProvider did not compute 4 frames: ") as caught:
        session.run(pixels)
    assert "--batch-size" in caught.value.fix
    bound = session.bind(pixels)
    with pytest.raises(RuntimeUnavailableError, match="did not compute 4 frames: "):
        bound.run()
    bound.close()
    np.testing.assert_allclose(session.run(pixels[:1]), pixels[:1].mean((1, 2)), rtol=1e-6)


class Fallen:
    """A session that quietly took another provider."""

    def __init__(self, path, options, providers, enable_fallback):
        assert enable_fallback == 0, "a failed run would be repeated on the CPU"
        Fallen.asked = providers

    def get_providers(self):
        return ["CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        ("cuda", [("CUDAExecutionProvider", {"use_tf32": "0"})]),
        ("tensorrt", ["TensorrtExecutionProvider", ("CUDAExecutionProvider", {"use_tf32": "0"})]),
    ],
)
def test_a_silent_fallback_is_an_error(model, monkeypatch, provider, asked):
    monkeypatch.setattr(module, "has_cuda_device", lambda: True)
    monkeypatch.setattr(module, "load_cuda_libraries", lambda: None)
    monkeypatch.setattr(module, "provider_fault", lambda provider: "libcudnn.so.9: cannot open shared object file")
    monkeypatch.setattr(module.ort, "get_available_providers", lambda: list(module.PROVIDER_NAMES.values()))
    monkeypatch.setattr(module.ort, "InferenceSession", Fallen)
    with pytest.raises(RuntimeUnavailableError) as caught:
        open_session(model, provider)
    assert caught.match(r"fell back to CPUExecutionProvider: libcudnn\.so\.9: cannot open")
    assert "--provider cpu" in caught.value.fix
    assert Fallen.asked == asked


def placed(*names):
    return tuple(Placement(name, 5, ("Conv",)) for name in names)


CPU, CUDA, TENSORRT = (module.PROVIDER_NAMES[name] for name in ("cpu", "cuda", "tensorrt"))


def cpu_session_named(monkeypatch, name):
    """Let sessions compute on the CPU, and name another provider first, as one does that takes no node."""
    real = module.ort.InferenceSession

    class Named(real):
        def __init__(self, path, options, providers, enable_fallback):
            real.__init__(self, path, options, providers=[CPU])

        def get_providers(self):
            return [name, CPU]

    monkeypatch.setattr(module, "has_cuda_device", lambda: True)
    monkeypatch.setattr(module, "load_cuda_libraries", lambda: None)
    monkeypatch.setattr(module.ort, "get_available_providers", lambda: list(module.PROVIDER_NAMES.values()))
    monkeypatch.setattr(module.ort, "InferenceSession", Named)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_takes_no_node_is_an_error(monkeypatch, provider):
    if not hasattr(module.ort.InferenceSession, "get_provider_graph_assignment_info"):
        pytest.skip("this ONNX Runtime tells by a run only")
    cpu_session_named(monkeypatch, module.PROVIDER_NAMES[provider])
    with pytest.raises(RuntimeUnavailableError, match=rf"took no node of the graph: all went to {CPU} →") as caught:
        open_session(TINY_GRAPH, provider)
    assert "--provider cpu" in caught.value.fix


def test_doctor_finds_it_also_where_only_a_run_tells(monkeypatch):
    cpu_session_named(monkeypatch, CUDA)
    monkeypatch.setattr(module, "placements_of", lambda session: None)
    assert open_session(TINY_GRAPH, "cuda").provider == CUDA
    with pytest.raises(RuntimeUnavailableError, match=f"{CUDA} was asked for, but it took no node"):
        probe.PROBES["onnxruntime cuda"]()


@pytest.mark.parametrize(
    ("provider", "places", "refused"),
    [
        ("cuda", placed(CUDA), False),
        ("cuda", placed(CPU, CUDA), False),
        ("cuda", placed(CPU), True),
        ("tensorrt", placed(TENSORRT, CUDA), False),
        ("tensorrt", placed(CUDA), True),
        ("tensorrt", placed(CUDA, CPU), True),
        ("tensorrt", (), False),
        ("cpu", placed(CPU), False),
    ],
)
def test_a_provider_must_take_some_node(provider, places, refused):
    with pytest.raises(RuntimeUnavailableError, match="took no node") if refused else nullcontext():
        module.check_placements(provider, places)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_the_real_library_falls_back_here_and_says_what_it_lacks(model, monkeypatch, provider):
    if has_cuda_device():
        pytest.skip("this machine has a GPU; the fallback cannot be provoked")
    if module.PROVIDER_NAMES[provider] not in module.ort.get_available_providers():
        pytest.skip("this ONNX Runtime was built without GPU providers")
    monkeypatch.setattr(module, "has_cuda_device", lambda: True)
    with pytest.raises(
        RuntimeUnavailableError, match=r"was asked for, but .*lib\w+\.so[\d.]*: cannot open shared object"
    ):
        open_session(model, provider)


def test_without_a_gpu_nothing_is_loaded_for_it(model, monkeypatch):
    monkeypatch.setattr(module, "has_cuda_device", lambda: False)
    monkeypatch.setattr(module.ort, "get_available_providers", lambda: list(module.PROVIDER_NAMES.values()))
    monkeypatch.setattr(module, "load_cuda_libraries", lambda: pytest.fail("CUDA was loaded"))
    with pytest.raises(RuntimeUnavailableError, match="the NVIDIA driver shows no GPU"):
        open_session(model, "cuda")
    assert open_session(model, "auto").provider == "CPUExecutionProvider"


@pytest.mark.parametrize("provider", ["auto", "cuda", "tensorrt"])
def test_on_a_jetson_without_gpu_providers_the_mend_is_not_to_install_the_same_again(model, monkeypatch, provider):
    monkeypatch.setattr(module.ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(module, "has_cuda_device", lambda: True)
    monkeypatch.setattr(module.platform, "machine", lambda: "aarch64")
    with pytest.raises(RuntimeUnavailableError, match="ExecutionProvider, only CPU") as caught:
        open_session(model, provider)
    assert caught.value.fix == "--provider cpu, or --runtime tensorrt with an engine: gi-edge engine BUNDLE"


def test_a_provider_that_was_not_built_in_names_the_extra(model, monkeypatch):
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(module.ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(RuntimeUnavailableError, match="has no CUDAExecutionProvider, only CPU") as caught:
        open_session(model, "cuda")
    assert caught.value.fix == "pip install 'gi-edge[cuda]', or --provider cpu"


def test_a_broken_file_is_not_blamed_on_the_provider(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="cannot load"):
        open_session(tmp_path / "model.onnx", "cpu")


def test_the_cpu_provider_is_always_there():
    assert provider_fault("cpu") == ""
