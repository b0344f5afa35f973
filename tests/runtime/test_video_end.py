"""Videos that end before their heads say they do, and whole ones of which nothing is said."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from videos import scene

from gi_edge.runtime.video import VideoFault, read_frames

FRAMES, LENGTH_S = 60, 2.4
KINDS = {"mkv": ("libx264", {}), "webm": ("libvpx", {}), "mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"})}
WHOLE = {
    "at a steady rate": {},
    "sound to the end": {"sound_s": LENGTH_S},
    "sound for longer": {"sound_s": 6.0},
    "starting late": {"start_ms": 5000},
    "a pause": {"pause_ms": 3000},
    "its last picture held": {"held_ms": 3000},
}


def film(path, *, start_ms=0, pause_ms=0, held_ms=0, sound_s=0.0):
    """Write sixty frames at 25 a second, from start_ms on; before the second half is pause_ms."""
    codec, options = KINDS[path.suffix[1:]]
    with av.open(str(path), "w", options=dict(options)) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.gop_size = 10
        stream.options = {"crf": "6"}
        stream.bit_rate = 2_000_000
        stream.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("libopus", rate=48000) if sound_s else None
        packets = []
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(scene(number), format="rgb24")
            frame.pts = start_ms + 40 * number + (pause_ms if number >= FRAMES // 2 else 0)
            frame.time_base = Fraction(1, 1000)
            packets += stream.encode(frame)
        packets += stream.encode()
        for packet in packets:
            packet.duration = 40
        packets[-1].duration += held_ms
        for block in range(round(sound_s * 50)):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.float32), format="flt", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 960 * block, Fraction(1, 48000)
            packets += sound.encode(frame)
        packets += sound.encode() if sound else []
        container.mux(packets)
    return path


def told(path):
    return [place.reason for place in read_frames(path) if isinstance(place, VideoFault)]


@pytest.mark.parametrize("case", WHOLE)
@pytest.mark.parametrize("suffix", KINDS)
def test_nothing_is_said_of_a_whole_file(tmp_path, suffix, case):
    assert told(film(tmp_path / f"film.{suffix}", **WHOLE[case])) == []


@pytest.mark.parametrize("has_tags", [True, False])
@pytest.mark.parametrize("sound_s", [0.0, 2.4, 6.0])
@pytest.mark.parametrize("suffix", KINDS)
def test_a_file_cut_in_half_says_where_it_ends(tmp_path, suffix, sound_s, has_tags):
    path = film(tmp_path / f"film.{suffix}", sound_s=sound_s)
    content = path.read_bytes()
    if not has_tags:
        content = content.replace(b"DURATION", b"ELSEWISE")
    path.write_bytes(content[: len(content) // 2])
    if suffix == "mp4" and sound_s > LENGTH_S:  # its pictures lie in front: none is lost
        assert told(path) == []
        return
    [reason] = [reason for reason in told(path) if "damaged" not in reason]
    promised = sound_s if sound_s == 6.0 and not has_tags else LENGTH_S
    assert reason.startswith("the file is cut short: it ends at ")
    end_s, of_s = (float(word) for word in reason.split() if word[0].isdigit())
    assert 0.5 < end_s < LENGTH_S - 0.3
    if suffix == "mp4":  # which promises the fragment only in which it ends
        assert end_s < of_s <= LENGTH_S
    else:
        assert of_s == pytest.approx(promised, abs=0.05)


def test_a_file_that_lost_nothing_but_its_index_lost_no_frame(tmp_path):
    path = film(tmp_path / "film.mkv")
    path.write_bytes(path.read_bytes()[:-20])
    assert told(path) == []
