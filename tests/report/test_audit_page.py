"""A split audit as a page and as lines."""

from __future__ import annotations

import re

import pytest
from pages import Page
from PIL import Image

from gi_edge.data.audit import audit_rows
from gi_edge.data.audit_rows import AuditRow
from gi_edge.data.overlap import NearPair
from gi_edge.report.audit_cells import outcome_from_audit, text_from_baseline
from gi_edge.report.audit_page import page_from_audit
from gi_edge.report.audit_text import COLUMNS, lines_from_audit


def row(part, label, video, number, name=None):
    return AuditRow(name or f"{video}_{number}.jpg", label, video, number, part)


def stretch(part, label, video, numbers):
    return [row(part, label, video, number) for number in numbers]


LEAKING = [
    *stretch("train", "Normal", "v", range(0, 60, 2)),
    *stretch("train", "Ulcer <3 mm", "v", range(100, 120, 2)),
    *stretch("val", "Normal", "v", (201, 203)),
    *stretch("test", "Normal", "v", range(1, 60, 2)),
    *stretch("test", "Ulcer <3 mm", "v", range(101, 120, 2)),
    row("test", "Ulcer <3 mm", "v", 0),
    row("val", "Normal", "v", 203),
]
CLEAN = [
    *stretch("train", "a", "v", range(40)),
    *stretch("train", "b", "w", range(30)),
    *(
        row
        for video in ("x", "y")
        for row in stretch("test", "a", video, range(25)) + stretch("test", "b", video, [90])
    ),
]
NAMES = [AuditRow(f"{number}.jpg", "ab"[number % 2], None, None, part) for part in ("train", "test") for number in (1,)]
UNKNOWN = [
    AuditRow(f"{part} {number}", "ab"[number % 2], None, None, part) for part in ("train", "test") for number in (1, 2)
]


def audit(rows, near=None):
    return audit_rows(rows, train="train", test="test", near_duplicates=near, group_noun="video")


@pytest.fixture(scope="module")
def audits():
    near = [NearPair(first="v_1.jpg", second="v_2.jpg", distance=2)]
    return {
        "leaking": audit(LEAKING, near),
        "clean": audit(CLEAN),
        "names": audit(NAMES),
        "unknown": audit(UNKNOWN, ()),
    }


@pytest.fixture(scope="module")
def pages(audits):
    sheet = Image.new("RGB", (300, 200))
    return {
        name: page_from_audit(found, title=f"set <{name}>", sheet=sheet if found.near_duplicates else None)
        for name, found in audits.items()
    }


def test_every_page_is_well_formed_and_self_contained(pages):
    for source in pages.values():
        page = Page(source)
        assert (page.faults, page.open) == ([], [])
        addresses = set(re.findall(r"https?://[^\"'\s<)]+", source))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert not re.search(r"<(script|link|iframe|object|embed)\b|@import|@font-face|url\((?!#)", source)
        assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.images)
        ids = re.findall(r'\bid="([^"]+)"', source)
        assert len(ids) == len(set(ids))


def test_equal_audits_give_equal_bytes(audits, pages):
    again = page_from_audit(audits["clean"].model_copy(deep=True), title="set <clean>")
    assert again == pages["clean"]


@pytest.mark.parametrize(
    ("case", "outcome", "sentence"),
    [
        ("leaking", "fail", "A rule that looks at no pixels scores 97.5 % accuracy here"),
        ("clean", "pass", "No video is in two parts: a score on this split shows how a model does on 2 videos"),
        ("names", "fail", "Part 'test' has 1 file in common with part 'train'"),
        ("unknown", "unmeasured", "No file is in two parts and near-copies are rare, but the video"),
    ],
)
def test_the_verdict_comes_first(audits, pages, case, outcome, sentence):
    assert outcome_from_audit(audits[case]) == outcome
    page = Page(pages[case])
    assert f'<h1 class="verdict {outcome}">' in pages[case]
    assert page.text.index(sentence) < page.text.index("What scores without looking at a pixel?")
    assert " ".join(lines_from_audit(audits[case])).startswith(sentence)


