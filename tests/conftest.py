"""Shared fixtures: small real files, a small real model, and one trained and exported workspace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLOURS = {"blue lesion": (60, 70, 170), "green lesion": (60, 160, 70), "red lesion": (170, 60, 60)}


@dataclass(frozen=True)
class Outcome:
    """What a command line run came to."""

    code: int
    out: str
    err: str


def write_frames(folder: Path, per_class: int = 12, size: tuple[int, int] = (80, 64), seed: int = 0) -> Path:
    """Write a class-per-folder tree of noisy frames, one colour per class, as JPEG."""
    random = np.random.default_rng(seed)
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for number in range(per_class):
            noise = random.normal(0, 25, (size[1], size[0], 3)) + np.array(colour)
            image = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
            image.save(folder / label / f"{number:03d}.jpg", quality=92)
    return folder


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


def gi_edge_process(*words: object, cwd: Path, python: str = sys.executable, **variables: str) -> Outcome:
    """Run the command line in a process of its own."""
    code = "from gi_edge.cli.main import main; main()"
    done = subprocess.run(
        [python, "-c", code, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a trained adapter and its bundle in fp32 and fp16; copy it before changing it."""
    root = tmp_path_factory.mktemp("workspace")
    write_frames(root / "data" / "lesions", per_class=20)
    for words in (
        ["init"],
        ["train", "--backbone", "gi-edge-small", "--image-size", 64, "--epochs", 6, "--batch-size", 8, "--rank", 4]
        + ["--learning-rate", 5e-3],
        ["export", "--fp16"],
    ):
        done = gi_edge_process(*words, cwd=root)
        assert done.code == 0, done.err
    return root


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real frames, or a skip that says how to name it."""
    named = os.environ.get("GI_EDGE_REAL_DATA")
    if not named:
        pytest.skip("GI_EDGE_REAL_DATA does not name the folder of real frames")
    return Path(named)
