"""Frames of real video files: which, when, upright, and what is said of damaged ones."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from av.packet import Packet
from PIL import Image
from videos import damage, difference, scene, turn, write_video

from gi_edge.errors import ArtifactError, DataError
from gi_edge.runtime.sampling import SUFFIXES, Sampling
from gi_edge.runtime.time_stamps import Restart, rising_packets
from gi_edge.runtime.video import VideoFault, VideoFrame, VideoSeam, read_frames, read_info
from gi_edge.runtime.video_writer import video_writer

CODECS = {
    ".mp4": "libx264",
    ".m4v": "libx264",
    ".mov": "libx264",
    ".mkv": "libx264",
    ".avi": "mpeg4",
    ".mpg": "mpeg2video",
    ".mpeg": "mpeg2video",
    ".wmv": "wmv2",
    ".webm": "libvpx",
}
NEAR = 8.0
"""Mean difference that coding may make; neighbouring frames of the scene differ by more than twice of it."""


def test_neighbouring_frames_of_the_scene_are_told_apart():
    assert difference(scene(1), scene(0)) > 2 * NEAR
    assert set(CODECS) == SUFFIXES


@pytest.mark.parametrize("suffix", CODECS)
def test_every_kind_of_file_gives_all_frames_with_number_and_time(tmp_path, suffix):
    path = write_video(tmp_path / f"film{suffix}", 12, codec=CODECS[suffix])
    found = list(read_frames(path))
    assert [frame.number for frame in found] == list(range(12))
    assert [frame.time_s for frame in found] == pytest.approx([number / 25 for number in range(12)], abs=2e-3)
    assert max(difference(frame.image, scene(frame.number)) for frame in found) < NEAR
    info = read_info(path)
    assert (info.width, info.height, info.rate) == (96, 64, 25)


TIMES_MS = [0, 40, 80, 500, 1000, 1001, 1500]


@pytest.mark.parametrize(
    ("sampling", "numbers"),
    [
        (Sampling(), [0, 1, 2, 3, 4, 5, 6]),
        (Sampling(every=3), [0, 3, 6]),
        (Sampling(rate=2), [0, 3, 4, 6]),
        (Sampling(rate=1), [0, 4]),
        (Sampling(rate=10), [0, 3, 4, 6]),
        (Sampling(rate=1000), [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_variable_frame_rate_is_sampled_by_time_stamps(tmp_path, sampling, numbers):
    path = write_video(tmp_path / "film.mp4", 7, times_ms=TIMES_MS)
    found = list(read_frames(path, sampling))
    assert [frame.number for frame in found] == numbers
    assert [frame.time_s for frame in found] == pytest.approx([TIMES_MS[number] / 1000 for number in numbers], abs=1e-3)


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [(Sampling(), 100), (Sampling(every=30), 4), (Sampling(rate=5), 20), (Sampling(rate=99), 100)],
)
def test_the_number_of_frames_to_come_is_foretold(sampling, expected):
    assert sampling.expected(100, 25) == expected
    assert Sampling(rate=5).expected(100, None) is None


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_recording_is_set_upright(tmp_path, degrees):
    """Clockwise for the player: np.rot90 turns the other way."""
    path = turn(write_video(tmp_path / "film.mp4", 3), degrees)
    frame = next(iter(read_frames(path)))
    assert difference(frame.image, np.rot90(scene(0), -degrees // 90)) < NEAR


@pytest.mark.parametrize("start", [0.35, 0.5, 0.65])
@pytest.mark.parametrize("suffix", [".mp4", ".mpg"])
def test_damage_is_told_with_its_time_and_no_frame_that_builds_on_it_is_answered(tmp_path, suffix, start):
    path = damage(write_video(tmp_path / f"film{suffix}", 40, codec=CODECS[suffix]), start)
    found = list(read_frames(path))
    faults = [place for place in found if isinstance(place, VideoFault)]
    frames = [place for place in found if isinstance(place, VideoFrame)]
    assert faults
    assert all(0 <= fault.time_s <= 40 / 25 for fault in faults)
    assert 20 <= len(frames) < 40
    assert {round(frame.time_s * 25) for frame in frames} >= set(range(5))  # before the damage
    by_time = [difference(frame.image, scene(round(frame.time_s * 25))) for frame in frames]
    assert max(by_time) < NEAR


def test_a_file_that_was_cut_short_gives_its_frames_and_says_so(tmp_path):
    """The index stands in front, as it does where a file is meant for the network; the end is missing."""
    import av

    whole, fast = write_video(tmp_path / "film.mp4", 40), tmp_path / "fast.mp4"
    with av.open(str(whole)) as source, av.open(str(fast), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    content = fast.read_bytes()
    fast.write_bytes(content[: len(content) * 2 // 3])
    found = list(read_frames(fast))
    assert 10 < sum(isinstance(place, VideoFrame) for place in found) < 40
    told = [place.reason for place in found if isinstance(place, VideoFault)]
    assert any("of the 40 frames of its index are there" in reason for reason in told), told


REFUSED = {
    "absent": (None, "No such file"),
    "empty": (b"", "is empty"),
    "no video": (b"text " * 500, "cannot be read as a video"),
    "cut before its index": ("cut", "cannot be read as a video"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_video_is_refused_with_its_reason(tmp_path, case):
    content, found = REFUSED[case]
    path = tmp_path / "film.mp4"
    if content == "cut":
        path.write_bytes(write_video(tmp_path / "whole.mp4").read_bytes()[:900])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=found):
        list(read_frames(path))


MEMORY = """
import resource, sys
from gi_edge.runtime.sampling import Sampling
from gi_edge.runtime.video import read_frames
from pathlib import Path
for row, frame in enumerate(read_frames(Path(sys.argv[1]))):
    if row == 300:
        early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(row + 1, early, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path):
    """Six thousand frames of 18 kB: kept, they would be 110 MB."""
    path = write_video(tmp_path / "long.mp4", [scene(number % 50) for number in range(6000)], codec="mpeg4")
    done = subprocess.run([sys.executable, "-c", MEMORY, path], capture_output=True, text=True, check=True)
    rows, early_kib, late_kib = map(int, done.stdout.split())
    assert rows == 6000
    assert late_kib - early_kib < 8 * 1024


