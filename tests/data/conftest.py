"""Fixtures of the frame cache."""

from __future__ import annotations

import pytest


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def decodings(monkeypatch):
    """The files that are decoded, not found in the cache."""
    from gi_edge.data import pixels

    seen = []
    read = pixels.read_image
    monkeypatch.setattr(pixels, "read_image", lambda path, content=None: seen.append(path) or read(path, content))
    return seen
