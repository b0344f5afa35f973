"""The generated frames: reproducible, named as capsule videos are, and alike within a video."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gi_edge.data.findings import KINDS
from gi_edge.data.synthetic import (
    AMOUNTS,
    ATTRIBUTES,
    CLASSES,
    GRID,
    NORMAL,
    PRESENCE,
    SyntheticSpec,
    render_attribute_frames,
    write_dataset,
)

SMALL = SyntheticSpec(videos_per_finding=2, frames_per_stretch=3, size_px=64, seed=5)
NAME = re.compile(r"(?P<video>[0-9a-f]{16})_(?P<number>\d+)\.jpg")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "frames"
    write_dataset(folder, SMALL)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpg")}


def pixels(path: Path) -> NDArray[np.float64]:
    with Image.open(path) as image:
        return np.asarray(image, dtype=np.float64)


def test_bytes_depend_on_the_seed_and_not_on_the_workers(frames: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "again", SMALL, workers=5)
    assert contents(tmp_path / "again") == contents(frames)
    write_dataset(tmp_path / "other", SyntheticSpec(videos_per_finding=2, frames_per_stretch=3, size_px=64, seed=6))
    assert contents(tmp_path / "other").keys().isdisjoint(contents(frames))


def test_layout(frames: Path) -> None:
    assert sorted(path.name for path in frames.iterdir()) == list(CLASSES)
    videos: dict[str, set[str]] = defaultdict(set)
    for path in frames.rglob("*.jpg"):
        match = NAME.fullmatch(path.name)
        assert match
        videos[match["video"]].add(path.parent.name)
    assert len(videos) == len(KINDS) * SMALL.videos_per_finding
    assert all(NORMAL in labels and len(labels) == 2 for labels in videos.values())
    assert {pixels(path).shape for path in frames.rglob("*.jpg")} == {(SMALL.size_px, SMALL.size_px, 3)}


def test_count_and_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    spec = SyntheticSpec(videos_per_finding=1, frames_per_stretch=2, size_px=32)
    count = write_dataset(tmp_path / "frames", spec, lambda done, total: seen.append((done, total)))
    assert count == len(list((tmp_path / "frames").rglob("*.jpg"))) == 16
    assert seen == [(4, 16), (8, 16), (12, 16), (16, 16)]


def test_neighbours_are_more_alike_than_other_videos(frames: Path) -> None:
    stretches: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in sorted(frames.rglob("*.jpg")):
        stretches[path.parent.name, path.name.partition("_")[0]].append(path)
    within = [np.abs(pixels(a) - pixels(b)).mean() for a, b, *_ in stretches.values()]
    firsts = [pixels(paths[0]) for (label, _), paths in stretches.items() if label == NORMAL]
    between = [np.abs(a - b).mean() for i, a in enumerate(firsts) for b in firsts[:i]]
    assert 2 * np.median(within) < np.median(between)


def test_colours_are_those_of_mucosa(frames: Path) -> None:
    for path in frames.rglob("*.jpg"):
        red, green, blue = pixels(path).mean(axis=(0, 1))
        assert red > green > 0.8 * blue, path
        assert 25 < red < 230, path


def test_refuses_a_folder_with_files(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match="not an empty folder"):
        write_dataset(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_attribute_frames() -> None:
    frames, targets = render_attribute_frames(12, 64, seed=3)
    assert frames.shape == (12, 64, 64, 3)
    assert frames.dtype == np.uint8
    assert targets.shape == (12, len(ATTRIBUTES))
    first = render_attribute_frames(4, 64, seed=3)
    assert np.array_equal(first[0], frames[:4])
    assert np.array_equal(first[1], targets[:4])
    assert set(np.unique(targets[:, : len(PRESENCE)])) == {0.0, 1.0}
    cells = targets[:, len(PRESENCE) + len(AMOUNTS) :].reshape(12, len(KINDS), GRID, GRID)
    assert cells.min() >= 0
    assert cells.max() <= 1
    for column in range(len(KINDS)):
        absent = targets[:, column] == 0
        assert cells[absent, column].max(initial=0) < 0.05
        assert cells[~absent, column].max(axis=(1, 2)).min(initial=1) > 0.002
