"""Small videos that the tests write."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

TICK = Fraction(1, 1000)


def scene(number: int, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """A frame of coarse grey noise that moves to the left, uint8 [height, width, 3]; numbers tell frames apart."""
    width, height = size
    noise = np.random.default_rng(7).integers(30, 220, (height // 8, width // 8 + 64), dtype=np.uint8)
    start = 3 * number % (64 * 8)
    grey = noise.repeat(8, 0).repeat(8, 1)[:, start : start + width]
    return np.ascontiguousarray(grey[:, :, None].repeat(3, 2))


def write_video(
    path: Path,
    frames: int | Sequence[np.ndarray] = 20,
    *,
    codec: str = "libx264",
    times_ms: Sequence[int] | None = None,
    key_every: int = 10,
) -> Path:
    """Write frames, or so many of a scene, at 25 a second or at their times; nearly without loss, and with no sound."""
    pictures = [scene(number) for number in range(frames)] if isinstance(frames, int) else frames
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = key_every
        stream.options = {"crf": "6"}
        stream.bit_rate = 2_000_000
        if times_ms:
            stream.codec_context.time_base = TICK
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times_ms:
                frame.pts, frame.time_base = times_ms[number], TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def damage(path: Path, start: float, count: int = 150) -> Path:
    """Alter so many bytes of a file from a share of its length on."""
    content = bytearray(path.read_bytes())
    first = int(len(content) * start)
    for place in range(first, first + count):
        content[place] = (content[place] * 7 + 13) % 256
    path.write_bytes(content)
    return path


def turn(path: Path, degrees: int) -> Path:
    """Ask the player to turn an MP4 by 90, 180 or 270 degrees clockwise, in the matrix of its track header.

    The layout is that of ISO/IEC 14496-12, 8.3.2: nine 32-bit numbers, 40 bytes after the name of the box.
    """
    one, minus = 0x00010000, 0xFFFF0000
    a, b, c, d = {90: (0, one, minus, 0), 180: (minus, 0, 0, minus), 270: (0, minus, one, 0)}[degrees]
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    matrix = (a, b, 0, c, d, 0, 0, 0, 0x40000000)
    content[start : start + 36] = b"".join(value.to_bytes(4, "big") for value in matrix)
    path.write_bytes(content)
    return path


def difference(found: Image.Image | np.ndarray, expected: np.ndarray) -> float:
    """Mean absolute difference of two pictures."""
    return float(np.abs(np.asarray(found).astype(int) - expected.astype(int)).mean())
