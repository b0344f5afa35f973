"""The frames that a bench run compares answers on: of the dataset, packed in the bundle, or built in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.bundle import Bundle, Reference
from gi_edge.artifacts.held_out import held_out_frames
from gi_edge.artifacts.probes import Probes, read_probes
from gi_edge.artifacts.remake import export_again
from gi_edge.data.index import Frame
from gi_edge.data.pixels import DecodedFrames, decode_frames
from gi_edge.errors import ArtifactError, DataError
from gi_edge.files import sha256_file
from gi_edge.progress import Progress
from gi_edge_bench.config import BenchTarget, FrameSource


@dataclass(frozen=True)
class HeldOut:
    """Decoded frames, what the trained model answered on them, and how they belong together."""

    frames: DecodedFrames
    reference: Reference
    """Row i is of frame i."""
    groups: tuple[str, ...] | None
    """[n] video, patient or cluster; None where one is not known."""
    source: FrameSource


@dataclass(frozen=True)
class Material:
    """What a bundle is measured with."""

    pixels: NDArray[np.uint8]
    """[n, size, size, 3]."""
    source: FrameSource | None
    """None: random pixels, nothing is compared."""
    held_out: HeldOut | None = None
    """Where source is dataset or samples."""
    probes: Probes | None = None
    """Where source is probes."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Image files, for timing with decoding; none where the pixels come from no file."""
        return tuple(frame.path for frame in self.held_out.frames.frames) if self.held_out else ()

    @property
    def reference(self) -> NDArray[np.float32] | None:
        """The trained model's logits [n, classes] on the pixels."""
        if self.held_out is not None:
            return self.held_out.reference.logits
        return None if self.probes is None else self.probes.logits

    @property
    def note(self) -> str:
        """What must be known of times measured with these pixels."""
        return {None: "random pixels, since no frames were given", "probes": "probe images"}.get(self.source, "")


def material_of(target: BenchTarget, bundle: Bundle, progress: Progress) -> Material:
    """Bring what a target names. Raises: GiEdgeError if it is absent, altered or unreadable."""
    name = bundle.manifest.name
    if target.frames is None:
        return Material(_random_pixels(bundle.manifest.preprocess.size_px), None)
    if target.frames == "probes":
        probes = read_probes(bundle)
        progress.say(
            f"{name}: compared on the {len(probes.names)} probe images built into gi-edge, which finds a broken engine "
            "and proves nothing on patients' frames"
        )
        return Material(probes.pixels, "probes", probes=probes)
    held_out = held_out_of(target, bundle, progress)
    return Material(held_out.frames.pixels, held_out.source, held_out)


def held_out_of(target: BenchTarget, bundle: Bundle, progress: Progress) -> HeldOut:
    """Decode the labelled frames that a target names, which are those of the dataset or those packed in the bundle."""
    if target.frames == "samples":
        count = len(bundle.manifest.samples)
        progress.say(f"{bundle.manifest.name}: compared on the {count} frames packed in the bundle")
        return packed_frames(bundle, progress)
    if target.data is None:
        raise DataError(f"{bundle.manifest.name}: the dataset's folder is not given", fix="--data DIR")
    return dataset_frames(bundle, target.data, progress)


def dataset_frames(bundle: Bundle, data: Path, progress: Progress) -> HeldOut:
    """Decode the whole test part from the dataset's folder. Raises: DataError as reference_frames does."""
    reference = bundle.reference()
    frames = reference_frames(bundle, reference, data, progress)
    return HeldOut(frames, reference, bundle.split().groups_of(reference.ids), "dataset")


def packed_frames(bundle: Bundle, progress: Progress) -> HeldOut:
    """Decode the test frames that travel with the bundle.

    Raises: ArtifactError if it has none, or one is not the file that the reference was made from.
    """
    samples = bundle.manifest.samples
    remake = export_again(bundle.path, *(() if samples else ("--samples", "N")))
    if not samples:
        raise ArtifactError(f"{bundle.path} has no packed frames", fix=f"--data DIR, or {remake}")
    whole = bundle.reference()
    row_of = {frame: row for row, frame in enumerate(whole.ids)}
    unknown = next((entry.frame for entry in samples if entry.frame not in row_of), None)
    if unknown is not None:
        raise ArtifactError(f"{bundle.path}: the reference has no frame '{unknown}'", fix=remake)
    rows = [row_of[entry.frame] for entry in samples]
    reference = Reference(
        ids=tuple(whole.ids[row] for row in rows),
        sha256=tuple(whole.sha256[row] for row in rows),
        labels=whole.labels[rows],
        logits=whole.logits[rows],
    )
    frames = [
        Frame(entry.frame, bundle.path / entry.path, int(whole.labels[row]), group=None)
        for entry, row in zip(samples, rows, strict=True)
    ]
    altered = next((f for f, row in zip(frames, rows, strict=True) if sha256_file(f.path) != whole.sha256[row]), None)
    if altered is not None:
        raise ArtifactError(f"{altered.path} is not the frame '{altered.id}' of the reference", fix=remake)
    decoded = decode_frames(frames, bundle.manifest.preprocess, progress, f"decode {len(frames)} packed frames")
    if decoded.unreadable:
        raise ArtifactError(f"{decoded.unreadable[0].frame.path}: {decoded.unreadable[0].reason}", fix=remake)
    return HeldOut(decoded, reference, bundle.split().groups_of(reference.ids), "samples")


def reference_frames(bundle: Bundle, reference: Reference, data: Path, progress: Progress) -> DecodedFrames:
    """Decode the frames that the reference was made from, proven by their sha256.

    Raises: DataError if one is absent, altered or unreadable.
    """
    decoded = held_out_frames(bundle.manifest, data, reference.ids, progress)
    for frame, expected in zip(decoded.frames, reference.sha256, strict=True):
        if sha256_file(frame.path) != expected:
            raise DataError(
                f"{frame.path} is not the file that the reference was made from (its sha256 differs)",
                fix="give the original frames: --data DIR, or export the adapter again on these",
            )
    return decoded


def _random_pixels(size_px: int) -> NDArray[np.uint8]:
    """For speed alone: a network without branches does the same work on any pixels."""
    return np.random.default_rng(0).integers(0, 256, (8, size_px, size_px, 3), dtype=np.uint8)