def test_a_written_video_has_its_frames_at_their_times(tmp_path):
    with video_writer(tmp_path / "deep" / "copy.mp4", None) as add:
        for number, time_s in enumerate([0.0, 0.04, 0.5, None, 0.1]):  # the last one must not go back
            add(Image.fromarray(scene(number)), time_s)
    found = list(read_frames(tmp_path / "deep" / "copy.mp4"))
    assert [frame.time_s for frame in found[:4]] == pytest.approx([0.0, 0.04, 0.5, 0.54], abs=1e-4)
    assert 0.54 < found[4].time_s < 0.541
    assert max(difference(frame.image, scene(frame.number)) for frame in found) < NEAR


@pytest.mark.parametrize("rate", [Fraction(1, 2003), Fraction(1, 90_000), Fraction(0), Fraction(-25), None])
def test_a_rate_that_no_video_has_is_taken_for_25(tmp_path, rate):
    with video_writer(tmp_path / "copy.mp4", rate) as add:
        for number in range(3):
            add(Image.fromarray(scene(number)), None)
    found = list(read_frames(tmp_path / "copy.mp4"))
    assert [frame.time_s for frame in found] == pytest.approx([0.0, 0.04, 0.08], abs=1e-4)


@pytest.mark.parametrize("rate", [Fraction(1, 1001), Fraction(1, 2), Fraction(30_000, 1001), Fraction(60)])
def test_a_known_rate_is_that_of_frames_without_a_time(tmp_path, rate):
    with video_writer(tmp_path / "copy.mp4", rate) as add:
        add(Image.fromarray(scene(0)), None)
        add(Image.fromarray(scene(1)), None)
    assert [frame.time_s for frame in read_frames(tmp_path / "copy.mp4")] == pytest.approx([0.0, 1 / rate], abs=1e-4)


