"""What the tests of reports share."""

from __future__ import annotations

from types import ModuleType

import bench_results
import pytest


@pytest.fixture(scope="session")
def make() -> ModuleType:
    """The builders of made-up bench results."""
    return bench_results
