"""Build engines from a bundle, on the device or for it. Needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from gi_edge.artifacts.bundle import LABELS_FILE, Bundle, read_bundle
from gi_edge.artifacts.engine import (
    PLAN_FILE,
    TIMING_CACHE_FILE,
    EngineEntry,
    EngineTarget,
    PrecisionProof,
    engine_folder,
    read_engine,
    write_engine_entry,
)
from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.errors import ConfigError
from gi_edge.files import atomic_folder, check_writable, sha256_file
from gi_edge.metrics.parity import Precision
from gi_edge.progress import Progress
from gi_edge.runtime.device import cuda_device
from gi_edge.runtime.tensorrt import Toolkit
from gi_edge_export.engine.build import Parsed, Plan, build_plan, inspection_of, parse_onnx
from gi_edge_export.engine.config import EngineJob, EngineSettings
from gi_edge_export.engine.inspector import proof_from_inspection
from gi_edge_export.engine.layers import check_layers
from gi_edge_export.engine.target import target_of, toolkit_of
from gi_edge_export.triton import TritonModel, write_triton_model


def check_settings(settings: EngineSettings) -> tuple[Toolkit, EngineTarget]:
    """Load the runtime and settle the target, before any longer work.

    Raises: MissingDependencyError, RuntimeUnavailableError or ConfigError.
    """
    toolkit = toolkit_of(settings)
    if settings.triton and toolkit.name != "tensorrt":
        raise ConfigError(
            f"Triton serves plans of TensorRT, not of {toolkit.text}",
            fix="leave --triton out here; gi-edge export --triton serves the ONNX models",
        )
    return toolkit, target_of(toolkit, settings.sms, cuda_device())


def build_engine(job: EngineJob, progress: Progress) -> EngineEntry:
    """Build one engine into engines/ of its bundle, prove its precision, or write nothing.

    Raises: GateError if it does not compute in the precision asked for; ArtifactError if it exists without force or
    the bundle is not whole; what check_settings and the build raise.
    """
    toolkit, target = check_settings(job.settings)
    bundle = read_bundle(job.bundle)
    model = bundle.model(job.precision, "tensorrt")
    folder = engine_folder(bundle.path, target, toolkit.text, job.precision)
    check_writable(folder, force=job.force, other="--precision or --sm")
    title = f"{bundle.manifest.name} {job.precision}"
    parsed = parse_onnx(toolkit, bundle.path / model.path)
    proof = check_layers(parsed.layers, job.precision)
    progress.say(f"{title}: building for {target.label} with {toolkit.text}")
    with _no_empty_parents(folder), atomic_folder(folder, force=job.force) as partial:
        plan = build_plan(parsed, target, job.settings, f"build {title}", progress)
        if target.device is not None:
            proof = _inspected(parsed, plan, job.precision, proof)
        _write(partial, bundle, parsed, plan, job)
        write_engine_entry(partial, _entry(job, bundle, target, parsed, plan, proof))
    entry = read_engine(bundle, folder).entry
    progress.say(f"{title}: {text_from_proof(proof)}; built in {plan.seconds:.1f} s")
    return entry


@contextmanager
def _no_empty_parents(folder: Path) -> Iterator[None]:
    """Leave no empty folder behind where a build failed."""
    try:
        yield
    finally:
        for parent in (folder.parent, folder.parent.parent):
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def text_from_proof(proof: PrecisionProof) -> str:
    """Return a proof as one line."""
    matrices = ", ".join(f"{count} in {name}" for name, count in proof.matrices.items())
    sums = ", ".join(f"{count} in {name}" for name, count in proof.sums.items())
    return f"matrix layers {matrices}; sums {sums or 'none'} ({proof.method})"


def _inspected(parsed: Parsed, plan: Plan, precision: Precision, typed: PrecisionProof) -> PrecisionProof:
    found = proof_from_inspection(inspection_of(parsed, plan), parsed.layers, precision)
    return found or typed.model_copy(update={"note": "the engine loads, but its inspector names no types"})


def _write(folder: Path, bundle: Bundle, parsed: Parsed, plan: Plan, job: EngineJob) -> None:
    path = folder / PLAN_FILE
    path.write_bytes(plan.content)
    if plan.timings is not None:
        (folder / TIMING_CACHE_FILE).write_bytes(plan.timings)
    if job.settings.triton:
        inputs, outputs = parsed.tensors()
        model = TritonModel(
            name=f"{bundle.manifest.name}-{job.precision}-plan",
            backend="tensorrt",
            inputs=inputs,
            outputs=outputs,
            batch=job.settings.batch,
        )
        write_triton_model(folder / "model_repository", model, (path,), bundle.path / LABELS_FILE)


def _entry(
    job: EngineJob, bundle: Bundle, target: EngineTarget, parsed: Parsed, plan: Plan, proof: PrecisionProof
) -> EngineEntry:
    return EngineEntry(
        precision=job.precision,
        runtime=parsed.toolkit.name,
        runtime_version=parsed.toolkit.version,
        target=target,
        batch=job.settings.batch,
        tf32=False,
        workspace_mb=job.settings.workspace_mb,
        onnx_sha256=sha256_file(bundle.path / bundle.model(job.precision, "tensorrt").path),
        bundle_manifest_sha256=sha256_file(bundle.path / MANIFEST),
        files=(),
        timing_cache_sha256=None if plan.timings is None else hashlib.sha256(plan.timings).hexdigest(),
        proof=proof,
        build_seconds=round(plan.seconds, 3),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        gi_edge_version=metadata.version("gi-edge"),
    )
