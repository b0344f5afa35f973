"""The state of an unfinished run: read as it was written, or not at all."""

from __future__ import annotations

import json

import pytest
import safetensors
import safetensors.torch
import torch

from gi_edge.artifacts.adapter import EpochRecord
from gi_edge.errors import ArtifactError
from gi_edge_training.checkpoint import CheckpointFile, RunState

ANEW = "start anew: the same command with --force instead of --resume"


@pytest.fixture
def checkpoint(tmp_path):
    """A file with a tensor of each kind that a state holds: weights, a step, half precision, none at all."""
    written = CheckpointFile(tmp_path / "a.safetensors", {"rank": 2, "frames": "0" * 64})
    tensors = {
        "weights/a": torch.arange(6.0).reshape(2, 3),
        "best/a": torch.ones(2, 3),
        "optimizer/a/step": torch.tensor(3.0),
        "optimizer/b/mean": torch.tensor([0.5, -1.0], dtype=torch.bfloat16),
        "weights/none": torch.zeros(0, 4),
    }
    written.write(RunState([EpochRecord(epoch=1, loss=0.5, val_macro_f1=0.25)], tensors, 1.5, 7))
    return written


def rewrite(path, change):
    """Write the file anew, by safetensors' rules, with other tensors or metadata."""
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = safetensors.torch.load_file(path)
    change(tensors, metadata)
    safetensors.torch.save_file(tensors, path, metadata)


def test_what_was_written_is_read(checkpoint):
    state = checkpoint.read()
    assert (state.seconds, state.peak_memory_bytes, state.history[0].loss) == (1.5, 7, 0.5)
    assert state.tensors["weights/a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert state.tensors["optimizer/a/step"].shape == ()
    assert state.tensors["optimizer/b/mean"].dtype == torch.bfloat16


@pytest.mark.parametrize("bit", range(8))
def test_no_flipped_bit_is_taken_for_the_state(checkpoint, bit):
    content = checkpoint.path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        checkpoint.path.write_bytes(damaged)
        with pytest.raises(ArtifactError) as caught:
            checkpoint.read()
        assert caught.value.fix == ANEW, place


def exchange(tensors, _):
    tensors["weights/a"], tensors["best/a"] = tensors["best/a"], tensors["weights/a"]


def reshape(tensors, _):
    tensors["weights/a"] = tensors["weights/a"].reshape(3, 2)


def retype(tensors, _):
    tensors["weights/a"] = tensors["weights/a"].view(torch.int32)


def forget_an_epoch(_, metadata):
    metadata["history"] = json.dumps([])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (exchange, "was altered or damaged: the sha256 of its content is "),
        (reshape, "was altered or damaged"),
        (retype, "was altered or damaged"),
        (forget_an_epoch, "was altered or damaged"),
        (lambda _, metadata: metadata.update(identity="{}"), "was altered or damaged"),
        (lambda _, metadata: metadata.pop("sha256"), "has no sha256 of its content: an earlier version of gi-edge"),
    ],
)
def test_another_content_is_refused_whatever_part_of_it_changed(checkpoint, change, told):
    rewrite(checkpoint.path, change)
    with pytest.raises(ArtifactError, match=told) as caught:
        checkpoint.read()
    assert caught.value.fix == ANEW


def test_the_order_in_which_safetensors_lists_the_metadata_makes_no_difference(checkpoint):
    """It is another in each file that it writes."""
    for _ in range(20):
        rewrite(checkpoint.path, lambda tensors, metadata: None)
        assert checkpoint.read().seconds == 1.5
