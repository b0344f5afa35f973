"""Bench results: what `gi-edge bench` measured, as JSON; pages and tables are rendered from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from gi_edge.artifacts.environment import Environment, Mark
from gi_edge.artifacts.speed import CrossCheck, IdleGap, SpeedRun, Startup
from gi_edge.config import Value, value_from_mapping
from gi_edge.data.split import SplitKind
from gi_edge.errors import ArtifactError
from gi_edge.files import write_atomic
from gi_edge.metrics.classification import Classification
from gi_edge.metrics.parity import Parity, Precision
from gi_edge.metrics.verdict import Verdict


class FlippedFrame(Value):
    """A held-out frame that the engine and the reference put into different classes."""

    frame: str
    """Id in the split."""
    label: str
    """The truth."""
    reference: str
    """Class of the reference."""
    engine: str
    """Class of the engine."""
    reference_probability: float
    """Of the reference's class, by the reference."""
    engine_probability: float
    """Of the engine's class, by the engine."""
    picture: str | None
    """The frame as the model saw it, at most 224 px, JPEG in base64; None if pictures were not wanted."""


class ParityPass(Value):
    """The engine's answers on the held-out frames, against the reference and against the truth."""

    verdict: Verdict
    frames: Literal["dataset", "samples"]
    """Whether the dataset was there, or the frames packed in the bundle had to do."""
    engine: Classification
    reference: Classification
    flipped: tuple[FlippedFrame, ...] = ()
    """The surest answers first, at most 24; verdict.parity.flips counts all."""


class Comparison(Value):
    """The answers against something that is not the truth: another backend, or the reference on probe images."""

    against: str
    """What was compared with: "reference on probe images", or runtime and provider."""
    frames: Literal["dataset", "samples", "probes"]
    """probes: images built into gi-edge, without labels; they show a broken engine, not a lost point of macro-F1."""
    parity: Parity
    is_alike: bool
    """Whether no frame changed class other than near a tie, and the logits agree as the precision allows."""
    reasons: tuple[str, ...] = ()
    """Why not."""
    computes_precision: bool = True
    """Whether both computed in the precision of the graph (the reference on probe images is of fp32 by design); if not,
    being alike shows nothing of that precision."""


class NodePlacement(Value):
    """How many nodes of the graph run on a provider."""

    provider: str
    nodes: int
    operators: tuple[str, ...]
    """Kinds of these nodes, by name."""


class ModelRun(Value):
    """One model file of a bundle, or an engine built from it, on one backend."""

    precision: Precision
    file: str
    """In the bundle."""
    sha256: str
    size_bytes: int
    runtime: str
    """Runtime and version, such as "onnxruntime 1.23.2"."""
    provider: str
    placements: tuple[NodePlacement, ...] = ()
    """Where the nodes run, if more than one provider has some; empty if one has all, or the runtime does not tell."""
    export_verdict: Verdict
    """The verdict the bundle carries from its export."""
    parity: ParityPass | None
    """None when the run was asked for speed only, or had no labelled frames."""
    comparisons: tuple[Comparison, ...] = ()
    startup: Startup
    speeds: tuple[SpeedRun, ...]
    idle_gap: IdleGap | None = None
    cross_checks: tuple[CrossCheck, ...] = ()

    @property
    def load_ms(self) -> float:
        """Opening the file, in milliseconds."""
        return self.startup.load_ms


def speaking_verdict(model: ModelRun) -> Verdict:
    """Return the verdict that counts: that of this run, or that of the export where this run proves nothing."""
    parity = model.parity
    if parity is not None and (parity.verdict.computes_precision or parity.verdict.status == "fail"):
        return parity.verdict
    return model.export_verdict


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

    schema_version: Literal[2] = 2
    kind: Literal["bench-result"] = "bench-result"
    created: str
    """UTC, ISO 8601."""
    gi_edge_version: str
    settings: dict[str, Any]
    """How it was measured: the settings of the bench run."""
    environment: Environment
    marks: tuple[Mark, ...] = ()
    """Why these times are to be doubted; empty if nothing was found."""
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
    if not isinstance(data, dict) or data.get("kind") != "bench-result":
        raise ArtifactError(f"{path} is no bench result", fix="make one with gi-edge bench")
    if data.get("schema_version") != 2:
        raise ArtifactError(
            f"{path} is a bench result of schema {data.get('schema_version')}, and this gi-edge reads schema 2",
            fix="measure again with this gi-edge: gi-edge bench",
        )
    return value_from_mapping(BenchResult, data, source=str(path))
