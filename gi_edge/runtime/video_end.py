"""Does a video end where its head says it does? Matroska, WebM and MP4 in fragments tell; other heads estimate.

A time alone does not show that a Matroska file is cut short: its last picture may be shown for seconds, and blocks need
not say how long they last. So the size that the head gives the file's one segment must be missing bytes too. EBML and
its sizes are RFC 8794, Matroska is RFC 9559; the DURATION tag of a track is what FFmpeg and mkvmerge write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.video.stream import VideoStream

from gi_edge.runtime.time_stamps import fraction_of

_SEGMENT = 0x18538067
_HEAD_BYTES = 4096
"""The EBML header before the segment has some forty."""
_USUAL_STEP_S = 0.04
_SLACK_S = 1.0
_SLACK_SHARE = 0.1
"""An MP4 in fragments has lost something where more than a second is missing, or a tenth of a short one: some heads
round. Their frames say how long they last. Often they promise the fragment only in which the file ends."""


@dataclass(frozen=True)
class Promise:
    """Where a file's head says that its frames end."""

    end_s: float
    slack_s: float
    """So much less is no loss."""
    is_of_all: bool = False
    """Of all its streams; else of the first video stream."""
    is_decoding: bool = False
    """Whether it is a time of decoding, as FFmpeg sums up MP4 fragments; else of showing."""


class Ends:
    """Hands on the packets of a stream, and notes how far they reach."""

    def __init__(self, container: av.container.InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self._promise = _promise(container, stream)
        self._end_s = 0.0

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield the stream's packets, in the order of decoding, their time stamps as in the file."""
        if self._promise is None or not self._promise.is_of_all:
            packets: Iterator[Packet[Any]] = self._container.demux(self._stream)
        else:
            packets = self._container.demux()
        for packet in packets:
            self._note(packet)
            if packet.stream.index == self._stream.index:
                yield packet

    def shortfall(self) -> str | None:
        """Return what is missing, in words, once all packets came; None where nothing is or nobody can tell."""
        if self._promise is None:
            return None
        wanted = self._promise.end_s
        if wanted - self._end_s <= self._promise.slack_s:
            return None
        return f"the file is cut short: it ends at {self._end_s:.3f} s of {wanted:.3f} s"

    def _note(self, packet: Packet[Any]) -> None:
        tick = fraction_of(packet.time_base)
        stamps = (packet.dts, packet.pts) if self._promise and self._promise.is_decoding else (packet.pts, packet.dts)
        stamp = stamps[0] if stamps[0] is not None else stamps[1]
        if tick is None or stamp is None:
            return
        own = packet.stream.index == self._stream.index
        step_s = float(packet.duration * tick) if packet.duration else _step_s(self._stream) if own else 0.0
        self._end_s = max(self._end_s, float(stamp * tick) + step_s)


def _promise(container: av.container.InputContainer, stream: VideoStream) -> Promise | None:
    if "matroska" in container.format.name and _lacks_bytes(Path(container.name)):
        step_s = _step_s(stream)
        tagged = next((value for name, value in stream.metadata.items() if name.startswith("DURATION")), "")
        times = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", tagged)
        if times:
            hours, minutes, seconds = times.groups()
            return Promise(3600 * int(hours) + 60 * int(minutes) + float(seconds), step_s)
        return Promise(container.duration / av.time_base, step_s, is_of_all=True) if container.duration else None
    tick = fraction_of(stream.time_base)
    # with an index, what is told of its frames says more
    if "mp4" in container.format.name and not stream.frames and stream.duration and tick:
        end_s = float(stream.duration * tick)
        return Promise(end_s, min(_SLACK_S, _SLACK_SHARE * end_s), is_decoding=True)
    return None


def _step_s(stream: VideoStream) -> float:
    rate = fraction_of(stream.average_rate or stream.guessed_rate)
    return float(1 / rate) if rate else _USUAL_STEP_S


def _lacks_bytes(path: Path) -> bool:
    """Return whether a Matroska file is shorter than its head says; False where that leaves the size open."""
    with path.open("rb") as file:
        head, length = file.read(_HEAD_BYTES), path.stat().st_size
    at = 0
    while at < len(head):
        name, at = _number(head, at, keep_mark=True)
        if at >= len(head):
            return False
        size, after = _number(head, at, keep_mark=False)
        if name == _SEGMENT:
            is_open = size == (1 << 7 * (after - at)) - 1
            return not is_open and length < after + size
        at = after + size
    return False


def _number(content: bytes, at: int, *, keep_mark: bool) -> tuple[int, int]:
    """Return an EBML number of one to eight bytes and where it ends; the zeros in front tell its length."""
    count = 9 - content[at].bit_length()
    value = int.from_bytes(content[at : at + count], "big")
    return (value if keep_mark else value & ((1 << 7 * count) - 1)), at + count
