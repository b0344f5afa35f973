"""Opening a model in a runtime: which engine fits this GPU, and what is said when none does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from engines import add_engine
from fake_cuda import Driver
from fake_tensorrt import tensorrt_module
from PIL import Image

from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.engine import PLAN_FILE, EngineTarget
from gi_edge.errors import ArtifactError, ConfigError, MissingDependencyError, RuntimeUnavailableError
from gi_edge.metrics.calibration import softmax
from gi_edge.runtime import backends
from gi_edge.runtime.backends import open_model
from gi_edge.runtime.classifier import Classifier
from gi_edge.runtime.cuda import Cuda
from gi_edge.runtime.device import CudaDevice, CudaDriver
from gi_edge.runtime.onnxruntime import open_session
from gi_edge.runtime.session import Backend
from gi_edge.runtime.tensorrt import Toolkit

ADA = CudaDevice("NVIDIA GeForce RTX 4090", "8.9")
ON_ADA = EngineTarget(device=ADA.name, compute_capabilities=("8.9",))
ON_AMPERE = EngineTarget(device="NVIDIA GeForce RTX 3090", compute_capabilities=("8.6",))
ON_OTHER_ADA = EngineTarget(device="NVIDIA L4", compute_capabilities=("8.9",))
FOR_MANY = EngineTarget(device=None, compute_capabilities=("8.6", "8.9"))
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
TENSORRT = Backend(runtime="tensorrt")
RTX = Backend(runtime="tensorrt-rtx")


@pytest.fixture
def path(workspace, tmp_path):
    return Path(shutil.copytree(workspace / "bundles" / "lesions", tmp_path / "lesions"))


@pytest.fixture
def driver(monkeypatch):
    """A machine with one Ada GPU, TensorRT 10.3.0 and TensorRT for RTX 1.7.1."""
    driver = Driver()
    versions = {"tensorrt": "10.3.0", "tensorrt-rtx": "1.7.1"}
    monkeypatch.setattr(backends, "cuda_driver", lambda: CudaDriver("580.65.06", "13.0", (ADA,)))
    monkeypatch.setattr(backends, "load_toolkit", lambda name: Toolkit(name, tensorrt_module(driver, versions[name])))
    monkeypatch.setattr(backends, "open_cuda", lambda runtime: Cuda(driver))
    return driver


def test_onnx_runtime_opens_the_model_file(path):
    bundle = read_bundle(path)
    opened = open_model(bundle, "fp32", Backend(provider="cpu", threads=1))
    assert (opened.file, opened.entry, opened.engine) == (path / "model.fp32.onnx", bundle.model("fp32"), None)
    expected = open_session(path / "model.fp32.onnx", "cpu").run(PIXELS)
    np.testing.assert_allclose(opened.session.run(PIXELS), expected, atol=1e-5)


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_the_engine_of_this_gpu_runs(path, driver, cuda_graph):
    folder = add_engine(path, ON_ADA)
    bundle = read_bundle(path)
    opened = open_model(bundle, "fp16", Backend(runtime="tensorrt", cuda_graph=cuda_graph))
    assert (opened.file, opened.entry) == (folder / PLAN_FILE, bundle.model("fp16", "tensorrt"))
    assert opened.engine is not None
    assert opened.engine.entry.target == ON_ADA
    for _ in range(2):
        expected = PIXELS.mean(axis=(1, 2)) + np.array([1, 2, 3])
        np.testing.assert_allclose(opened.session.run(PIXELS), expected, rtol=1e-5)
    assert driver.calls["cuGraphLaunch"] == int(cuda_graph)
    assert opened.session.runtime == "tensorrt 10.3.0"


@pytest.mark.parametrize(
    ("backend", "engines", "chosen"),
    [
        (TENSORRT, [(ON_AMPERE, "tensorrt-10.3.0"), (ON_ADA, "tensorrt-10.3.0")], ON_ADA),
        (TENSORRT, [(ON_ADA, "tensorrt-10.4.0"), (ON_ADA, "tensorrt-10.3.0")], ON_ADA),
        (RTX, [(FOR_MANY, "tensorrt-rtx-1.7.1"), (ON_ADA, "tensorrt-10.3.0")], FOR_MANY),
        (RTX, [(FOR_MANY, "tensorrt-rtx-1.7.1"), (ON_ADA, "tensorrt-rtx-1.7.1")], ON_ADA),
        (RTX, [(ON_OTHER_ADA, "tensorrt-rtx-1.7.1")], ON_OTHER_ADA),
    ],
)
def test_the_fitting_engine_is_chosen(path, driver, backend, engines, chosen):
    for target, runtime in engines:
        add_engine(path, target, runtime)
    opened = open_model(read_bundle(path), "fp16", backend)
    assert opened.engine is not None
    assert opened.engine.entry.target == chosen
    assert opened.engine.entry.runtime == backend.runtime


@pytest.mark.parametrize(
    ("backend", "engines", "match"),
    [
        (TENSORRT, [], r"has no fp16 engine for tensorrt$"),
        (
            TENSORRT,
            [(FOR_MANY, "tensorrt-rtx-1.7.1")],
            r"has no fp16 engine for tensorrt; there is sm86-sm89 \(tensorrt-rtx 1\.7\.1\)",
        ),
        (
            TENSORRT,
            [(ON_AMPERE, "tensorrt-10.3.0"), (ON_OTHER_ADA, "tensorrt-10.3.0")],
            r"are for another GPU: nvidia-geforce-rtx-3090 \(tensorrt 10\.3\.0\), nvidia-l4 \(tensorrt 10\.3\.0\); "
            r"this one is NVIDIA GeForce RTX 4090, compute capability 8\.9",
        ),
        (RTX, [(ON_AMPERE, "tensorrt-rtx-1.7.1")], "are for another GPU: nvidia-geforce-rtx-3090"),
        (
            TENSORRT,
            [(ON_ADA, "tensorrt-10.4.0")],
            r"were built by another version: nvidia-geforce-rtx-4090 \(tensorrt 10\.4\.0\); here is tensorrt 10\.3\.0",
        ),
    ],
)
def test_without_a_fitting_engine_it_is_said_which_there_are_and_what_builds_one(path, driver, backend, engines, match):
    for target, runtime in engines:
        add_engine(path, target, runtime)
    with pytest.raises(ArtifactError) as caught:
        open_model(read_bundle(path), "fp16", backend)
    assert caught.match(match.replace("$", " →"))
    assert caught.value.fix == f"gi-edge engine lesions --precision fp16 --runtime {backend.runtime}"


def orin(multiprocessors, gibibytes):
    return EngineTarget(
        device="Orin",
        compute_capabilities=("8.7",),
        multiprocessors=multiprocessors,
        memory_bytes=int(gibibytes * 2**30),
        is_integrated=True,
    )


OLDER = EngineTarget(device="Orin", compute_capabilities=("8.7",))
NX_8GB = CudaDevice("Orin", "8.7", int(7.4 * 2**30), 8, is_integrated=True)


@pytest.mark.parametrize(
    ("built_on", "serves"),
    [
        (orin(8, 7.4), True),
        (orin(8, 7.6), True),
        (OLDER, True),
        (orin(16, 61.4), False),
        (orin(8, 15.3), False),
        (orin(4, 7.4), False),
    ],
)
def test_an_engine_of_another_jetson_of_that_name_does_not_serve(path, driver, monkeypatch, built_on, serves):
    monkeypatch.setattr(backends, "cuda_driver", lambda: CudaDriver("540.4.0", "12.6", (NX_8GB,)))
    add_engine(path, built_on)
    if serves:
        assert open_model(read_bundle(path), "fp16", TENSORRT).engine.entry.target == built_on
        return
    with pytest.raises(ArtifactError) as caught:
        open_model(read_bundle(path), "fp16", TENSORRT)
    size = f"{built_on.multiprocessors} multiprocessors, {built_on.memory_bytes / 2**30:.1f} GiB"
    label = f"orin-{built_on.multiprocessors}-sm"
    here = "this one is Orin, compute capability 8.7, 8 multiprocessors, 7.4 GiB"
    assert caught.match(rf"are for another GPU: {label} \(tensorrt 10\.3\.0, {size}\); {here}")


def test_engines_of_two_jetsons_lie_side_by_side(path, driver, monkeypatch):
    monkeypatch.setattr(backends, "cuda_driver", lambda: CudaDriver("540.4.0", "12.6", (NX_8GB,)))
    for target in (orin(16, 61.4), orin(8, 7.4)):
        add_engine(path, target)
    assert open_model(read_bundle(path), "fp16", TENSORRT).engine.entry.target == orin(8, 7.4)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda folder: (folder / PLAN_FILE).write_bytes((folder / PLAN_FILE).read_bytes()[:-1]), "was altered"),
        (lambda folder: (folder / PLAN_FILE).unlink(), "is missing"),
        (lambda folder: (folder / "engine.json").write_text("{"), "cannot be read"),
        (
            lambda folder: (folder / "engine.json").write_text('{"kind": "engine", "schema_version": 1}'),
            "precision is missing",
        ),
    ],
)
def test_an_engine_that_is_not_whole_is_refused_before_it_is_loaded(path, driver, damage, match):
    damage(add_engine(path, ON_ADA))
    with pytest.raises((ArtifactError, ConfigError), match=match):
        open_model(read_bundle(path), "fp16", TENSORRT)
    assert driver.live == {}


def test_a_plan_swapped_between_the_check_and_the_load_is_refused(path, driver, monkeypatch):
    from gi_edge.runtime import engine_choice

    add_engine(path, ON_ADA)
    honest = engine_choice.read_engine

    def swapped(bundle, folder):
        engine = honest(bundle, folder)
        engine.plan.write_text('{"size": 64, "batch": [1, 2]}')
        return engine

    monkeypatch.setattr(engine_choice, "read_engine", swapped)
    with pytest.raises(ArtifactError, match="was altered while it was read"):
        open_model(read_bundle(path), "fp16", TENSORRT)


def test_a_broken_engine_of_another_gpu_does_no_harm(path, driver):
    (add_engine(path, ON_AMPERE) / "engine.json").write_text("{")
    (add_engine(path, ON_OTHER_ADA) / PLAN_FILE).unlink()
    add_engine(path, ON_ADA)
    opened = open_model(read_bundle(path), "fp16", TENSORRT)
    assert opened.engine is not None
    assert opened.engine.entry.target == ON_ADA


@pytest.mark.parametrize("batch", [[1, 2], [3, 3]])
def test_an_engine_of_few_frames_at_once_serves_predict_as_it_stands(path, driver, gi_edge, tmp_path, batch):
    add_engine(path, ON_ADA, batch=batch)
    frames = np.random.default_rng(1).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    classifier = Classifier.from_bundle(path, "fp16", TENSORRT)
    found = [answer.probabilities for answer in classifier.predict(frames)]
    logits = frames.mean(axis=(1, 2)).astype(np.float32) + np.array([1, 2, 3], np.float32)
    np.testing.assert_allclose(found, softmax(logits, read_bundle(path).manifest.temperature), atol=1e-5)
    for row, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{row}.png")
    images = sorted(tmp_path.glob("*.png"))
    done = gi_edge("predict", path, *images, "--runtime", "tensorrt", "--precision", "fp16", "--json", cwd=tmp_path)
    assert (done.code, len(done.out.splitlines())) == (0, 5), done.err


@pytest.mark.parametrize(
    ("backend", "match"),
    [
        (Backend(cuda_graph=True), "CUDA graphs are recorded of TensorRT engines only"),
        (Backend(runtime="tensorrt-rtx", cuda_graph=True), "not yet of TensorRT for RTX"),
        (Backend(runtime="tensorrt", provider="cuda"), "has no providers, but 'cuda' was asked for"),
        (Backend(runtime="tensorrt-rtx", threads=2), "has no number of threads"),
    ],
)
def test_settings_that_a_runtime_does_not_have_are_not_ignored(path, backend, match):
    with pytest.raises(ConfigError, match=match):
        open_model(read_bundle(path), "fp16", backend)


def test_without_a_gpu_an_engine_is_refused_with_the_reason(path, monkeypatch):
    monkeypatch.setattr(backends, "cuda_driver", lambda: CudaDriver(None, None, (), "libcuda.so.1 was not found"))
    with pytest.raises(RuntimeUnavailableError, match=r"tensorrt needs an NVIDIA GPU: libcuda\.so\.1 was not found"):
        open_model(read_bundle(path), "fp16", TENSORRT)


def test_without_onnx_runtime_its_extra_is_named(path, monkeypatch):
    monkeypatch.delitem(sys.modules, "gi_edge.runtime.onnxruntime")
    monkeypatch.delitem(sys.modules, "gi_edge.runtime.placements", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match="'onnxruntime' is not installed") as caught:
        open_model(read_bundle(path), "fp32", Backend())
    assert caught.value.fix == "pip install 'gi-edge[cuda]'"


def test_an_onnx_runtime_that_does_not_load_is_told_without_a_traceback(path, monkeypatch, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libonnxruntime.so: cannot open shared object file')")
    for name in ("onnxruntime", "gi_edge.runtime.onnxruntime", "gi_edge.runtime.placements"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeUnavailableError, match=r"installed but does not load: libonnxruntime\.so") as caught:
        open_model(read_bundle(path), "fp32", Backend())
    assert caught.value.fix == "gi-edge doctor"


@pytest.mark.parametrize("words", ["", "provider='cpu'"])
def test_loading_a_runtime_imports_it(words):
    code = (
        "import sys\n"
        "from gi_edge.runtime.backends import load_runtime\n"
        "from gi_edge.runtime.session import Backend\n"
        "assert 'onnxruntime' not in sys.modules\n"
        f"load_runtime(Backend({words}))\n"
        "assert 'onnxruntime' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_tensorrt_asks_for_the_toolkit_where_there_is_a_gpu(driver, monkeypatch):
    asked = []
    monkeypatch.setattr(backends, "load_toolkit", asked.append)
    backends.load_runtime(RTX)
    assert asked == ["tensorrt-rtx"]
    monkeypatch.setattr(backends, "cuda_driver", lambda: CudaDriver("", "", ()))
    backends.load_runtime(TENSORRT)
    assert asked == ["tensorrt-rtx"]
