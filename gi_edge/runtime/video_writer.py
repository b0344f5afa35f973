"""An MP4 file, written frame by frame at their own times. Writes through FFmpeg's libraries (PyAV)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame as AvFrame
from av.video.stream import VideoStream
from PIL import Image, ImageOps

from gi_edge.errors import RuntimeUnavailableError
from gi_edge.files import atomic_file

ENCODERS = ("libx264", "libopenh264", "mpeg4")
"""In order of preference; which there are depends on how PyAV was built."""
_TICK = Fraction(1, 30_000)
"""Exact for 24, 25, 29.97, 30, 50, 59.94 and 60 frames per second."""
_LARGEST_DENOMINATOR = 1001
"""That of the rates of television, as 30000/1001."""
_LEAST_RATE = Fraction(1, _LARGEST_DENOMINATOR)

Add = Callable[[Image.Image, float | None], None]
"""Takes an RGB image and its time in seconds; None: one frame after the last."""


@contextmanager
def video_writer(path: Path, rate: Fraction | None) -> Iterator[Add]:
    """Yield what adds frames; the file is whole when the block ends without an error, else there is none.

    All frames have the size of the first, whose width and height are even; others are fitted into it. rate: frames per
    second, for frames without a time and as a hint to the encoder; 25 if not known or too low to be one.

    Raises: RuntimeUnavailableError if no encoder is there; ArtifactError if the file cannot be written.
    """
    with atomic_file(path) as partial, av.open(str(partial), "w", format="mp4") as container:
        writing = _Writing(container, rate if rate and rate >= _LEAST_RATE else Fraction(25))
        yield writing.add
        writing.finish()


class _Writing:
    def __init__(self, container: av.container.OutputContainer, rate: Fraction) -> None:
        self._container = container
        self._rate = rate.limit_denominator(_LARGEST_DENOMINATOR)
        self._step = max(1, round(1 / (rate * _TICK)))
        self._stream: VideoStream | None = None
        self._last = -self._step

    def add(self, image: Image.Image, time_s: float | None) -> None:
        if self._stream is None:
            self._stream = self._begun(image.size)
        size = (self._stream.width, self._stream.height)
        fitting = image if image.size == size else ImageOps.pad(image, size)
        frame = AvFrame.from_ndarray(np.asarray(fitting), format="rgb24")
        due = self._last + self._step if time_s is None else round(time_s / _TICK)
        self._last = frame.pts = max(due, self._last + 1)  # times must rise
        frame.time_base = _TICK
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))

    def _begun(self, size: tuple[int, int]) -> VideoStream:
        name = next((name for name in ENCODERS if _is_there(name)), None)
        if name is None:
            raise RuntimeUnavailableError(
                f"this PyAV has no encoder of {', '.join(ENCODERS)}", fix="pip install --force-reinstall av"
            )
        stream = self._container.add_stream(name, rate=self._rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _TICK
        return stream


def _is_there(encoder: str) -> bool:
    try:
        av.Codec(encoder, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True
