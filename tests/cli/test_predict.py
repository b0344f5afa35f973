"""gi-edge predict: what it reads, the forms of its lines, copies with answers, and what it leaves after a fault."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from support import gi_edge_process, hidden_or_new
from videos import damage, difference, scene, write_video

from gi_edge.runtime.video import VideoFrame, read_frames

CPU = ("--provider", "cpu")
CLASSES = ["blue lesion", "green lesion", "red lesion"]
COLUMNS = ["source", "frame", "time_s", "label", "probability", *CLASSES]


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_is_answered_at_all_depths_images_and_videos(workspace, place, gi_edge):
    done = gi_edge("predict", "lesions", place, "--format", "csv", *CPU, cwd=workspace)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].split(",") == COLUMNS
    rows = rows_of(done.out)
    film = [(str(place / "film.mp4"), str(number), f"{number / 25:.6f}") for number in range(12)]
    images = [(str(place / name), "", "") for name in ("r.jpg", "deep/b.jpg", "deep/r.png")]
    assert [(row["source"], row["frame"], row["time_s"]) for row in rows] == [*film, *images]
    labels = [row["label"] for row in rows]
    assert labels == ["red lesion"] * 6 + ["green lesion"] * 6 + ["red lesion", "blue lesion", "red lesion"]
    for row in rows:
        numbers = [float(row[name]) for name in CLASSES]
        assert sum(numbers) == pytest.approx(1, abs=3e-6)
        assert float(row["probability"]) == max(numbers) == float(row[row["label"]])


def test_the_three_forms_say_the_same(workspace, place, gi_edge):
    text, table, objects = (
        gi_edge("predict", "lesions", place, "--format", form, *CPU, cwd=workspace) for form in ("text", "csv", "json")
    )
    assert (text.code, table.code, objects.code) == (0, 0, 0)
    rows, found = rows_of(table.out), [json.loads(line) for line in objects.out.splitlines()]
    assert [each["class"] for each in found] == [row["label"] for row in rows]
    assert [each.get("video") or each["image"] for each in found] == [row["source"] for row in rows]
    assert [each.get("time_s") for each in found] == [float(row["time_s"]) if row["time_s"] else None for row in rows]
    assert [list(each["probabilities"].values()) for each in found] == [
        [float(row[name]) for name in CLASSES] for row in rows
    ]
    for line, row in zip(text.out.splitlines(), rows, strict=True):
        place_words = [row["frame"], f"{float(row['time_s']):.3f}"] if row["frame"] else []
        assert line.split("\t") == [row["label"], f"{float(row['probability']):.4f}", row["source"], *place_words]
    again = gi_edge("predict", "lesions", place, "--json", *CPU, cwd=workspace)
    assert again.out == objects.out


SAMPLED = {
    ("--every", 5): [0, 5, 10],
    ("--fps", 5): [0, 5, 10],
    ("--fps", 12.5): [0, 2, 4, 6, 8, 10],
    ("--every", 100): [0],
}


@pytest.mark.parametrize("words", SAMPLED)
def test_a_video_is_sampled(workspace, place, gi_edge, words):
    done = gi_edge("predict", "lesions", place / "film.mp4", *words, "--json", *CPU, cwd=workspace)
    assert [json.loads(line)["frame"] for line in done.out.splitlines()] == SAMPLED[words]


@pytest.mark.parametrize(
    "options",
    [(), ("--threads", 1), ("--threads", min(2, os.cpu_count() or 1), "--batch-size", 4), ("--batch-size", 3)],
)
def test_batches_and_threads_change_no_answer(workspace, place, gi_edge, options):
    expected = rows_of(gi_edge("predict", "lesions", place, "--format", "csv", *CPU, cwd=workspace).out)
    found = rows_of(gi_edge("predict", "lesions", place, "--format", "csv", *CPU, *options, cwd=workspace).out)
    assert [row["source"] for row in found] == [row["source"] for row in expected]
    for name in CLASSES:
        assert [float(row[name]) for row in found] == pytest.approx([float(row[name]) for row in expected], abs=2e-5)


def test_an_interrupt_leaves_neither_output_nor_half_a_copy(workspace, tmp_path):
    film = write_video(tmp_path / "film.avi", [scene(number % 9) for number in range(4000)], codec="mpeg4")
    words = ["predict", workspace / "bundles" / "lesions", film, "--output", "out.csv", "--annotate", "copies", *CPU]
    command = [sys.executable, "-c", "from gi_edge.cli.main import main; main()", *words]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("copies/.*.partial")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(tmp_path.glob(".out.csv.partial"))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted; nothing was half-written" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out.csv").exists()
    assert hidden_or_new(tmp_path) == []
    assert list((tmp_path / "copies").iterdir()) == []


def test_copies_carry_the_answer_below_the_picture_and_never_on_it(workspace, place, gi_edge, tmp_path):
    copies = tmp_path / "copies"
    done = gi_edge("predict", "lesions", place, "--annotate", copies, *CPU, cwd=workspace)
    assert done.code == 0, done.err
    files = sorted(str(path.relative_to(copies)) for path in copies.rglob("*") if path.is_file())
    assert files == ["deep/b.jpg", "deep/r.png", "film.mp4", "r.jpg"]
    with Image.open(copies / "deep" / "r.png") as copy, Image.open(place / "deep" / "r.png") as original:
        assert copy.size == (80, 64 + 22)
        assert np.array_equal(np.asarray(copy)[:64], np.asarray(original))
        bar = np.asarray(copy)[64:].astype(int)
        assert (bar.max(), bar[0].max()) == (238, 35)  # ink, and ground where none is
    with Image.open(copies / "r.jpg") as copy, Image.open(place / "r.jpg") as original:
        assert difference(np.asarray(copy)[:56], np.asarray(original)[:56]) < 4
    frames = list(read_frames(copies / "film.mp4"))
    assert [frame.time_s for frame in frames] == pytest.approx([number / 25 for number in range(12)], abs=1e-3)
    assert all(frame.image.size == (80, 86) for frame in frames if isinstance(frame, VideoFrame))
    assert difference(np.asarray(frames[3].image)[:56], np.full((56, 80, 3), (170, 60, 60))) < 4
    kept = gi_edge("predict", "lesions", place / "r.jpg", "--annotate", copies, *CPU, cwd=workspace)
    assert kept.code == 1
    assert "exists already. To mend: name another --annotate DIR, or add --force" in kept.err
    assert (
        gi_edge("predict", "lesions", place / "r.jpg", "--annotate", copies, "--force", *CPU, cwd=workspace).code == 0
    )


AGAIN = {
    "a video": (["film.mp4", "./film.mp4"], "film.mp4", ["film.mp4"]),
    "by a longer way": (["film.mp4", "deep/../film.mp4"], "deep/../film.mp4", ["film.mp4"]),
    "through a link to the folder": (["film.mp4", "linked/film.mp4"], "linked/film.mp4", ["film.mp4"]),
    "in its folder": (["deep", "deep/b.jpg", "deep/r.png"], "deep/b.jpg and 1 more", ["deep/b.jpg", "deep/r.png"]),
    "above its folder": (["deep/b.jpg", "deep"], "deep/b.jpg", ["deep/b.jpg", "deep/r.png"]),
}


@pytest.mark.parametrize("case", AGAIN)
def test_a_file_that_is_named_again_is_answered_and_copied_once(workspace, place, gi_edge, tmp_path, case):
    named, told, answered = AGAIN[case]
    (place / "linked").symlink_to(place)
    words = ("--annotate", tmp_path / "copies", "--format", "csv", *CPU)
    done = gi_edge("predict", workspace / "bundles" / "lesions", *named, *words, cwd=place)
    assert done.code == 0, done.err
    assert done.err.splitlines()[0] == f"named again and answered once: {told}"
    frames = 12 if "film.mp4" in answered else 1
    assert [row["source"] for row in rows_of(done.out)] == [name for name in answered for _ in range(frames)]
    if frames == 12:
        assert len(list(read_frames(tmp_path / "copies" / "film.mp4"))) == 12


def test_two_links_to_one_file_are_two_files(workspace, place, gi_edge):
    (place / "deep" / "link.jpg").symlink_to(place / "r.jpg")
    done = gi_edge("predict", workspace / "bundles" / "lesions", "r.jpg", "deep/link.jpg", *CPU, cwd=place)
    assert (done.code, len(done.out.splitlines()), done.err) == (0, 2, "")


def test_originals_are_never_replaced_by_their_copies(workspace, place, gi_edge):
    before = (place / "r.jpg").read_bytes()
    done = gi_edge("predict", "lesions", place, "--annotate", place, "--force", *CPU, cwd=workspace)
    assert done.code == 1
    assert "exists already. To mend: name another --annotate DIR" in done.err
    assert (place / "r.jpg").read_bytes() == before


def test_damage_in_a_video_is_told_with_its_time_and_the_rest_is_answered(workspace, gi_edge, tmp_path):
    film = damage(write_video(tmp_path / "film.mp4", 40), 0.5)
    done = gi_edge("predict", "lesions", film, "--json", *CPU, cwd=workspace)
    assert done.code == 1
    times = [json.loads(line)["time_s"] for line in done.out.splitlines()]
    assert 20 <= len(times) < 40
    assert times == sorted(set(times))
    assert f"skipped {film} at " in done.err
    assert " s: " in done.err
    assert f"({len(times)} frames answered) could not be read" in done.err


FAULTS = {
    "absent image": (["absent.jpg"], "skipped absent.jpg: there is no such file"),
    "absent video": (["absent.mp4"], "absent.mp4 cannot be read as a video: No such file"),
    "unknown name": (["notes.txt"], "not an image that Pillow knows (by its name no video: .avi, .m4v,"),
    "empty folder": (["empty"], "no image or video files in empty. To mend: name a folder with .bmp"),
    "two samplings": (["film.mp4", "--every", 2, "--fps", 3], "To mend: leave one of them out"),
    "two forms": (["r.jpg", "--json", "--format", "csv"], "To mend: leave one of them out"),
    "one copy of two": (
        ["r.jpg", "deep/r.jpg", "--annotate", "c"],
        "copies of r.jpg and deep/r.jpg would both be c/r.jpg",
    ),
    "copies to a file": (["r.jpg", "--annotate", "notes.txt"], "notes.txt is a file, no folder. To mend: name another"),
    "output over a source": (
        ["deep", "r.jpg", "--force", "--output", "deep/../r.jpg"],
        "r.jpg is one of the files to be classified. To mend: name another --output FILE",
    ),
    "no engine": (["r.jpg", "--runtime", "tensorrt"], "error: "),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_told_with_its_mend(workspace, place, gi_edge, case):
    words, found = FAULTS[case]
    (place / "empty").mkdir()
    done = gi_edge("predict", workspace / "bundles" / "lesions", *words, cwd=place)
    assert done.code == 1
    assert found in done.err
    assert "Traceback" not in done.err
    assert done.err.splitlines()[-1].startswith("error: ")
    assert "To mend: " in done.err
    assert not (place / "c").exists()


def test_a_video_without_pyav_names_the_extra(workspace, place, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['av'] = None\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = gi_edge_process("predict", "lesions", place / "film.mp4", *CPU, cwd=workspace, PYTHONPATH=path)
    assert done.code == 1
    assert "'av' is not installed. To mend: pip install 'gi-edge[video]'" in done.err
    images = gi_edge_process("predict", "lesions", place / "r.jpg", *CPU, cwd=workspace, PYTHONPATH=path)
    assert images.code == 0, images.err


def test_the_command_loads_neither_statistics_nor_plots_nor_video(workspace, place):
    code = "import sys; from gi_edge.cli.main import main; main(); print([n for n in NAMES if n in sys.modules])"
    code = code.replace("NAMES", repr(("scipy", "sklearn", "matplotlib", "torch", "av")))
    words = ["predict", workspace / "bundles" / "lesions", place / "r.jpg", *CPU]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_joined_video_is_answered_to_its_end_at_times_that_go_on(workspace, gi_edge, tmp_path):
    part, film = write_video(tmp_path / "part.mpg", 50, codec="mpeg2video"), tmp_path / "film.mpg"
    film.write_bytes(part.read_bytes() * 2)
    words = ("--fps", 5, "--json", "--annotate", tmp_path / "copies", *CPU)
    done = gi_edge("predict", "lesions", film, *words, cwd=workspace)
    assert done.code == 0, done.err
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [(each["frame"], each["time_s"]) for each in found] == [(at * 5, pytest.approx(at / 5)) for at in range(20)]
    assert f"{film} at 2.000 s: the file's own times start anew here" in done.err
    copy = list(read_frames(tmp_path / "copies" / "film.mp4"))
    assert [frame.time_s for frame in copy] == pytest.approx([at / 5 for at in range(20)], abs=1e-3)
