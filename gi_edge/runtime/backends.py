"""A model of a bundle, opened in whichever runtime is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gi_edge.artifacts.bundle import Bundle, ModelEntry
from gi_edge.artifacts.engine import Engine, RuntimeName, read_plan
from gi_edge.artifacts.properties import model_properties
from gi_edge.deps import extra
from gi_edge.errors import ArtifactError, ConfigError, RuntimeUnavailableError
from gi_edge.metrics.parity import Precision
from gi_edge.runtime.cuda import open_cuda
from gi_edge.runtime.device import cuda_driver
from gi_edge.runtime.engine_choice import build_command, fitting_engine
from gi_edge.runtime.session import Backend, Session
from gi_edge.runtime.tensorrt import load_toolkit


@dataclass(frozen=True)
class OpenModel:
    """A session and the files behind it."""

    session: Session
    file: Path
    """The ONNX file, or the plan of an engine."""
    entry: ModelEntry
    """Of the ONNX file; that which the engine was built from."""
    engine: Engine | None
    """None in ONNX Runtime."""


def open_model(bundle: Bundle, precision: Precision, backend: Backend) -> OpenModel:
    """Open the model of a precision, or the engine that was built from it for this machine.

    Raises: ArtifactError if the bundle has no such model, no engine for this GPU and runtime, or one that was altered;
    RuntimeUnavailableError or MissingDependencyError if the runtime cannot serve here; ConfigError for settings that
    the runtime does not have.
    """
    _check(backend)
    if backend.runtime == "onnxruntime":
        return _open_onnx(bundle, precision, backend)
    return _open_engine(bundle, precision, backend.runtime, cuda_graph=backend.cuda_graph)


def load_runtime(backend: Backend) -> None:
    """Import what a backend runs on. It happens once per process, so that it is no part of a model's load time.

    Raises: RuntimeUnavailableError or MissingDependencyError if the runtime cannot serve here.
    """
    if backend.runtime != "onnxruntime":
        if cuda_driver().devices:  # without a GPU _open_engine tells more
            load_toolkit(backend.runtime)
        return
    try:
        with extra("cuda"):
            import gi_edge.runtime.onnxruntime  # noqa: F401
    except (ImportError, OSError, AttributeError) as error:  # as a module that was built for another numpy raises
        raise RuntimeUnavailableError(
            f"onnxruntime is installed but does not load: {error}", fix="gi-edge doctor"
        ) from error
    if backend.provider != "cpu" and cuda_driver().devices:
        from gi_edge.runtime.providers import load_cuda_libraries

        load_cuda_libraries()


def _check(backend: Backend) -> None:
    if backend.runtime == "onnxruntime" and backend.cuda_graph:
        raise ConfigError(
            "CUDA graphs are recorded of TensorRT engines only",
            fix="add --runtime tensorrt, or leave --cuda-graph out",
        )
    if backend.runtime == "tensorrt-rtx" and backend.cuda_graph:
        # RTX wants engines built for capture, and at first runs stand-in kernels, which a graph would keep
        raise ConfigError(
            "CUDA graphs are recorded of engines of TensorRT, not yet of TensorRT for RTX",
            fix="leave --cuda-graph out, or --runtime tensorrt",
        )
    if backend.runtime != "onnxruntime" and backend.provider != "auto":
        raise ConfigError(
            f"{backend.runtime} has no providers, but '{backend.provider}' was asked for; they belong to ONNX Runtime",
            fix="leave --provider out, or add --runtime onnxruntime",
        )
    if backend.runtime != "onnxruntime" and backend.threads is not None:
        raise ConfigError(
            f"{backend.runtime} computes on the GPU and has no number of threads", fix="leave --threads out"
        )


def _open_onnx(bundle: Bundle, precision: Precision, backend: Backend) -> OpenModel:
    entry = bundle.model(precision)
    load_runtime(backend)
    from gi_edge.runtime.onnxruntime import open_session

    file = bundle.path / entry.path
    session = open_session(file, backend.provider, backend.threads)
    promised = model_properties(bundle.manifest, bundle.manifest.adapter_sha256, precision)
    for key, value in promised.items():  # else an altered manifest would rename or cool every answer
        if session.properties.get(key, value) != value:
            what = key.removeprefix("gi_edge.")
            raise ArtifactError(
                f"{bundle.path} was altered: {file.name} and its manifest differ in {what}",
                fix=f"copy the bundle again; gi-edge verify {bundle.path.name} tells more",
            )
    return OpenModel(session, file, entry, None)


def _open_engine(bundle: Bundle, precision: Precision, runtime: RuntimeName, *, cuda_graph: bool) -> OpenModel:
    entry = bundle.model(precision, "tensorrt")
    driver = cuda_driver()
    if not driver.devices:
        raise RuntimeUnavailableError(f"{runtime} needs an NVIDIA GPU: {driver.fault}", fix="gi-edge doctor")
    toolkit = load_toolkit(runtime)
    engine = fitting_engine(bundle, precision, toolkit, driver.devices[0])
    from gi_edge.runtime.engine_session import EngineSession, Plan

    plan = Plan(read_plan(engine), bundle.manifest.preprocess, build_command(bundle, precision, runtime))
    session = EngineSession(toolkit, open_cuda(runtime), plan, cuda_graph=cuda_graph)
    return OpenModel(session, engine.plan, entry, engine)
