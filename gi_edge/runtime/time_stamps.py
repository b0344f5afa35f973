"""Time stamps of a video's packets, made to rise: in recordings that were joined they start anew at each seam."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
from av.packet import Packet
from av.video.stream import VideoStream

_FALL_S = 1.0
"""Decoding times never fall; files that round them badly or leave some out stay below this."""


class Rational(Protocol):
    """Fraction is one, and so are the ratios of PyAV 19, which cannot be rounded."""

    @property
    def numerator(self) -> int: ...

    @property
    def denominator(self) -> int: ...


def fraction_of(ratio: Rational | None) -> Fraction | None:
    """Return a ratio of PyAV as a Fraction; None where a file tells none."""
    return Fraction(ratio.numerator, ratio.denominator) if ratio else None


@dataclass(frozen=True)
class Restart:
    """Stands before the first packet whose time stamps fell back."""

    pts: int
    """Presentation time that this packet is given, in ticks."""


def rising_packets(
    packets: Iterable[Packet[VideoStream]], stream: VideoStream
) -> Iterator[Packet[VideoStream] | Restart]:
    """Yield the packets of a stream, in the order of decoding, with time stamps that go on where they start anew.

    A single stamp that fits neither the one before nor the one after it is taken away, as damage.
    """
    tick, rate = fraction_of(stream.time_base), fraction_of(stream.average_rate or stream.guessed_rate)
    if not tick:
        yield from packets
        return
    fall, step = round(_FALL_S / tick), max(1, round(1 / (rate * tick))) if rate else 1
    offset, end = 0, 0  # end: where the last frame of all that was given out ends, in ticks
    last: int | None = None
    for packet, following in _with_following(packets):
        stamp = _stamp(packet)
        if stamp is not None and last is not None and _is_stray(stamp, (last, following), fall):
            packet.pts = packet.dts = stamp = None
        if stamp is not None:
            if last is not None and stamp < last - fall:
                offset = end - (stamp if packet.pts is None else packet.pts)
                yield Restart(end)
            _shift(packet, offset)
            shown = packet.pts if packet.pts is not None else stamp + offset
            end = shown + step if last is None else max(end, shown + step)
            last = stamp
        yield packet


def _with_following(packets: Iterable[Packet[VideoStream]]) -> Iterator[tuple[Packet[VideoStream], int | None]]:
    """Yield each packet and the time stamp of the next one."""
    held: Packet[VideoStream] | None = None
    try:
        for packet in packets:
            if held is not None:
                yield held, _stamp(packet)
            held = packet
    except (av.error.FFmpegError, OSError):
        if held is not None:
            yield held, None
        raise
    if held is not None:
        yield held, None


def _stamp(packet: Packet[VideoStream]) -> int | None:
    return packet.dts if packet.dts is not None else packet.pts


def _is_stray(stamp: int, around: tuple[int, int | None], fall: int) -> bool:
    before, after = around
    return after is not None and before < after and not before - fall <= stamp <= after + fall


def _shift(packet: Packet[VideoStream], ticks: int) -> None:
    if packet.pts is not None:
        packet.pts += ticks
    if packet.dts is not None:
        packet.dts += ticks
