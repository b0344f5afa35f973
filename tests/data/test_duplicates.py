"""Near-duplicates: the pair search against brute force, clusters of real files, and frames without a usable hash."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gi_edge.data.duplicates import (
    HashedFrames,
    clusters_from_frames,
    clusters_from_hashes,
    hashes_from_frames,
    near_duplicate_pairs,
)
from gi_edge.data.index import Frame
from gi_edge.progress import Silent


def scene(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """A smooth picture of its own: a coarse random field, enlarged."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def saved(folder: Path, images: dict[str, Image.Image], group: str | None = None) -> list[Frame]:
    folder.mkdir(exist_ok=True)
    for name, image in images.items():
        image.save(folder / name, quality=90)
    return [Frame(f"a/{name}", folder / name, 0, group) for name in images]


def hashed(values: list[int], names: list[str] | None = None, groups: list[str | None] | None = None) -> HashedFrames:
    names = names or [f"{n:03d}" for n in range(len(values))]
    groups = groups or [None] * len(values)
    frames = tuple(Frame(name, Path(name), 0, group) for name, group in zip(names, groups, strict=True))
    all_usable = np.ones(len(values), dtype=np.bool_)
    return HashedFrames(frames, np.array(values, dtype=np.uint64), all_usable, ~all_usable)


def brute_force(a: np.ndarray, b: np.ndarray, threshold: int) -> list[tuple[int, int, int]]:
    found = []
    for (i, left), (j, right) in itertools.product(enumerate(a.tolist()), enumerate(b.tolist())):
        distance = (left ^ right).bit_count()
        if distance <= threshold:
            found.append((i, j, distance))
    return sorted(found, key=lambda pair: (pair[2], pair[0], pair[1]))


@pytest.mark.parametrize("threshold", [0, 1, 4, 7, 64])
def test_the_pair_search_finds_what_brute_force_finds(threshold):
    random = np.random.default_rng(threshold)
    centres = random.integers(0, 2**64, 40, dtype=np.uint64)
    values = centres[random.integers(0, 40, 1300)]  # more than two blocks of rows
    for _ in range(5):
        values = values ^ (np.uint64(1) << random.integers(0, 64, 1300, dtype=np.uint64))
    left, right = values[:1200], values[1200:]
    expected = brute_force(left, right, threshold)
    assert [tuple(row) for row in near_duplicate_pairs(left, right, threshold).tolist()] == expected
    nearest = near_duplicate_pairs(left, right, threshold, limit=5)
    assert [tuple(row) for row in nearest.tolist()] == expected[:5]


def test_no_hashes_make_no_pairs():
    none = np.zeros(0, dtype=np.uint64)
    assert near_duplicate_pairs(none, none).shape == (0, 3)
    assert near_duplicate_pairs(np.ones(3, dtype=np.uint64), none).shape == (0, 3)


CHAIN = [0b0, 0b1111, 0b11111111, 0xFFFF_0000_0000_0000]  # each 4 bits from the one before; the last 16 away


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (3, ["cluster-000000", "cluster-000001", "cluster-000002", "cluster-000003"]),
        (4, ["cluster-000000", "cluster-000000", "cluster-000000", "cluster-000001"]),
        (64, ["cluster-000000"] * 4),
    ],
)
def test_near_frames_are_joined_transitively(threshold, expected):
    assert list(clusters_from_hashes(hashed(CHAIN), threshold).ids) == expected


def test_clusters_are_those_of_a_slow_union_whatever_the_order():
    random = np.random.default_rng(3)
    values = random.integers(0, 2**10, 700, dtype=np.uint64) * np.uint64(0x0041_0000_1040_0001)
    parent = list(range(len(values)))
    for i, j, _ in brute_force(values, values, 4):
        old, new = parent[i], parent[j]
        parent = [new if label == old else label for label in parent]
    frames = hashed(values.tolist())
    made = clusters_from_hashes(frames)
    pairs = set(zip(parent, made.ids, strict=True))
    assert len(pairs) == len(set(parent)) == len(set(made.ids)) > 1
    order = random.permutation(len(values))
    again = clusters_from_hashes(hashed(values[order].tolist(), [frames.frames[i].id for i in order]))
    assert again.by_frame == made.by_frame


def test_frames_of_one_known_group_are_joined():
    far = [0, 2**32 - 1, 2**64 - 2**32, 2**64 - 1]
    made = clusters_from_hashes(hashed(far, groups=["v1", None, "v1", None]))
    assert made.ids == ("cluster-000000", "cluster-000001", "cluster-000000", "cluster-000002")


def test_resized_recompressed_and_brightened_copies_are_one_cluster_and_other_scenes_are_not(tmp_path):
    first = scene(1)
    images = {
        "0.jpg": first,
        "1.jpg": first.resize((60, 50)),
        "2.png": first,
        "3.jpg": Image.eval(first, lambda grey: min(255, grey + 8)),
        "4.jpg": scene(2),
        "5.jpg": scene(3),
    }
    made = clusters_from_frames(saved(tmp_path / "a", images), Silent())
    assert made.ids == (*["cluster-000000"] * 4, "cluster-000001", "cluster-000002")
    assert made.sizes == (4, 1, 1)
    assert made.summary == ("3 near-duplicate clusters in 6 frames: 4 frames have a twin, the largest cluster holds 4")


def test_plain_frames_join_one_another_only_and_unreadable_ones_are_alone(tmp_path):
    images = {f"{n}.png": scene(n) for n in range(4)}
    images |= {f"p{grey}.png": Image.new("RGB", (50, 40), (grey, grey, grey)) for grey in (0, 3, 250)}
    frames = saved(tmp_path / "a", images)
    for name in ("x.jpg", "y.jpg"):
        (tmp_path / "a" / name).write_bytes(b"no image")
        frames.append(Frame(f"a/{name}", tmp_path / "a" / name, 0, None))

    class Heard(Silent):
        lines: tuple[str, ...] = ()

        def say(self, text: str) -> None:
            self.lines = (*self.lines, text)

    heard = Heard()
    made = clusters_from_frames(frames, heard)
    assert made.plain == 3
    assert made.sizes == (3, 1, 1, 1, 1, 1, 1)
    assert len({made.by_frame[f"a/p{grey}.png"] for grey in (0, 3, 250)}) == 1
    assert heard.lines == (
        "not compared, a/x.jpg: not an image that Pillow knows",
        "not compared, a/y.jpg: not an image that Pillow knows",
        made.summary,
    )
    found = hashes_from_frames(frames, Silent(), "hash")
    assert found.usable.tolist() == [True] * 4 + [False] * 5
    assert found.plain.tolist() == [False] * 4 + [True] * 3 + [False] * 2


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "frames", "largest"), [("hyperkvasir-5", 1428, 100), ("wce-bleeding", 1756, 100)])
def test_real_frames_do_not_chain(real_data, name, frames, largest):
    files = sorted(path for path in (real_data / name).rglob("*.jpg"))
    made = clusters_from_frames([Frame(f"{path.parent.name}/{path.name}", path, 0, None) for path in files], Silent())
    assert len(made.ids) == frames
    assert frames * 0.5 < len(made.sizes) < frames * 0.9
    assert 10 < made.sizes[0] < largest
