"""What is said of the timed scenarios beside their definition."""

from __future__ import annotations

import json
from pathlib import Path

import bench_results
import pytest

import gi_edge_bench
from gi_edge.artifacts import speed
from gi_edge.artifacts.results import read_result
from gi_edge.errors import ConfigError

_README = Path(gi_edge_bench.__path__[0]).parent / "README.md"


@pytest.mark.parametrize("file", [Path(speed.__file__), _README])
def test_two_scenarios_only_are_said_to_be_mlperfs(file):
    """MLPerf Inference's MultiStream is one query of several samples, and not several callers (its rules, 3)."""
    paragraphs = file.read_text(encoding="utf-8").split("\n\n")
    sentence = " ".join(next(text for text in paragraphs if "MLPerf" in text).split())
    assert "first three" not in sentence
    assert any(words in sentence for words in ("has the first two", "single-stream and offline are MLPerf"))


@pytest.mark.parametrize("samples", [[], [4.0, -1.0], [4.0, float("nan")], [float("inf")]])
def test_a_result_without_a_sample_or_with_one_that_is_no_time_is_one_clear_fault(tmp_path, samples):
    content = json.loads(bench_results.result(bench_results.bundle()).model_dump_json())
    content["bundles"][0]["models"][0]["speeds"][0]["samples_ms"] = samples
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"a\.json: bundles\.0\.models\.0\.speeds\.0\.samples_ms") as told:
        read_result(tmp_path / "a.json")
    assert "\n" not in str(told.value)
