"""Generated endoscopy-like frames: a data set of videos for the demo, and frames with attributes for pretraining.

Every frame depends on the seed and its own number only, hence never on the worker count. The two products draw
from separate random streams: no seed of one repeats a frame of the other.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gi_edge.data.findings import KINDS, MIMICS, Finding, random_finding
from gi_edge.data.pool import worker_count
from gi_edge.data.scenes import Camera, Patient, Rendered, View, random_patient, random_view, render

CLASSES: tuple[str, ...] = ("blood", "bubbles", "normal-mucosa", "polyp", "ulcer")
"""Folder names, in the order of the alphabet."""

NORMAL = "normal-mucosa"

PRESENCE: tuple[str, ...] = (*KINDS, "bulge", "mucus", "folds", "vessels", "lumen", "reddening", "bile")
"""Attributes that are 0 or 1."""

AMOUNTS: tuple[str, ...] = (
    *(f"{kind}_area" for kind in KINDS),
    "hue",
    "saturation",
    "brightness",
    "zoom",
    "polyp_contrast",
    "blood_depth",
)
"""Attributes that run from about 0 to 1; an area is the square root of the share of the visible field."""

GRID = 4
"""Rows and columns of the cells below."""

CELLS: tuple[str, ...] = tuple(
    f"{kind}_at_{row}_{column}" for kind in KINDS for row in range(GRID) for column in range(GRID)
)
"""Share of each cell of a GRID × GRID grid that a kind of finding covers, 0 to 1."""

ATTRIBUTES: tuple[str, ...] = PRESENCE + AMOUNTS + CELLS
"""Columns of the target of render_attribute_frames."""

_VIDEO_STREAM, _ATTRIBUTE_STREAM = 1, 2
_SEEN_SHARE = 0.002
"""A finding that covers less of the visible field than this counts as absent from an attribute frame."""


@dataclass(frozen=True)
class SyntheticSpec:
    """What to generate. Frames: 4 findings × videos_per_finding × 2 stretches × frames_per_stretch."""

    videos_per_finding: int = 24
    frames_per_stretch: int = 4
    size_px: int = 160
    seed: int = 0


def write_dataset(
    folder: Path,
    spec: SyntheticSpec,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int | None = None,
) -> int:
    """Write ``folder/<class>/<16 hex digits of the video>_<frame>.jpg`` and return the number of frames.

    Each video holds a stretch of normal mucosa and a stretch of one finding. progress gets frames done and frames
    in all, from the calling thread. workers: threads, the number of cores when None; the bytes do not depend on it.

    Raises: ValueError if folder is neither absent nor an empty folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not an empty folder")
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    videos = len(KINDS) * spec.videos_per_finding
    per_video = 2 * spec.frames_per_stretch
    with ThreadPoolExecutor(workers or worker_count()) as pool:
        jobs = [pool.submit(_write_video, folder, spec, number) for number in range(videos)]
        for done, job in enumerate(as_completed(jobs), start=1):
            job.result()
            if progress is not None:
                progress(done * per_video, videos * per_video)
    return videos * per_video


