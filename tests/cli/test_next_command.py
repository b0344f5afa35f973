"""What train tells to do next can be typed as it stands, with or without a gi-edge.toml."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import TRAINING, write_frames

from gi_edge.cli.train import _next_command
from gi_edge.workspace import Workspace, WorkspaceFile
from gi_edge_training.config import TrainJob, TrainSettings

KNOWN = WorkspaceFile.model_validate({"datasets": {"d": {"path": "d"}}, "train": {"weights": "known.pth"}})


@pytest.mark.parametrize(
    ("content", "job", "origin", "options"),
    [
        (KNOWN, {"data": "d"}, "embedded", ""),
        (KNOWN, {"data": "other"}, "embedded", "--data {root}/other "),
        (None, {"data": "d"}, "embedded", "--data {root}/d "),
        (None, {"data": "my d"}, "embedded", "--data '{root}/my d' "),
        (None, {"data": "d", "weights": "w.pth"}, "file:w.pth", "--data {root}/d --weights {root}/w.pth "),
        (None, {"data": "d", "weights": "w.pth", "method": "full"}, "file:w.pth", "--data {root}/d "),
        (KNOWN, {"data": "d", "weights": "known.pth"}, "file:known.pth", ""),
        (KNOWN, {"data": "d", "weights": "w.pth"}, "file:w.pth", "--weights {root}/w.pth "),
    ],
)
def test_the_next_command_names_what_gi_edge_toml_does_not(tmp_path, content, job, origin, options):
    paths = {name: tmp_path / job[name] for name in ("data", "weights") if name in job}
    settings = TrainSettings(method=job.get("method", "lora"))
    asked = TrainJob(settings=settings, dataset="d", name="a b", output=tmp_path / "adapters" / "a b", **paths)
    adapter = SimpleNamespace(manifest=SimpleNamespace(backbone=SimpleNamespace(weights=origin)))
    found = _next_command(Workspace(tmp_path, content), asked, adapter)
    assert found == f"gi-edge export --adapter 'a b' {options.format(root=tmp_path)}--fp16"


def test_without_a_workspace_file_the_next_command_works_as_it_is_told(tmp_path, gi_edge):
    write_frames(tmp_path / "my frames", per_class=8)
    words = [*TRAINING.split(), "--epochs", "1", "--name", "x"]
    done = gi_edge("train", "--data", Path("my frames"), *words, cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.err.index("classes, ") < done.err.index("log of x: tensorboard --logdir runs")
    command = done.err.rpartition("next: gi-edge ")[2].strip()
    assert command == "export --adapter x --data 'my frames' --fp16"
    done = gi_edge(*shlex.split(command), "--allow-undecided", cwd=tmp_path)
    assert done.code == 0, done.err
    assert (tmp_path / "bundles" / "x" / "model.fp16.onnx").is_file()
