"""Where gi-edge predict writes its lines, in which form, with which names, and what it says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import hidden_or_new
from videos import damage, write_video

CPU = ("--provider", "cpu")
FULL = Path("/dev/full")


def test_output_is_written_to_a_file_and_replaced_with_force_only(workspace, place, gi_edge, tmp_path):
    target = tmp_path / "deep" / "answers.csv"
    words = ("predict", "lesions", place, "--format", "csv", "--output", target, *CPU)
    printed = gi_edge(*words[:5], *CPU, cwd=workspace)
    done = gi_edge(*words, cwd=workspace)
    assert (done.code, done.out) == (0, "")
    assert target.read_text() == printed.out
    assert hidden_or_new(tmp_path) == [".hidden.jpg"]
    target.write_text("precious")
    refused = gi_edge(*words, cwd=workspace)
    assert refused.code == 1
    assert "answers.csv exists already. To mend: add --force to replace it, or --output FILE" in refused.err
    assert target.read_text() == "precious"
    assert gi_edge(*words, "--force", cwd=workspace).code == 0
    assert target.read_text() == printed.out


ODD = b"h\xf6hle \xc3\xa4.jpg"
"""Latin 1 and UTF-8 in one name."""


@pytest.mark.parametrize("form", ["text", "csv", "json"])
@pytest.mark.parametrize("to_file", [True, False])
def test_a_file_name_that_is_no_utf8_is_given_as_it_is(workspace, tmp_path, form, to_file):
    folder, target = tmp_path / "odd", tmp_path / "answers"
    picture = (workspace / "data" / "lesions" / "red lesion" / "000.jpg").read_bytes()
    folder.mkdir()
    (folder / os.fsdecode(ODD)).write_bytes(picture)
    (folder / os.fsdecode(b"\xff.jpg")).write_bytes(b"no image")
    words = ["predict", "lesions", folder, "--format", form, "--annotate", tmp_path / "copies", *CPU]
    words += ["--output", target] if to_file else []
    done = subprocess.run(
        [sys.executable, "-c", "from gi_edge.cli.main import main; main()", *words],
        cwd=workspace, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"}, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"\\udcff.jpg: not an image" in done.stderr
    assert b"Traceback" not in done.stderr
    content = target.read_bytes() if to_file else done.stdout
    if form == "json":
        assert os.fsencode(json.loads(content.decode())["image"]) == os.fsencode(folder) + b"/" + ODD
    else:
        assert os.fsencode(folder) + b"/" + ODD in content
    assert [os.fsencode(path.name) for path in (tmp_path / "copies").iterdir()] == [ODD]


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told(workspace, place):
    words = ["predict", workspace / "bundles" / "lesions", place / "r.jpg", *CPU]
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from gi_edge.cli.main import main; main()", *words],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write to stdout: No space left on device. To mend: free space")
    assert len(done.stderr.splitlines()) == 1


NAMED = {
    "a.csv": "source,frame,time_s,label,probability,",
    "a.CSV": "source,frame,",
    "a.jsonl": '{"image": "r.jpg", "class": "red lesion"',
    "a.json": '{"image": "r.jpg"',
    "a.txt": "red lesion\t",
    "a": "red lesion\t",
}


@pytest.mark.parametrize("name", NAMED)
def test_the_name_of_the_output_says_its_form_unless_another_is_given(workspace, place, gi_edge, name):
    words = ("predict", workspace / "bundles" / "lesions", "r.jpg", *CPU, "--output", name)
    done = gi_edge(*words, cwd=place)
    assert (done.code, done.out, done.err) == (0, "", f"1 image answered in {name}\n")
    assert (place / name).read_text().startswith(NAMED[name])
    assert gi_edge(*words, "--format", "text", "--force", cwd=place).code == 0
    assert (place / name).read_text().startswith("red lesion\t")


def test_what_was_written_and_what_was_not_is_told(workspace, place, gi_edge):
    (place / "broken.png").write_bytes(b"x")
    film = damage(write_video(place / "film.mp4", 40), 0.5)
    words = ("predict", workspace / "bundles" / "lesions", *CPU)
    done = gi_edge(*words, "r.jpg", "broken.png", "--output", "a.csv", "--annotate", "copies", cwd=place)
    assert done.err.splitlines()[1:] == [
        "1 image answered in a.csv",
        "annotated copies in copies",
        "error: 1 of 2 images could not be read. To mend: see the lines above",
    ]
    one = gi_edge(*words, "broken.png", "film.mp4", "--every", 1000, cwd=place)
    assert film.exists()
    count = one.err.count("skipped ")
    assert f"error: {count} places (1 frame answered) could not be read" in one.err
    absent = gi_edge(*words, "absent.mp4", "--annotate", "none", cwd=place)
    assert absent.err.endswith("error: 1 place (0 frames answered) could not be read. To mend: see the lines above\n")
    assert "copies in" not in absent.err