def test_tables_of_the_page_hold_the_findings(pages):
    found = Page(pages["leaking"]).rows
    for cells in (
        ["Majority", "0.732", "0.423", "41 of 41"],
        ["Pixel-free", "0.976", "0.968", "41 of 41"],
        ["train → test", "leak", "1", "41 (100\u00a0%)", "1", "1", "1 (2.4\u00a0%)"],
        ["val → test", "leak", "1", "41 (100\u00a0%)", "0", "0", "0 (0\u00a0%)"],
        ["train → val", "", "1", "3 (100\u00a0%)", "0", "0", "0 (0\u00a0%)"],
        ["v_0.jpg", "train: Normal; test: Ulcer <3 mm"],
        ["Ulcer <3 mm", "10", "1", "0", "0", "11", "1"],
    ):
        assert cells in found


def test_notes_say_what_the_tables_cannot(pages):
    leaking, clean, names = (Page(pages[case]).text for case in ("leaking", "clean", "names"))
    assert "Files under two labels: 1 (0 within one part, 1 between parts)." in leaking
    assert "Part “val” lists a file again with the same label in 1 of its rows." in leaking
    assert "a model selected on “val” is selected on what it knows by heart" in leaking
    assert "Near-duplicates count as a leak from 1\u00a0% of the test part on" in re.sub(r" (?=%)", "\u00a0", leaking)
    assert "Under 20 frames in part “test”: b." in clean
    assert "Near-duplicates were not sought" in clean
    assert "There is no pixel-free baseline: no video and frame number is known in both parts." in names
    assert all(text.count("Near-duplicates were not sought") <= 1 for text in (leaking, clean, names))


def test_the_contact_sheet_is_embedded_where_there_is_one(pages):
    (image,) = Page(pages["leaking"]).images
    assert (image["width"], image["height"]) == ("300", "200")
    assert Page(pages["clean"]).images == []


def test_names_are_text_and_not_markup(pages):
    assert "set &lt;leaking&gt;" in pages["leaking"]
    assert "<3" not in pages["leaking"]


def test_lines_hold_the_same_numbers(audits):
    lines = [" ".join(line.split()) for line in lines_from_audit(audits["leaking"])]
    for line in (
        "Parts: train 40 frames of 1 video; val 3 frames of 1 video; test 41 frames of 1 video.",
        "Majority 0.732 0.423 41 of 41",
        "Pixel-free 0.976 0.968 41 of 41",
        "train → test 1 41 (100 %) 1 1 1 (2.4 %) leak",
        "train → val 1 3 (100 %) 0 0 0 (0 %)",
        "Ulcer <3 mm 10 / 1 0 / 0 11 / 1",
        "v_0.jpg train: Normal; test: Ulcer <3 mm",
    ):
        assert line in lines


def test_what_was_not_sought_or_known_is_a_dash_or_absent(audits):
    lines = [" ".join(line.split()) for line in lines_from_audit(audits["names"])]
    assert "train → test – – 1 leak" in lines
    assert "b 1 / – 1 / –" in lines
    assert "train → test – – 0 0 0 (0 %)" in [" ".join(x.split()) for x in lines_from_audit(audits["unknown"])]


def test_lines_fit_the_terminal_with_long_names():
    long = "Normal mucosa and vascular pattern in the large bowel " * 3
    rows = [
        AuditRow("x" * 150, label, None, None, part) for part in ("train", "test") for label in (long, "[red]b[/red]")
    ]
    lines = lines_from_audit(audit(rows))
    assert max(map(len, lines)) <= COLUMNS
    assert any("[red]b[/red]" in line for line in lines)


@pytest.mark.parametrize(
    ("score", "text"), [(1.0, "1.000"), (0.9997, "0.999"), (0.9994, "0.999"), (0.5, "0.500"), (0.0, "0.000")]
)
def test_almost_all_never_reads_as_all(score, text):
    assert text_from_baseline(score) == text
