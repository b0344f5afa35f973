"""An export that stops in the middle leaves what was there before, and nothing else."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest
from support import gi_edge_process, hidden_or_new

from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.files import sha256_file


@pytest.mark.parametrize(
    ("stop", "told"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "bundles/lesions: No space left on device"),
        (KeyboardInterrupt(), "interrupted; nothing was half-written"),
    ],
)
def test_a_full_disk_or_ctrl_c_while_the_second_model_is_written_leaves_the_old_bundle(
    copied, gi_edge, monkeypatch, stop, told
):
    bundle = copied / "bundles" / "lesions"
    before = sha256_file(bundle / MANIFEST)
    save = onnx.save

    def fail_at_half(model, path, **options):
        if Path(path).name == "model.fp16.onnx":
            Path(path).write_bytes(b"half")
            raise stop
        save(model, path, **options)

    monkeypatch.setattr(onnx, "save", fail_at_half)
    done = gi_edge("export", "--fp16", "--allow-undecided", "--force", cwd=copied)
    assert done.code == 1
    assert told in done.err
    assert [path.name for path in (copied / "bundles").iterdir()] == ["lesions"]
    assert sha256_file(read_bundle(bundle).path / MANIFEST) == before
    assert "fp32: pass" in done.err


def test_a_killed_export_leaves_the_old_bundle_and_the_next_one_cleans_up(copied):
    """Killed once its first model file lies in the hidden folder."""
    bundles = copied / "bundles"
    before = sha256_file(bundles / "lesions" / MANIFEST)
    words = [sys.executable, "-m", "gi_edge", "export", "--fp16", "--allow-undecided", "--force"]
    process = subprocess.Popen(words, cwd=copied, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(bundles.glob(".*/model.fp32.onnx")):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert sha256_file(read_bundle(bundles / "lesions").path / MANIFEST) == before
    assert hidden_or_new(bundles)
    done = gi_edge_process("export", "--allow-undecided", "--force", cwd=copied)
    assert done.code == 0, done.err
    assert [entry.precision for entry in read_bundle(bundles / "lesions").manifest.models] == ["fp32"]
    assert not hidden_or_new(bundles)
