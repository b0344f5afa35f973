"""A training that is stopped, killed or left: nothing is lost, and it ends as if it had not been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from support import SMALL, gi_edge_process, hidden_or_new


def train_until_epoch(cwd, epoch, signum, words):
    """Start a training and end it by a signal once an epoch was told; return the process and the rest it said."""
    code = "from gi_edge.cli.main import main; main()"
    running = subprocess.Popen(
        [sys.executable, "-c", code, "train", *words],
        cwd=cwd, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # in the background of a shell SIGINT is ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith(f"epoch {epoch}/"):
                break
        running.send_signal(signum)
        rest = running.stderr.read()
    return running, rest


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_training_loses_nothing_and_ends_in_the_same_adapter(copied, signum):
    words = [*map(str, SMALL), "--epochs", "4", "--dropout", "0.1"]
    whole = gi_edge_process("train", *words, "--name", "whole", cwd=copied)
    assert whole.code == 0, whole.err
    before = (copied / "adapters" / "lesions" / "manifest.json").read_bytes()
    running, rest = train_until_epoch(copied, 1, signum, [*words, "--force"])
    assert (copied / "adapters" / "lesions" / "manifest.json").read_bytes() == before
    if signum == signal.SIGINT:
        assert running.returncode == 1
        assert "error: interrupted; nothing was half-written. To mend: gi-edge train" in rest
        assert rest.rstrip().endswith("--resume")
    refused = gi_edge_process("train", *words, cwd=copied)
    assert refused.code == 1
    other = gi_edge_process("train", *words, "--resume", "--force", "--seed", 9, cwd=copied)
    assert other.code == 1
    assert "is another: seed was 0, now 9" in other.err
    resumed = gi_edge_process("train", *words, "--resume", "--force", cwd=copied)
    assert resumed.code == 0, resumed.err
    assert "resuming after epoch" in resumed.err
    assert hidden_or_new(copied / "adapters") == []
    files = [copied / "adapters" / name / "adapter_model.safetensors" for name in ("whole", "lesions")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_unfinished_run_is_neither_lost_nor_invented(copied, gi_edge):
    words = [*map(str, SMALL), "--name", "other"]
    none = gi_edge("train", *words, "--resume", cwd=copied)
    assert none.code == 1
    assert "there is no unfinished run to resume" in none.err
    unfinished = copied / "adapters" / ".other.unfinished.safetensors"
    unfinished.write_bytes(b"cut short")
    kept = gi_edge("train", *words, cwd=copied)
    assert kept.code == 1
    assert "add --resume to go on with it, or --force to begin anew" in kept.err
    damaged = gi_edge("train", *words, "--resume", cwd=copied)
    assert damaged.code == 1
    assert "cannot be read" in damaged.err
    assert unfinished.read_bytes() == b"cut short"
    anew = gi_edge("train", *words, "--force", cwd=copied)
    assert anew.code == 0, anew.err
    assert not unfinished.exists()


def test_a_missing_package_names_its_extra(workspace, tmp_path):
    """onnxruntime is made unimportable, as on a device without the cuda extra."""
    blocker = tmp_path / "sitecustomize.py"
    blocker.write_text("import sys\nsys.modules['onnxruntime'] = None\n")
    done = gi_edge_process("predict", "lesions", "x.jpg", cwd=workspace, PYTHONPATH=str(tmp_path))
    assert done.code == 1
    assert "'onnxruntime' is not installed. To mend: pip install 'gi-edge[cuda]'" in done.err
