"""What tests share beside fixtures: small real files and the command line in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

TRAINING = "--backbone gi-edge-small --image-size 64 --epochs 6 --batch-size 8 --rank 4 --learning-rate 5e-3"
ENDS_WITHIN_S = 400
"""Longest time of a command line; far more than any takes."""
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


def gi_edge_process(*words: object, cwd: Path, python: str = sys.executable, **variables: str) -> Outcome:
    """Run the command line in a process of its own; one that hangs fails the test with the stacks of its threads."""
    code = "from gi_edge.cli.main import main; main()"
    running = subprocess.Popen(
        [python, "-X", "faulthandler", "-c", code, *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )
    try:
        out, err = running.communicate(timeout=ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGABRT)
        _, err = running.communicate(timeout=60)
        raise AssertionError(f"no end after {ENDS_WITHIN_S} s: {' '.join(map(str, words))}\n{err}") from None
    return Outcome(running.returncode, out, err)


SMALL = ["--backbone", "gi-edge-small", "--image-size", 32, "--epochs", 1, "--rank", 2]
"""Options of the quickest training."""


def hidden_or_new(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.name.startswith(".") or path.suffix == ".partial")
