"""Full disks, lost data and a second run on the same output: told in one line, and nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from PIL import Image

import gi_edge_training.data as training_data
import gi_edge_training.run as training_run
from gi_edge.files import atomic_folder

SMALL = [
    *("train", "--data", "frames", "--backbone", "gi-edge-small", "--image-size", 32, "--epochs", 3),
    *("--batch-size", 16, "--rank", 2, "--mixed-precision", "no"),
]


def adapter_bytes(folder, name):
    return (folder / "adapters" / name / "adapter_model.safetensors").read_bytes()


def fsync_that_finds_the_disk_full(monkeypatch, *, at):
    """Let the checkpoint of one epoch meet a full disk."""
    real, seen = os.fsync, [0]

    def fsync(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").readlink().name.endswith(".unfinished.safetensors.partial"):
            seen[0] += 1
            if seen[0] == at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_disk_that_fills_up_costs_one_epoch(frames, gi_edge, monkeypatch):
    place = frames.parent
    whole = gi_edge(*SMALL, "--name", "whole", cwd=place)
    assert whole.code == 0, whole.err
    fsync_that_finds_the_disk_full(monkeypatch, at=2)
    full = gi_edge(*SMALL, "--name", "full", cwd=place)
    assert full.code == 1
    assert "cannot write" in full.err
    assert "No space left on device; 0.2 MB are needed and" in full.err
    assert "To mend: free 0.2 MB or choose another folder, then the same command with --resume" in full.err
    assert sorted(path.name for path in (place / "adapters").iterdir()) == [
        ".full.unfinished.safetensors",
        "full.augmentation.png",
        "whole",
        "whole.augmentation.png",
    ]
    resumed = gi_edge(*SMALL, "--name", "full", "--resume", cwd=place)
    assert resumed.code == 0, resumed.err
    assert "resuming after epoch 1 of 3" in resumed.err
    assert adapter_bytes(place, "full") == adapter_bytes(place, "whole")


def test_an_adapter_that_finds_no_room_is_written_by_resume(frames, gi_edge, monkeypatch):
    """The limit of the file size makes safetensors fail as a full disk does: it puts the fault into its own error."""
    place, write = frames.parent, training_run._write

    def without_room(*given):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        try:
            write(*given)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(training_run, "_write", without_room)
    full = gi_edge(*SMALL, "--name", "a", cwd=place)
    assert full.code == 1
    assert "cannot write" in full.err
    assert "MB are needed" in full.err
    assert "the same command with --resume goes on" in full.err
    assert not (place / "adapters" / "a").exists()
    monkeypatch.undo()
    resumed = gi_edge(*SMALL, "--name", "a", "--resume", cwd=place)
    assert resumed.code == 0, resumed.err
    assert "epoch 3/3" not in resumed.err
    assert adapter_bytes(place, "a")


def test_data_that_is_gone_at_resume_is_asked_for(frames, gi_edge, monkeypatch):
    place = frames.parent
    fsync_that_finds_the_disk_full(monkeypatch, at=2)
    assert gi_edge(*SMALL, "--name", "a", cwd=place).code == 1
    frames.rename(place / "elsewhere")
    gone = gi_edge(*SMALL, "--name", "a", "--resume", cwd=place)
    assert gone.code == 1
    assert "there is no folder frames" in gone.err
    assert "The run is kept: the same command goes on with it" in gone.err
    assert (place / "adapters" / ".a.unfinished.safetensors").exists()


def test_a_run_whose_weights_were_damaged_is_not_resumed(frames, gi_edge, monkeypatch):
    place = frames.parent
    unfinished = place / "adapters" / ".a.unfinished.safetensors"
    fsync_that_finds_the_disk_full(monkeypatch, at=2)
    assert gi_edge(*SMALL, "--name", "a", cwd=place).code == 1
    content = bytearray(unfinished.read_bytes())
    content[-1] ^= 1 << 6  # of the last number of the last tensor
    unfinished.write_bytes(content)
    monkeypatch.undo()
    damaged = gi_edge(*SMALL, "--name", "a", "--resume", cwd=place)
    assert damaged.code == 1
    assert "error: the unfinished run " in damaged.err
    assert "was altered or damaged: the sha256 of its content is" in damaged.err
    assert "To mend: start anew: the same command with --force instead of --resume" in damaged.err
    assert unfinished.read_bytes() == content
    anew = gi_edge(*SMALL, "--name", "a", "--force", cwd=place)
    assert anew.code == 0, anew.err


def test_data_that_vanishes_while_it_is_read_is_no_smaller_dataset(frames, gi_edge, monkeypatch):
    decode = training_data.decode_frames

    def late(*given):
        shutil.rmtree(frames / "red lesion")
        return decode(*given)

    monkeypatch.setattr(training_data, "decode_frames", late)
    done = gi_edge(*SMALL, "--name", "a", cwd=frames.parent)
    assert done.code == 1
    assert "12 images vanished while they were read; the first was frames/red lesion/000.jpg" in done.err
    assert "bring frames back, then run again" in done.err


@pytest.mark.parametrize("more", [[], ["--force"], ["--resume"]])
def test_a_second_run_on_the_same_output_is_refused_by_the_number_of_the_first(frames, gi_edge, more):
    place = frames.parent
    (place / "adapters").mkdir()
    with atomic_folder(place / "adapters" / "a"):
        (place / "adapters" / ".a.unfinished.safetensors").write_bytes(b"of the first run")
        second = gi_edge(*SMALL, "--name", "a", *more, cwd=place)
    assert second.code == 1
    assert f"process {os.getpid()} is writing" in second.err
    assert (place / "adapters" / ".a.unfinished.safetensors").read_bytes() == b"of the first run"


def test_a_divergence_in_the_last_step_is_told(frames, gi_edge):
    """The loss of the only batch is finite; what its step makes of the weights is not."""
    done = gi_edge(*SMALL, "--epochs", 1, "--batch-size", 64, "--learning-rate", "1e30", cwd=frames.parent)
    assert done.code == 1
    assert "error: the validation loss became nan in epoch 1. To mend: --learning-rate 1e+29" in done.err


def test_frames_that_changed_are_no_resumed_run(frames, gi_edge, monkeypatch):
    place = frames.parent
    fsync_that_finds_the_disk_full(monkeypatch, at=2)
    assert gi_edge(*SMALL, "--name", "a", cwd=place).code == 1
    image = next((frames / "red lesion").iterdir())
    Image.open(image).rotate(180).save(image)
    other = gi_edge(*SMALL, "--name", "a", "--resume", "--rank", 4, cwd=place)
    assert other.code == 1
    assert "is another: it had other frames; rank was 2, now 4" in other.err


def test_batch_normalisation_never_sees_one_frame_alone(frames, gi_edge):
    """At 32 px the last layers of ResNet have one value per frame and channel."""
    place = frames.parent
    torch.manual_seed(0)
    safetensors.torch.save_file(timm.create_model("resnet10t").state_dict(), place / "base.safetensors")
    words = [*SMALL[:3], "--image-size", 32, "--epochs", 1, "--batch-size", 21, "--holdout-fraction", 0.2]
    words += ["--method", "full", "--learning-rate", "1e-4", "--backbone", "resnet10t", "--weights", "base.safetensors"]
    done = gi_edge(*words, "--json", "--tracker", "none", cwd=place)
    assert done.code == 0, done.err
    assert json.loads(done.out)["split"]["train"] % 21 == 1
