"""Fixtures of the tests of exports and engines."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gi_edge.runtime.tensorrt import load_toolkit


@pytest.fixture(scope="module")
def rtx():
    return load_toolkit("tensorrt-rtx")


@pytest.fixture
def bundle(workspace, tmp_path):
    return Path(shutil.copytree(workspace / "bundles" / "lesions", tmp_path / "bundles" / "lesions"))
