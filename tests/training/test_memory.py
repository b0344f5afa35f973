"""Freed memory stays with the process: the pages of a large tensor are not fetched again."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from gi_edge.modeling.memory import keep_freed_memory
from gi_edge_training.memory import peak_memory_bytes

FAULTS = """
import resource, sys, torch
from gi_edge.modeling.memory import keep_freed_memory
from gi_edge_training.memory import peak_memory_bytes
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(5)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(64, 1024, 1024, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def page_faults(mode: str) -> int:
    answer = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=False)
    if answer.returncode == 5:
        pytest.skip("this C library has no mallopt of glibc's kind")
    assert answer.returncode == 0, answer.stderr
    return int(answer.stdout)


def test_large_tensors_reuse_their_pages():
    assert page_faults("keep") < 0.05 * page_faults("default")


def test_nothing_is_changed_where_there_is_no_glibc(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert not keep_freed_memory()


PEAK = """
import numpy, sys, torch
from gi_edge.modeling.memory import keep_freed_memory
from gi_edge_training.memory import peak_memory_bytes
cpu, mb = torch.device("cpu"), 1 << 20
def grown(work):
    before = peak_memory_bytes(cpu)
    work()
    return (peak_memory_bytes(cpu) - before) / mb
keep_freed_memory() or sys.exit(5)
print(grown(lambda: torch.ones(200, mb, dtype=torch.uint8)))
print(grown(lambda: numpy.memmap(sys.argv[1], numpy.uint8, "r").sum()))
keep_freed_memory()
print(grown(lambda: torch.ones(150, mb, dtype=torch.uint8)))
"""


def test_the_peak_has_freed_tensors_but_no_mapped_frames(tmp_path):
    """And a second run in one process does not inherit the peak of the first."""
    (tmp_path / "frames").write_bytes(bytes(100 << 20))
    words = [sys.executable, "-c", PEAK, str(tmp_path / "frames")]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    if answer.returncode == 5:
        pytest.skip("this C library has no mallopt of glibc's kind")
    assert answer.returncode == 0, answer.stderr
    tensor, mapped, again = map(float, answer.stdout.split())
    assert tensor == pytest.approx(200, abs=20)
    assert mapped == pytest.approx(0, abs=20)
    assert again == pytest.approx(150, abs=20)


def test_without_glibc_the_peak_is_the_kernels(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")  # where ru_maxrss counts bytes; here it counts kilobytes
    assert 1e3 < peak_memory_bytes(torch.device("cpu")) < 1e8
