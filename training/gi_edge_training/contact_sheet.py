"""A picture of what augmentation makes of training frames, to look at before the training is believed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gi_edge.files import write_atomic
from gi_edge.progress import Progress
from gi_edge_training.augment import augmentation
from gi_edge_training.config import TrainJob
from gi_edge_training.data import TrainingData

_AUGMENTED = 7
_TILE_PX, _GAP_PX, _LINE_PX, _FONT_PX = 144, 6, 22, 14
_GROUND, _INK = "#232321", "#eeede8"


def write_contact_sheet(data: TrainingData, job: TrainJob, progress: Progress) -> Path:
    """Write NAME.augmentation.png beside the adapter's folder: each class's first training frame, and augmented.

    Not inside the folder: an adapter may be published, frames of patients may not. Raises: ArtifactError.
    """
    labels, train = data.labels, data.rows("train")
    first = {int(label): int(row) for row, label in zip(train[::-1], labels[train][::-1], strict=True)}
    frames = {data.classes[label]: np.array(data.pixels[row]) for label, row in sorted(first.items())}
    path = job.output.with_name(f"{job.output.name}.augmentation.png")
    write_atomic(path, contact_sheet(frames, job.settings.seed))
    progress.say(f"augmented frames to look at: {path} (it shows training frames; the adapter does not hold it)")
    return path


def contact_sheet(frames: dict[str, NDArray[np.uint8]], seed: int) -> bytes:
    """Return a PNG with a row for each class: its frame as decoded, then seven augmented versions of it.

    frames: uint8 [size, size, 3] by class. Equal frames and seeds give equal bytes; torch's generator is left as it
    was.
    """
    pitch = _TILE_PX + _GAP_PX
    sheet = Image.new("RGB", (_GAP_PX + (1 + _AUGMENTED) * pitch, _GAP_PX + len(frames) * (pitch + _LINE_PX)), _GROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for number, (label, frame) in enumerate(frames.items()):
            top = _GAP_PX + number * (pitch + _LINE_PX)
            draw.text((_GAP_PX, top), f"{label}: as decoded, then augmented", fill=_INK, font=font)
            for column, picture in enumerate([frame, *_augmented(frame)]):
                tile = Image.fromarray(picture).resize((_TILE_PX, _TILE_PX), Image.Resampling.BILINEAR)
                sheet.paste(tile, (_GAP_PX + column * pitch, top + _LINE_PX))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def _augmented(frame: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    transform = augmentation(frame.shape[0])
    image = torch.from_numpy(frame).permute(2, 0, 1)
    return [transform(image).permute(1, 2, 0).contiguous().numpy() for _ in range(_AUGMENTED)]
