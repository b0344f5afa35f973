"""Runs of two CPU processes: the result of one, an end for all, and a run to go on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
import safetensors.torch
import torch
from support import gi_edge_process, write_frames

pytestmark = pytest.mark.slow

SMALL = [
    *("train", "--data", "frames", "--backbone", "gi-edge-small", "--image-size", 64, "--batch-size", 5, "--rank", 4),
    *("--holdout-fraction", 0.2, "--learning-rate", "5e-3", "--mixed-precision", "no", "--device", "cpu", "--json"),
]
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "gi_edge"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    write_frames(folder / "frames", per_class=17)
    return folder


def start_two(*words, cwd):
    return subprocess.Popen(
        [*LAUNCHER, *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def two(*words, cwd):
    running = start_two(*words, cwd=cwd)
    out, err = running.communicate(timeout=300)
    return running.returncode, out, err


def tensors(place, name):
    (path,) = (place / "adapters" / name).glob("*.safetensors")
    return safetensors.torch.load_file(path)


def manifest(place, name):
    return json.loads((place / "adapters" / name / "manifest.json").read_text())


def assert_same_run(place, name, other):
    ours, theirs = tensors(place, name), tensors(place, other)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-3, atol=2e-5, msg=key)
    for one, another in zip(manifest(place, name)["history"], manifest(place, other)["history"], strict=True):
        assert one["loss"] == pytest.approx(another["loss"], rel=1e-5)
        assert one["val_macro_f1"] == another["val_macro_f1"]


def test_two_processes_end_where_one_does_also_after_a_kill(place):
    """31 training frames: a last step of one batch of one frame, of which one process has no share."""
    words = [*SMALL, "--epochs", 3, "--accumulate", 2, "--balance", "sampler"]
    alone = gi_edge_process(*words, "--name", "one", cwd=place, OMP_NUM_THREADS="1")
    assert alone.code == 0, alone.err
    assert manifest(place, "one")["split"]["train"] == 31
    code, out, err = two(*words, "--name", "two", cwd=place)
    assert code == 0, err
    assert json.loads(out)["history"]
    assert err.count("epoch 3/3") == err.count("wrote adapters/two") == 1
    assert "2 processes, cpu" in err
    assert "Warning" not in err
    assert_same_run(place, "two", "one")

    running = start_two(*words, "--name", "killed", cwd=place)
    with running:
        for line in running.stderr:
            if line.startswith("epoch 1/"):
                break
        min(psutil.Process(running.pid).children(), key=lambda worker: worker.pid).kill()
        running.communicate(timeout=120)
    assert running.returncode == 1
    assert not (place / "adapters" / "killed").exists()
    code, _, err = two(*words, "--name", "killed", "--resume", cwd=place)
    assert code == 0, err
    assert err.count("resuming after epoch") == 1
    assert_same_run(place, "killed", "two")


def test_full_fine_tuning_in_two_processes_ends_where_one_does(place):
    words = [*SMALL[:9], *SMALL[11:], "--epochs", 2, "--method", "full", "--learning-rate", "1e-4"]  # without --rank
    alone = gi_edge_process(*words, "--name", "full-one", cwd=place, OMP_NUM_THREADS="1")
    assert alone.code == 0, alone.err
    code, _, err = two(*words, "--name", "full-two", cwd=place)
    assert code == 0, err
    assert_same_run(place, "full-two", "full-one")


def test_ctrl_c_ends_both_with_one_message(place):
    running = start_two(*SMALL, "--epochs", 40, "--name", "stopped", cwd=place)
    with running:
        for line in running.stderr:
            if line.startswith("epoch 1/"):
                break
        running.send_signal(signal.SIGINT)
        _, rest = running.communicate(timeout=120)
    assert running.returncode != 0
    assert rest.count("error: ") == 1
    assert "error: interrupted; nothing was half-written. To mend: the same command: … -m gi_edge train" in rest
    assert "--resume\n" in rest


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "nowhere"], "there is no folder nowhere"),
        (["--set", "batchsize=3"], "did you mean 'batch_size'?"),
        (["--backbone", "nope"], "no backbone 'nope'"),
    ],
    ids=["data", "setting", "backbone"],
)
def test_an_error_in_both_is_told_once_and_ends_both(place, words, told):
    code, _, err = two(*SMALL, *words, "--name", "none", cwd=place)
    assert code == 1
    assert err.count("error: ") == 1
    assert told in err
