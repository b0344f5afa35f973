"""The pages as a browser draws them: on a phone and on a screen, light and dark, without a network."""

from __future__ import annotations

import pytest
from bench_large import large_result
from browser import started_browser
from evaluations import LONG, evaluation
from evaluations import result as evaluation_result
from PIL import Image
from support import gi_edge_process

from gi_edge.data.audit import audit_rows
from gi_edge.data.audit_rows import AuditRow
from gi_edge.data.overlap import NearPair
from gi_edge.report.audit_page import page_from_audit
from gi_edge.report.evaluation_page import page_from_evaluation
from gi_edge.report.html import page_from_result

pytestmark = pytest.mark.slow

PHONE, SCREEN = (360, 740), (1280, 900)
PAGES = ("large", "quiet", "real", "audit", "evaluation")
WCAG_AA = 4.5
"""Least contrast of text, Web Content Accessibility Guidelines 2.2, 1.4.3."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with started_browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def pages(make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    sheet = Image.new("RGB", (900, 600), (120, 60, 50))
    written = {
        "large": page_from_result(large_result()),
        "quiet": page_from_result(make.result(make.bundle(make.model(is_speed_only=True)))),
        "audit": page_from_audit(_audit(), title="capsule <1>", sheet=sheet),
        "evaluation": page_from_evaluation(
            evaluation_result(evaluation(LONG, 900, groups=43, noun="near-duplicate cluster")), sheet=sheet
        ),
    }
    for name, source in written.items():
        (folder / f"{name}.html").write_text(source, encoding="utf-8")
    return folder


def _audit():
    rows = [
        AuditRow(f"{video}_{number}.jpg", label, video, number, part)
        for part, videos in {"train": "ab", "test": "bc"}.items()
        for video in videos
        for label, numbers in {"Normal clean mucosa": range(60), "Ulcer <3 mm": range(70, 90)}.items()
        for number in numbers
        if (number % 2 == 0) is (part == "train")
    ]
    near = [NearPair(first="b_2.jpg", second="b_3.jpg", distance=2)]
    return audit_rows(rows, train="train", test="test", near_duplicates=near, group_noun="video")


@pytest.fixture(scope="module")
def real_page(workspace, tmp_path_factory):
    """The page that gi-edge bench writes of a bundle of the test workspace."""
    folder = tmp_path_factory.mktemp("real")
    words = ("bench", "lesions", "--minimum-seconds", 0.1, "--output", folder / "real.json", "--allow-undecided")
    done = gi_edge_process(*words, cwd=workspace)
    assert done.code == 0, done.err
    return folder / "real.html"


@pytest.fixture(params=PAGES)
def page(request, pages):
    return request.getfixturevalue("real_page") if request.param == "real" else pages / f"{request.param}.html"


@pytest.mark.parametrize("size", [PHONE, SCREEN])
def test_a_page_is_complete_without_a_network_and_silent(browser, page, size):
    browser.open(page, width=size[0], height=size[1])
    assert browser.console() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.look("brokenImages()") == []
    assert browser.look("uncaptioned()") == []
    assert browser.look("levelsSkipped()") == []
    assert browser.look("document.querySelectorAll('h1').length") == 1


@pytest.mark.parametrize("size", [PHONE, SCREEN])
def test_the_verdict_is_read_without_scrolling(browser, page, size):
    browser.open(page, width=size[0], height=size[1])
    top, bottom, height = browser.look("bottomOfVerdict()")
    assert 0 <= top < bottom <= height


@pytest.mark.parametrize("size", [PHONE, SCREEN])
def test_nothing_is_wider_than_the_window_and_what_scrolls_can_be_reached(browser, page, size):
    browser.open(page, width=size[0], height=size[1])
    assert browser.look("overflowing()") == []
    assert browser.look("unreachable()") == []


@pytest.mark.parametrize("size", [PHONE, SCREEN])
def test_texts_of_figures_are_whole_and_apart(browser, page, size):
    browser.open(page, width=size[0], height=size[1])
    assert browser.look("crowdedTexts()") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(browser, page, scheme):
    browser.open(page, width=SCREEN[0], height=SCREEN[1], scheme=scheme)
    assert browser.look("countTexts()") > 100
    assert browser.look(f"paleTexts({WCAG_AA})") == []


def test_dark_is_dark_in_grounds_inks_and_figures(browser, page):
    browser.open(page, width=SCREEN[0], height=SCREEN[1])
    looks = "[luminance(groundOf(document.body)), luminance(parsed(getComputedStyle(document.body).color))]"
    light_ground, light_ink = browser.look(looks)
    browser.prefer("dark")
    dark_ground, dark_ink = browser.look(looks)
    assert (light_ground > 0.9, light_ink < 0.05) == (True, True)
    assert (dark_ground < 0.05, dark_ink > 0.7) == (True, True)


def test_a_browser_that_hangs_is_replaced_and_asked_again(pages, tmp_path, monkeypatch):
    monkeypatch.setattr("browser.ANSWERS_WITHIN_S", 5)
    with started_browser(tmp_path) as hanging:
        hanging.open(pages / "quiet.html", width=SCREEN[0], height=SCREEN[1], scheme="dark")
        stopped = hanging.processes()
        assert len(stopped) > 2
        for process in stopped:
            process.suspend()
        monkeypatch.setattr("browser.ANSWERS_WITHIN_S", 60)
        assert hanging.look("luminance(groundOf(document.body))") < 0.05
        assert hanging.requests() == [(pages / "quiet.html").as_uri()]
        assert not any(process.is_running() and process.status() != "zombie" for process in stopped)


def test_the_measuring_itself_sees_faults(browser, tmp_path):
    """A page with one fault of each kind: a check that finds none of them would prove nothing."""
    (tmp_path / "bad.html").write_text(
        "<!doctype html><html lang=en><title>bad</title><link rel=icon href='data:,'><main>"
        "<h1 class=verdict>verdict</h1><h3>skips</h3><p style='color:#999;background:#fff'>pale words</p>"
        "<table><tr><td>plain</td></tr></table><img src='missing.png' alt='gone'>"
        "<div style='width:2000px'>wide</div>"
        "<div style='overflow-x:auto;width:50px'><b style='padding-left:90px'>x</b></div>"
        "<svg width=100 height=50 viewBox='0 0 100 50'><rect width=100 height=50 fill=none />"
        "<text x=10 y=20>one</text><text x=12 y=21>two</text><text x=90 y=40>outside</text></svg></main>"
    )
    browser.open(tmp_path / "bad.html", width=360, height=740)
    assert [words for _, words in browser.look(f"paleTexts({WCAG_AA})")] == ["pale words"]
    assert browser.look("uncaptioned()") == ["plain"]
    assert browser.look("brokenImages()") == ["gone"]
    assert browser.look("levelsSkipped()") == [3]
    assert "DIV wide" in browser.look("overflowing()")
    assert browser.look("unreachable()") == ["DIV."]
    assert browser.look("crowdedTexts()") == ["outside: outside", "overlap: one / two"]
    assert [address.rpartition("/")[2] for address in browser.requests()] == ["bad.html", "missing.png"]
    assert any("missing.png" in line for line in browser.console())
