"""Probe images: frames built into gi-edge, to hold an engine against the trained model where no real frame is.

Made once, at export, and kept in the bundle with their logits: two machines may round a generated frame differently.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gi_edge.data.synthetic import render_attribute_frames

_SEED = 20_260
_RENDERED = 12
_RENDERED_SIZE_PX = 160
STRESS: tuple[str, ...] = ("black", "white", "noise", "gradient")
"""Images that no endoscope delivers, which bring activations to their ends."""
PROBE_NAMES: tuple[str, ...] = (*(f"endoscopy-like {number + 1}" for number in range(_RENDERED)), *STRESS)


def probe_pixels(size_px: int) -> NDArray[np.uint8]:
    """Return uint8 [16, size_px, size_px, 3] RGB: generated frames at a fixed seed, then the stress images."""
    rendered, _ = render_attribute_frames(_RENDERED, _RENDERED_SIZE_PX, _SEED)
    frames = [np.asarray(Image.fromarray(frame).resize((size_px, size_px))) for frame in rendered]
    ramp = np.linspace(0, 255, size_px).astype(np.uint8)
    gradient = np.stack([*np.meshgrid(ramp, ramp), np.full((size_px, size_px), 128, np.uint8)], axis=-1)
    shape = (size_px, size_px, 3)
    noise = np.random.default_rng(_SEED).integers(0, 256, shape, dtype=np.uint8)
    return np.stack([*frames, np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), noise, gradient])
