"""Write the JSON Schemas of the artefacts beside this script: python tests/golden/write_schemas.py."""

from __future__ import annotations

import json
from pathlib import Path

from gi_edge.artifacts.adapter import AdapterManifest
from gi_edge.artifacts.bench_comparison import BenchComparison
from gi_edge.artifacts.bundle import BundleManifest
from gi_edge.artifacts.engine import EngineEntry
from gi_edge.artifacts.evaluation import EvaluationResult
from gi_edge.artifacts.results import BenchResult
from gi_edge.data.audit import SplitAudit
from gi_edge.data.check import DataCheck

for model in (
    *(AdapterManifest, BundleManifest, BenchComparison, BenchResult, EngineEntry),
    *(EvaluationResult, SplitAudit, DataCheck),
):
    path = Path(__file__).parent / f"{model.__name__}.schema.json"
    path.write_text(json.dumps(model.model_json_schema(), indent=1, sort_keys=True) + "\n")
