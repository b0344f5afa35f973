"""Frames of a video file, one after the other, with their times. Reads through FFmpeg's libraries (PyAV)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.frame import VideoFrame as AvFrame
from av.video.stream import VideoStream
from PIL import Image

from gi_edge.errors import DataError
from gi_edge.runtime.sampling import Sampling
from gi_edge.runtime.time_stamps import Restart, fraction_of, rising_packets
from gi_edge.runtime.video_end import Ends

_TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, -180: Image.Transpose.ROTATE_180}
_TURNS |= {-90: Image.Transpose.ROTATE_270, 270: Image.Transpose.ROTATE_270, -270: Image.Transpose.ROTATE_90}
"""By the degrees, counterclockwise, that a file asks its player to turn it."""
_OPENED_WITH: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
"""Titles that are no UTF-8 stop nobody; PyAV 19 keeps their bytes by itself."""


@dataclass(frozen=True)
class VideoFrame:
    """One decoded frame."""

    number: int
    """From 0, in the order of showing, of the frames that could be decoded."""
    time_s: float | None
    """By its time stamp, from the start of the video stream; that of the last frame before it where the file gives it
    none, and None where there was none either."""
    image: Image.Image
    """8-bit RGB, upright; its pixels as stored, whatever shape the file says they should be shown in."""


@dataclass(frozen=True)
class VideoFault:
    """A place where a file could not be decoded."""

    time_s: float | None
    """As of a frame."""
    reason: str


@dataclass(frozen=True)
class VideoSeam:
    """A place where the time stamps start anew, as in recordings that were joined; nothing is left out there."""

    time_s: float | None
    """Of the first frame after it; times go on from the frame before."""


@dataclass(frozen=True)
class VideoInfo:
    """What the head of a file says."""

    width: int
    height: int
    """Of the upright frames as stored in the file's head; a frame may differ."""
    frames: int | None
    """As the file tells or its duration and rate suggest; None where it tells nothing."""
    rate: Fraction | None
    """Frames per second, on average."""


def read_info(path: Path) -> VideoInfo:
    """Read the head of a video file. Raises: DataError if it cannot be opened or has no video."""
    with closing(_opened(path)) as container:
        stream = container.streams.video[0]
        rate = fraction_of(stream.average_rate or stream.guessed_rate)
        frames = stream.frames or round(_duration_s(container, stream) * float(rate or 0))
        return VideoInfo(stream.width, stream.height, frames or None, rate)


def read_frames(path: Path, sampling: Sampling | None = None) -> Iterator[VideoFrame | VideoFault | VideoSeam]:
    """Yield the sampled frames of a video file, and every fault and seam in it; memory does not grow with its length.

    Frames come in the order of showing, a fault or seam up to a few frames, as the decoder holds back, before its time.

    A damaged packet or frame is left out, and so are the frames up to the next key frame, for they build on it. Sound
    and all but the first video stream are passed over. sampling: which frames; all unless given.

    Raises: DataError if it cannot be opened or has no video.
    """
    with closing(_opened(path)) as container:
        stream = container.streams.video[0]
        # Threads by frame tell of a damaged packet some packets later. With threads by slice H.264 frames that were
        # patched up are not marked (FFmpeg in PyAV 18.1: 2 of 6 damaged files passed, each with 12 false frames).
        stream.thread_type = "NONE"
        clock, damage = _Clock(stream), _Damage()
        picker = (sampling or Sampling()).picker(fraction_of(stream.average_rate))
        number = -1
        for outcome in _decoded(container, stream):
            if isinstance(outcome, Restart):
                yield VideoSeam(clock.time_s(outcome.pts))
                continue
            if isinstance(outcome, _Failure):
                damage.begin(outcome.pts)
                yield VideoFault(clock.time_s(outcome.pts), outcome.reason)
                continue
            number += 1
            pts = outcome.pts if outcome.pts is not None else outcome.dts
            time_s = clock.time_s(pts)
            if outcome.is_corrupt:
                damage.begin(pts)
                yield VideoFault(time_s, "the frame is damaged")
            elif not damage.covers(outcome, pts, time_s):
                yield from damage.end()
                if picker.takes(number, time_s):
                    yield VideoFrame(number, time_s, _upright(outcome))
        yield from damage.end()


