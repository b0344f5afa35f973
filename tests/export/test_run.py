"""An export that stops in the middle leaves what was there before, and nothing else."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import onnx
import pytest

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
    workspace, gi_edge, tmp_path, monkeypatch, stop, told
):
    copied = Path(shutil.copytree(workspace, tmp_path / "copy"))
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
