"""A ceiling that cannot be measured at one size is that of the others, or has its reason."""

from __future__ import annotations

import pytest
import torch

from gpu_suite import ceilings
from gpu_suite.values import Ceiling

CPU = torch.device("cpu")


def sizes_that_fail(monkeypatch, failing, error):
    def measured(kind, size, device, seconds):
        if size in failing:
            raise error
        return Ceiling(per_second=float(size), how=str(size))

    monkeypatch.setattr(ceilings, "SIZES", {"cpu": (32, 64, 128)})
    monkeypatch.setattr(ceilings, "COPY_BYTES", {"cpu": 2**20})
    monkeypatch.setattr(ceilings, "matrix_ceiling", measured)


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("no room\nfor it"), NotImplementedError("no kernel")])
def test_a_size_without_room_or_kernel_costs_only_itself(monkeypatch, error):
    """PyTorch's own two: OutOfMemoryError for memory, NotImplementedError for a kernel that a device or type lacks."""
    sizes_that_fail(monkeypatch, (128,), error)
    assert ceilings.measured_ceilings(CPU, 0.001).matrix["fp16"] == Ceiling(per_second=64.0, how="64")


def test_where_no_size_runs_the_reason_stands(monkeypatch):
    sizes_that_fail(monkeypatch, (32, 64, 128), RuntimeError("no room\nfor it"))
    found = ceilings.measured_ceilings(CPU, 0.001).matrix["fp16"]
    assert (found.per_second, found.reason) == (None, "no room for it")


def test_a_defect_of_the_suite_is_no_missing_ceiling(monkeypatch):
    sizes_that_fail(monkeypatch, (32,), TypeError("wrong call"))
    with pytest.raises(TypeError, match="wrong call"):
        ceilings.measured_ceilings(CPU, 0.001)
