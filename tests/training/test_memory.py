"""Freed memory stays with the process: the pages of a large tensor are not fetched again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gi_edge_training.memory import keep_freed_memory

FAULTS = """
import resource, sys, torch
from gi_edge_training.memory import keep_freed_memory
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