def test_an_interrupted_writer_leaves_no_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), video_writer(tmp_path / "copy.mp4", None) as add:
        add(Image.fromarray(scene(0)), 0.0)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_may_not_write_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="cannot write"), video_writer(tmp_path / "file" / "copy.mp4", None):
        pass


def joined(path, codec, frames=50):
    """A file of two recordings, one after the other, as cat makes it."""
    part = write_video(path.with_stem("part"), frames, codec=codec)
    path.write_bytes(part.read_bytes() * 2)
    return path


JOINED = {".mpg": "mpeg2video", ".mpeg": "mpeg2video", ".mkv": "libx264", ".webm": "libvpx"}
"""Kinds that are read on behind a seam and whose time stamps start anew there; .avi has none of its own."""


@pytest.mark.parametrize("suffix", JOINED)
def test_joined_recordings_are_looked_at_to_the_end_and_the_seam_is_told(tmp_path, suffix):
    found = list(read_frames(joined(tmp_path / f"film{suffix}", JOINED[suffix]), Sampling(rate=5)))
    seams = [place.time_s for place in found if isinstance(place, VideoSeam)]
    frames = [place for place in found if isinstance(place, VideoFrame)]
    assert seams == pytest.approx([2.0], abs=2e-3)
    assert [frame.number for frame in frames] == list(range(0, 100, 5))
    assert [frame.time_s for frame in frames] == pytest.approx([number / 5 for number in range(20)], abs=2e-3)
    assert max(difference(frame.image, scene(frame.number % 50)) for frame in frames) < NEAR
    assert len(found) == 21


@pytest.mark.parametrize("start", [0.3, 0.8])
def test_damage_on_either_side_of_a_seam_ends_at_the_next_key_frame(tmp_path, start):
    found = list(read_frames(damage(joined(tmp_path / "film.mpg", "mpeg2video", 40), start)))
    frames = [place for place in found if isinstance(place, VideoFrame)]
    assert any(isinstance(place, VideoFault) for place in found)
    assert 80 - 15 <= len(frames) < 80
    assert max(difference(frame.image, scene(round(frame.time_s * 25) % 40)) for frame in frames) < NEAR


STAMPS = {
    "in order": ([0, 40, 80], [0, 40, 80]),
    "a pause": ([0, 40, 90_000, 90_040], [0, 40, 90_000, 90_040]),
    "starts anew": ([5000, 5040, 0, 40], [5000, 5040, "seam", 5080, 5120]),
    "twice": ([0, 2000, 0, 2000, 0], [0, 2000, "seam", 2040, 4040, "seam", 4080]),
    "a small step back": ([0, 2000, 1900, 2040], [0, 2000, 1900, 2040]),
    "one far ahead": ([0, 40, 900_000, 120, 160], [0, 40, None, 120, 160]),
    "one far behind": ([5000, 5040, 0, 5120], [5000, 5040, None, 5120]),
    "one without": ([5000, None, 0, 40], [5000, None, "seam", 5040, 5080]),
}


@pytest.mark.parametrize("case", STAMPS)
def test_time_stamps_rise_and_a_stray_one_moves_nothing(case):
    given, expected = STAMPS[case]
    packets = [Packet(1) for _ in given]
    for packet, stamp in zip(packets, given, strict=True):
        packet.pts = packet.dts = stamp
    stream = SimpleNamespace(time_base=Fraction(1, 1000), average_rate=Fraction(25), guessed_rate=None)
    found = list(rising_packets(packets, stream))
    assert ["seam" if isinstance(each, Restart) else each.dts for each in found] == expected
    assert ["seam" if isinstance(each, Restart) else each.pts for each in found] == expected
    for at, each in enumerate(found):
        assert not isinstance(each, Restart) or each.pts == found[at + 1].pts


def test_a_time_that_strays_ahead_does_not_end_the_sampling():
    picker = Sampling(rate=5).picker(None)
    times = [0.0, 0.1, 900.0, 0.2, 0.3, 0.4]
    assert [picker.takes(number, time_s) for number, time_s in enumerate(times)] == [1, 0, 1, 1, 0, 1]
