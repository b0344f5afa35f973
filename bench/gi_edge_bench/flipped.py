"""Held-out frames that the engine puts into another class than the reference, as a result keeps them."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gi_edge.artifacts.results import FlippedFrame
from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.parity import flipped_frames
from gi_edge_bench.frames import HeldOut

_MOST = 24
_SIDE_PX = 224


def flipped_from_answers(
    held_out: HeldOut, logits: NDArray[np.float32], temperature: float, classes: tuple[str, ...], *, pictures: bool
) -> tuple[FlippedFrame, ...]:
    """Return the frames whose class changed, at most 24, those first of which the engine is surest.

    logits: of the engine, [n, classes]. A frame with a logit that is not finite has no class: it counts as changed in
    the verdict, and is left out here.
    """
    reference = held_out.reference
    changed = flipped_frames(reference.logits, logits) & np.isfinite(logits).all(axis=1)
    rows = np.flatnonzero(changed)
    if not len(rows):
        return ()
    before, after = softmax(reference.logits[rows], temperature), softmax(logits[rows], temperature)
    surest = np.argsort(-after.max(axis=1), kind="stable")[:_MOST]
    return tuple(
        FlippedFrame(
            frame=reference.ids[rows[place]],
            label=classes[reference.labels[rows[place]]],
            reference=classes[before[place].argmax()],
            engine=classes[after[place].argmax()],
            reference_probability=float(before[place].max()),
            engine_probability=float(after[place].max()),
            picture=_picture(held_out.frames.pixels[rows[place]]) if pictures else None,
        )
        for place in surest
    )


def _picture(pixels: NDArray[np.uint8]) -> str:
    image = Image.fromarray(np.asarray(pixels))
    image.thumbnail((_SIDE_PX, _SIDE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