@dataclass(frozen=True)
class _Failure:
    """What could not be decoded: its presentation time, in ticks, where it has one."""

    pts: int | None
    reason: str


class _Clock:
    """From a stream's ticks to seconds."""

    def __init__(self, stream: VideoStream) -> None:
        self._start = stream.start_time or 0
        self._tick = fraction_of(stream.time_base)
        self._last: float | None = None

    def time_s(self, pts: int | None) -> float | None:
        """Return the seconds from the start of the stream; without a time stamp, of the last one there was."""
        if pts is not None and self._tick is not None:
            self._last = float((pts - self._start) * self._tick)
        return self._last


class _Damage:
    """The stretch from a damaged frame to the next key frame."""

    def __init__(self) -> None:
        self._is_open = False
        self._latest: int | None = None
        self._count = 0
        self._first_s: float | None = None
        self._last_s: float | None = None

    def begin(self, pts: int | None) -> None:
        """Note a damaged packet or frame of this presentation time."""
        self._is_open = True
        if pts is not None:
            self._latest = pts if self._latest is None else max(self._latest, pts)

    def covers(self, frame: AvFrame, pts: int | None, time_s: float | None) -> bool:
        """Return whether a frame may build on a damaged one, and count it if so."""
        if not self._is_open:
            return False
        is_later = self._latest is None or pts is None or pts > self._latest
        if frame.key_frame and is_later:  # a key frame of before the damage can come after it, by reordering
            return False
        self._first_s = self._first_s if self._count else time_s
        self._last_s = time_s
        self._count += 1
        return True

    def end(self) -> Iterator[VideoFault]:
        """Close the stretch; yield what it took, if anything."""
        if self._count:
            until = "" if self._last_s is None else f" to {self._last_s:.3f} s"
            noun = "frame builds" if self._count == 1 else "frames build"
            yield VideoFault(self._first_s, f"{self._count} {noun} on what is damaged, from here{until}")
        self._is_open, self._latest, self._count = False, None, 0


def _opened(path: Path) -> av.container.InputContainer:
    try:
        if path.exists() and not path.is_file():  # to open a pipe could wait for ever
            raise DataError(f"{path} is not a plain file", fix="name a video file")
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty", fix="copy it again")
        container: av.container.InputContainer = av.open(str(path), "r", **_OPENED_WITH)
    except (av.error.FFmpegError, OSError) as error:
        raise DataError(f"{path} cannot be read as a video: {_reason(error)}", fix="check that it plays") from error
    if not container.streams.video:
        container.close()
        raise DataError(f"{path} holds no video stream", fix="name a video file")
    return container


def _decoded(container: av.container.InputContainer, stream: VideoStream) -> Iterator[AvFrame | _Failure | Restart]:
    """Yield frames, what fails, and where time stamps start anew, until the file ends or cannot be read on."""
    ends = Ends(container, stream)
    packets = rising_packets(ends.packets(), stream)
    seen = 0
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError) as error:
            yield _Failure(None, f"the file cannot be read on: {_reason(error)}")
            return
        if packet is None:
            break
        if isinstance(packet, Restart):
            yield packet
            continue
        seen += packet.size > 0
        if packet.is_corrupt:
            yield _Failure(packet.pts, "the packet is damaged")
            continue
        try:
            frames = packet.decode()
        except av.error.EOFError:  # the decoder has given its last frame
            break
        except (av.error.FFmpegError, OSError) as error:
            yield _Failure(packet.pts, f"the packet cannot be decoded: {_reason(error)}")
            continue
        yield from (frame for frame in frames if isinstance(frame, AvFrame))
    if "mp4" in container.format.name and seen < stream.frames:  # other heads give estimates only
        yield _Failure(None, f"the file is cut short: {seen} of the {stream.frames} frames of its index are there")
    elif (shortfall := ends.shortfall()) is not None:
        yield _Failure(None, shortfall)


def _duration_s(container: av.container.InputContainer, stream: VideoStream) -> float:
    tick = fraction_of(stream.time_base)
    if stream.duration is not None and tick is not None:
        return float(stream.duration * tick)
    return (container.duration or 0) / av.time_base


def _upright(frame: AvFrame) -> Image.Image:
    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
    turn = _TURNS.get(frame.rotation)
    return image if turn is None else image.transpose(turn)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
