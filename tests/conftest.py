"""Shared fixtures: small real files, a small real model, and one trained and exported workspace."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import TRAINING, Outcome, gi_edge_process, write_frames


@pytest.fixture(scope="session", autouse=True)
def frame_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A frame cache of the tests' own, here and in the processes they start."""
    folder = tmp_path_factory.mktemp("frame-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GI_EDGE_CACHE", str(folder))
        yield folder


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Three classes of twelve frames."""
    return write_frames(tmp_path / "frames")


@pytest.fixture
def gi_edge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the command line in this process, in a folder."""
    from gi_edge.cli.main import main

    def run(*words: object, cwd: Path) -> Outcome:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["gi-edge", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a trained adapter and its bundle in fp32 and fp16; copy it before changing it."""
    root = tmp_path_factory.mktemp("workspace")
    write_frames(root / "data" / "lesions", per_class=20)
    for words in ("init", f"train {TRAINING}", "export --fp16 --allow-undecided"):
        done = gi_edge_process(*words.split(), cwd=root)
        assert done.code == 0, done.err
    return root


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real frames, or a skip that says how to name it."""
    named = os.environ.get("GI_EDGE_REAL_DATA")
    if not named:
        pytest.skip("GI_EDGE_REAL_DATA does not name the folder of real frames")
    return Path(named)


@pytest.fixture
def copied(workspace, tmp_path):
    """A private copy of the trained workspace."""
    return Path(shutil.copytree(workspace, tmp_path / "copy"))
