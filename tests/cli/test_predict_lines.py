"""Lines of gi-edge predict for files with odd names."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from gi_edge.cli.console import print_text
from gi_edge.cli.predict_lines import Place, line_format
from gi_edge.cli.predict_sources import Source
from gi_edge.runtime.classifier import Prediction

NAMES = [
    "two\nlines.jpg",
    "re\rturn.jpg",
    "both\r\n.jpg",
    "a\ttab.jpg",
    "\x1b[31mred.jpg",
    'a "quote", b.jpg',
    "ä.jpg",
]
CLASSES = ("sick", "well")


def printed(form, capfdbinary):
    """The lines of all names as they come out where stdout is no terminal."""
    header, line = line_format(form, CLASSES)
    if header:
        print_text(header)
    for name in NAMES:
        answer = Prediction(name, np.array([0.25, 0.75], np.float32), label="well", probability=0.75)
        print_text(line(Place(Source(Path(name), Path(name))), answer))
    return capfdbinary.readouterr().out.decode()


def test_every_name_is_read_back_from_csv(capfdbinary):
    rows = list(csv.DictReader(io.StringIO(printed("csv", capfdbinary), newline="")))
    assert [row["source"] for row in rows] == NAMES
    assert {row["label"] for row in rows} == {"well"}


def test_every_name_is_read_back_from_json(capfdbinary):
    assert [json.loads(line)["image"] for line in printed("json", capfdbinary).splitlines()] == NAMES


def test_a_line_of_text_stays_a_line_and_commands_no_terminal(capfdbinary):
    lines = printed("text", capfdbinary).split("\n")
    assert lines.pop() == ""
    assert [line.split("\t")[2:] for line in lines] == [
        [r"two\nlines.jpg"], [r"re\rturn.jpg"], [r"both\r\n.jpg"], [r"a\ttab.jpg"], [r"\x1b[31mred.jpg"],
        ['a "quote", b.jpg'], ["ä.jpg"],
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["two\nlines.jpg", "\x1b[31mred.jpg"])
def test_a_message_of_a_file_is_one_line_too(name):
    assert repr(Place(Source(Path(name), Path(name))).text) == repr(repr(name)[1:-1])