def render_attribute_frames(count: int, size_px: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Render count unrelated frames with their attributes, findings mixed at random.

    Returns: frames, uint8 [count, size_px, size_px, 3], and targets, float32 [count, len(ATTRIBUTES)].
    """
    frames = np.empty((count, size_px, size_px, 3), dtype=np.uint8)
    targets = np.empty((count, len(ATTRIBUTES)), dtype=np.float32)
    for number in range(count):
        rng = np.random.default_rng((_ATTRIBUTE_STREAM, seed, number))
        patient = random_patient(rng)
        kinds = [kind for kind in KINDS if rng.random() < 0.3]
        findings = tuple(random_finding(kind, rng, reach=0.6) for kind in kinds)
        view = random_view(rng, findings + _mimics(rng))
        camera = _Path.draw(rng).at(0.0)
        frame = render(patient, view, camera, size_px, rng)
        frames[number] = _through_jpeg(frame.pixels, patient.jpeg_quality)
        targets[number] = _target(patient, view, camera, frame)
    return frames, targets


@dataclass(frozen=True)
class _Path:
    """A smooth drift: per coordinate (x, y, angle, log zoom, lamp x, lamp y, log power) two sinusoids."""

    start: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    rate: NDArray[np.float64]
    phase: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Path:
        reach = np.array([0.10, 0.10, 0.30, 0.10, 0.06, 0.06, 0.06])
        spread = np.array([0.0, 0.0, 3.14, 0.16, 0.22, 0.22, 0.16])
        return cls(
            rng.uniform(-1, 1, 7) * spread,
            reach[:, None] * rng.uniform(0.3, 1.0, (7, 2)),
            rng.uniform(0.5, 3.0, (7, 2)),
            rng.uniform(0, 2 * np.pi, (7, 2)),
        )

    def at(self, time: float) -> Camera:
        """Return the camera at a time, 0..1 over a stretch."""
        swing = self.amplitude * np.sin(self.rate * time + self.phase)
        x, y, angle, zoom, lamp_x, lamp_y, power = (self.start + swing.sum(axis=1)).tolist()
        return Camera(x, y, angle, float(np.exp(zoom)), (lamp_x, lamp_y), float(np.exp(power)))


def _write_video(folder: Path, spec: SyntheticSpec, number: int) -> None:
    rng = np.random.default_rng((_VIDEO_STREAM, spec.seed, number))
    kind = KINDS[number % len(KINDS)]
    patient, video = random_patient(rng), rng.bytes(8).hex()
    frame_number = int(rng.integers(100, 30_000))
    stretches = [NORMAL, kind] if rng.random() < 0.5 else [kind, NORMAL]
    for label in stretches:
        findings = () if label == NORMAL else (random_finding(kind, rng, reach=0.45),)
        view = random_view(rng, findings + _mimics(rng))
        path = _Path.draw(rng)
        for index in range(spec.frames_per_stretch):
            camera = path.at(index / max(spec.frames_per_stretch - 1, 1))
            frame = render(patient, view, camera, spec.size_px, rng)
            name = f"{video}_{frame_number + index}.jpg"
            (folder / label / name).write_bytes(_jpeg(frame.pixels, patient.jpeg_quality))
        frame_number += spec.frames_per_stretch + int(rng.integers(200, 4_000))


def _mimics(rng: np.random.Generator) -> tuple[Finding, ...]:
    return tuple(random_finding(kind, rng, reach=0.8) for kind in MIMICS for _ in range(rng.poisson(0.3)))


def _target(patient: Patient, view: View, camera: Camera, frame: Rendered) -> list[float]:
    areas = {kind: float(cover.sum() / frame.field.sum()) for kind, cover in frame.covers.items()}
    seen = {kind: area for kind, area in areas.items() if area >= _SEEN_SHARE}
    contrast = {finding.kind: finding.contrast for finding in view.findings if finding.kind in seen}
    red, green, blue = (frame.pixels.reshape(-1, 3).mean(axis=0) / 255).tolist()
    presence = [kind in seen for kind in (*KINDS, "bulge", "mucus")]
    presence += [view.fold_height > 0, patient.vessel_strength > 0, view.has_lumen]
    presence += [patient.redness > 0, patient.bile > 0]
    amounts = [float(np.sqrt(seen.get(kind, 0.0))) for kind in KINDS]
    amounts += [green / (red + 1e-6), 1 - blue / (red + 1e-6), red, camera.zoom - 0.5]
    amounts += [contrast.get("polyp", 0.0), contrast.get("blood", 0.0)]
    empty = np.zeros_like(frame.field)
    cells = [share for kind in KINDS for share in _cell_shares(frame.covers.get(kind, empty))]
    return [float(value) for value in presence] + amounts + cells


def _cell_shares(cover: NDArray[np.float32]) -> list[float]:
    """Return the mean of cover over each cell of the grid, row by row."""
    edges = np.linspace(0, len(cover), GRID + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(cover, edges, axis=0), edges, axis=1)
    return [float(value) for value in sums.ravel() * (GRID / len(cover)) ** 2]


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _through_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(_jpeg(pixels, quality))) as image:
        return np.asarray(image, dtype=np.uint8)
