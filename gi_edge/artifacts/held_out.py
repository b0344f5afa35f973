"""The test part of an artefact's dataset, decoded again from the raw files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gi_edge.artifacts.manifest import Manifest
from gi_edge.data.index import frames_by_id, index_from_folder
from gi_edge.data.pixels import DecodedFrames, decode_frames
from gi_edge.data.subset import index_of_classes
from gi_edge.errors import DataError
from gi_edge.progress import Progress


def held_out_frames(
    manifest: Manifest, data: Path, ids: Sequence[str], progress: Progress, cache: Path | None = None
) -> DecodedFrames:
    """Decode the frames with these ids from the folder data, in their order, as the manifest says.

    cache: folder of the frame cache; without one every frame is decoded from its file, as the proofs of export and
    bench promise.

    Raises: DataError if a class or frame is absent, or a frame unreadable.
    """
    dataset = manifest.dataset
    index = index_of_classes(index_from_folder(dataset.name, data, dataset.rules(), dataset.exclude), manifest.classes)
    decoded = decode_frames(
        frames_by_id(index, ids), manifest.preprocess, progress, f"decode {dataset.name}, test part", cache
    )
    if decoded.unreadable:
        first = decoded.unreadable[0]
        raise DataError(
            f"{len(decoded.unreadable)} held-out frames cannot be read, the first: {first.frame.path}: {first.reason}",
            fix="give the folder the adapter was trained on: --data DIR",
        )
    return decoded
