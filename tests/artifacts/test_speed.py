"""What is said of the timed scenarios beside their definition."""

from __future__ import annotations

from pathlib import Path

import pytest

import gi_edge_bench
from gi_edge.artifacts import speed

_README = Path(gi_edge_bench.__path__[0]).parent / "README.md"


@pytest.mark.parametrize("file", [Path(speed.__file__), _README])
def test_two_scenarios_only_are_said_to_be_mlperfs(file):
    """MLPerf Inference's MultiStream is one query of several samples, and not several callers (its rules, 3)."""
    paragraphs = file.read_text(encoding="utf-8").split("\n\n")
    sentence = " ".join(next(text for text in paragraphs if "MLPerf" in text).split())
    assert "first three" not in sentence
    assert any(words in sentence for words in ("has the first two", "single-stream and offline are MLPerf"))
