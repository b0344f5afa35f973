"""What the tests of several verbs are asked about."""

from __future__ import annotations

import numpy as np
import pytest
from bench_changes import retimed
from benches import QUICK, job
from PIL import Image
from videos import write_video

from gi_edge.artifacts.results import write_result
from gi_edge.progress import Silent
from gi_edge_bench.run import run


@pytest.fixture
def place(workspace, tmp_path):
    """A folder with images at two depths, a video, and what predict must pass over."""
    folder = tmp_path / "study"
    (folder / "deep").mkdir(parents=True)
    for label, name in (("red lesion", "r.jpg"), ("blue lesion", "deep/b.jpg")):
        (folder / name).write_bytes((workspace / "data" / "lesions" / label / "000.jpg").read_bytes())
    Image.open(folder / "r.jpg").save(folder / "deep" / "r.png")
    colours = [np.full((64, 80, 3), (170, 60, 60) if number < 6 else (60, 160, 70), np.uint8) for number in range(12)]
    write_video(folder / "film.mp4", colours)
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.jpg").write_bytes(b"x")
    return folder


@pytest.fixture(scope="module")
def result(workspace):
    """A real result, its samples replaced by quiet ones of 4 ms."""
    return retimed(run(job(workspace, settings=QUICK), Silent()).model_copy(update={"marks": ()}), 4.0)


@pytest.fixture
def files(result, tmp_path):
    """Write results and return the words of the command."""

    def write(*results):
        names = [f"{letter}.json" for letter in "abc"[: len(results)]]
        for name, item in zip(names, results, strict=True):
            write_result(tmp_path / name, item)
        return ["compare", *names]

    return write
