"""Bench results: what `gi-edge bench` measured, as JSON; pages and tables are rendered from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from gi_edge.config import Value, value_from_mapping
from gi_edge.data.split import SplitKind
from gi_edge.errors import ArtifactError
from gi_edge.files import write_atomic
from gi_edge.metrics.classification import Classification
from gi_edge.metrics.gate import Verdict
from gi_edge.metrics.latency import LatencySummary
from gi_edge.metrics.parity import Precision


class Environment(Value):
    """Where a result was measured."""

    platform: str
    cpu: str
    logical_cpus: int
    gpus: tuple[str, ...]
    """Name and driver version of each NVIDIA GPU; empty where there is none."""
    python: str
    packages: dict[str, str]
    """Version by package, of those that take part."""


class Latency(Value):
    """One timed scenario: batches of one size, one after another."""

    batch_size: int
    timed_region: str
    """What one sample spans, in words."""
    warmup_count: int
    summary: LatencySummary
    images_per_second: float
    """batch_size times count over the wall time of the timed part."""
    samples_ms: tuple[float, ...]


class ParityPass(Value):
    """The engine's answers on the held-out frames, against the reference and against the truth."""

    verdict: Verdict
    frames: Literal["dataset", "samples"]
    """Whether the dataset was there, or the frames packed in the bundle had to do."""
    engine: Classification
    reference: Classification


class ModelRun(Value):
    """One model file of a bundle, on one provider."""

    precision: Precision
    file: str
    sha256: str
    size_bytes: int
    runtime: str
    """Runtime and version, such as "onnxruntime 1.23.2"."""
    provider: str
    load_ms: float
    export_verdict: Verdict
    """The verdict the bundle carries from its export."""
    parity: ParityPass | None
    """None when the run was asked for speed only."""
    latencies: tuple[Latency, ...]


class BundleRun(Value):
    """All model files of one bundle."""

    name: str
    manifest_sha256: str
    dataset: str
    dataset_licence: str
    backbone: str
    backbone_licence: str
    classes: tuple[str, ...]
    split_kind: SplitKind
    split_caution: str
    """What a score on this split can and cannot show, one sentence."""
    size_px: int
    models: tuple[ModelRun, ...]


class BenchResult(Value):
    """One run of `gi-edge bench`."""

    schema_version: Literal[1] = 1
    kind: Literal["bench-result"] = "bench-result"
    created: str
    """UTC, ISO 8601."""
    gi_edge_version: str
    settings: dict[str, Any]
    """How it was measured: the settings of the bench run."""
    environment: Environment
    bundles: tuple[BundleRun, ...]


def write_result(path: Path, result: BenchResult) -> None:
    """Write a result as JSON."""
    write_atomic(path, result.model_dump_json(indent=1) + "\n")


def read_result(path: Path) -> BenchResult:
    """Read a result. Raises: ArtifactError if it is absent or no result; ConfigError if its fields are wrong."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is no bench result: {error}", fix="make one with gi-edge bench") from error
    if not isinstance(data, dict) or data.get("kind") != "bench-result" or data.get("schema_version") != 1:
        raise ArtifactError(
            f"{path} is no bench result of schema 1", fix="make one with gi-edge bench, or update gi-edge"
        )
    return value_from_mapping(BenchResult, data, source=str(path))
