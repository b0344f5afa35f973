from __future__ import annotations

import re

import pytest
from bench_large import large_result
from pages import Page

from gi_edge.report.html import page_from_result


@pytest.fixture(scope="module")
def cases(make):
    return {
        "passed": make.result(make.bundle(make.model(), make.model("fp16"))),
        "failed": make.result(make.bundle(make.model(), make.model("fp16", measured=make.parity(flips=41)))),
        "widened": make.result(make.bundle(make.model("fp16", proves_precision=False))),
        "speed only": make.result(make.bundle(make.model(is_speed_only=True))),
        "parity only": make.result(make.bundle(make.model(speeds=()))),
        "batch 8 only": make.result(make.bundle(make.model(speeds=(make.speed(8, 40),)))),
        "two bundles": make.result(make.bundle(), make.bundle(name="<b>second</b>", split_kind="frame")),
        "nothing": make.result(),
        "large": large_result(),
        "no model": make.result(make.bundle().model_copy(update={"models": ()})),
    }


@pytest.fixture(scope="module")
def pages(cases):
    return {name: page_from_result(result) for name, result in cases.items()}


def test_every_page_is_well_formed_with_unique_ids_and_links_that_lead_somewhere(pages):
    for source in pages.values():
        page = Page(source)
        assert (page.faults, page.open) == ([], [])
        assert len(page.ids) == len(set(page.ids))
        assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_every_page_is_self_contained(pages):
    for source in pages.values():
        addresses = set(re.findall(r"https?://[^\"'\s<)]+", source))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert not re.search(r"<(script|link|iframe|object|embed)\b|@import|@font-face|url\((?!#)", source)
        assert all(image["src"].startswith("data:image/jpeg;base64,") for image in Page(source).images)


def test_equal_results_give_equal_bytes(cases, pages):
    assert page_from_result(cases["failed"].model_copy(deep=True)) == pages["failed"]


@pytest.mark.parametrize(
    ("case", "verdict", "sentence"),
    [
        ("passed", "pass", "Both model files passed: the engine makes the diagnoses"),
        ("failed", "fail", "1 of 2 model files failed: gastrovision fp16 (41 of 400 frames changed their class"),
        ("widened", "unmeasured", "The model file passed at export, and nothing speaks against it here"),
        ("speed only", "unmeasured", "Parity was not measured in this run"),
        ("nothing", "unmeasured", "This run measured no model file."),
    ],
)
def test_verdict_sentence_comes_first(pages, case, verdict, sentence):
    heading = re.search(r'<h1 class="verdict (\w+)">(.*?)</h1>', pages[case])
    assert heading.group(1) == verdict
    assert heading.group(2).startswith(sentence)
    assert pages[case].index("<h1") < pages[case].index("<section")


def test_names_are_escaped_everywhere(pages):
    assert "<b>second</b>" not in pages["two bundles"]
    assert "&lt;b&gt;second&lt;/b&gt;" in pages["two bundles"]
    assert "Ulcer <3" not in pages["passed"]
    page = Page(pages["passed"])
    assert "Ulcer <3 mm & flat" in page.cells
    assert "Barrett's esophagus" in page.cells


def test_numbers_stand_beside_reference_baseline_and_count(cases, pages):
    page, parity = Page(pages["failed"]), cases["failed"].bundles[0].models[1].parity
    at_a_glance, start = (place for place, cell in enumerate(page.cells) if cell == "41 / 400")
    scores = (parity.engine, parity.reference)
    assert page.cells[at_a_glance - 1] == page.cells[start - 1] == "fail"
    assert page.cells[start + 3 : start + 6] == [
        *(f"{item.macro.f1:.3f}" for item in scores),
        f"{parity.reference.majority_macro_f1:.3f}",
    ]
    assert page.cells[start + 6 : start + 9] == [
        *(f"{item.accuracy:.3f}" for item in scores),
        f"{parity.reference.majority_accuracy:.3f}",
    ]
    assert "always answering “Barrett's esophagus” would score" in page.text
    assert "n = 400 frames" in page.text


def test_percentiles_are_numbers_or_dashes(cases, pages):
    summary = cases["passed"].bundles[0].models[0].speeds[0].summary
    for value in (summary.p50_ms, summary.p90_ms, summary.p95_ms, summary.p99_ms):
        assert f"{value:.1f}" in Page(pages["passed"]).cells
    few = Page(pages["batch 8 only"])
    start = few.cells.index("8")
    assert few.cells[start + 3 : start + 7] == ["–", "–", "–", "40"]
    assert "p90 needs 64, p95 needs 130 and p99 needs 662" in few.text
    assert "Single frames were not timed in this run" in few.text


def test_half_on_the_cpu_is_no_plain_pass(pages):
    page = Page(pages["widened"])
    assert "pass at export" in page.cells
    assert "pass" not in page.cells
    assert "ONNX Runtime's CPU provider computes fp16 graphs in fp32: agreement here says nothing of fp16" in page.text


def test_speed_only_says_so_and_shows_no_score(pages):
    page = Page(pages["speed only"])
    assert "nothing here says whether the engine answers as the reference does" in page.text
    assert "neither a confusion matrix nor a score per class" in page.text
    assert "Every held-out frame went through the engine" not in page.text
    assert "not measured" in page.text
    assert "gi-edge bench gastrovision --speed-only" in page.text


def test_parity_only_says_that_speed_is_unknown(pages):
    page = Page(pages["parity only"])
    assert "Speed was not measured in this run." in page.text
    assert "One frame at a time" not in page.text
    assert "Until the first answer" in page.text


@pytest.mark.parametrize(("case", "matrices"), [("passed", 1), ("failed", 2), ("speed only", 0)])
def test_one_matrix_where_the_counts_are_the_same(pages, case, matrices):
    assert pages[case].count("Confusion matrix, rows truth, columns answer") == matrices
    assert ("one matrix stands for both" in Page(pages[case]).text) is (matrices == 1)


def test_licences_and_split_are_cautioned_where_they_must_be(make, pages):
    text = Page(pages["two bundles"]).text
    assert text.count("Commercial use is not permitted by the licence of the backbone (CC BY-NC 4.0)") == 2
    assert "Frame-level split: near-copies of training frames can be in the test part." in text
    assert "Split by video: the test part holds 12 videos" in text
    free = page_from_result(make.result(make.bundle(backbone_licence="Apache licence 2.0")))
    assert "Commercial use" not in free


def test_hashes_environment_and_timed_region_are_there(pages):
    page = Page(pages["passed"])
    assert {"ef" * 32, "ab" * 32, "cd" * 32, "gastrovision/model-fp32.onnx"} <= set(page.cells)
    assert "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz, 2 logical CPUs" in page.text
    assert "onnxruntime 1.23.2" in page.text
    assert "Pixels to logits: uint8 pixels in host memory to logits in host memory; decoding and" in page.text


def test_doubts_about_the_times_stand_before_the_first_number(cases, pages):
    assert "Doubt the times" not in pages["passed"]
    text = Page(pages["large"]).text
    for mark in cases["large"].marks:
        assert text.index("Doubt the times on this page.") < text.index(mark.text) < text.index("at a glance")


def test_changed_frames_are_shown_once_with_all_who_changed_them(cases, pages):
    page, (first, second) = Page(pages["large"]), cases["large"].bundles
    shown = {
        bundle.name: {frame.frame: frame for model in bundle.models for frame in model.parity.flipped}
        for bundle in (first, second)
    }
    pictured = [frame for frames in shown.values() for frame in frames.values() if frame.picture]
    assert [image["src"].partition(",")[2] for image in page.images] == [frame.picture for frame in pictured]
    assert all(image["alt"].startswith("Endoscopy frame ") for image in page.images)
    assert "truth Normal mucosa and vascular pattern of the stomach reference Normal mucosa" in page.text
    assert "fp16 Ulcer <3 mm & flat of the stomach 0.58 bf16 Ulcer <3 mm & flat of the stomach 0.58 int8" in page.text
    assert page.text.count("This page holds pictures of patients.") == 2
    assert "fp16: 3 of its 3; bf16: 9 of its 9; int8: 12 of its 41." in page.text
    assert "pictures of patients" not in pages["failed"]


def test_comparisons_say_what_they_cannot_show(pages):
    page = Page(pages["large"])
    assert ["fp16", "reference on probe images", "probe images", "alike", "0 / 16", "0.02", ""] in page.rows
    assert "prove no diagnosis" in page.text
    assert "Compared with something that is not the truth" not in pages["passed"]


@pytest.mark.parametrize(
    "row",
    [
        ["30", "33.3", "77 / 600", "12.8\u00a0%"],
        ["fp16", "trtexec 10.3", "median latency, computing alone", "1", "9.01", "9.35", "1.04"],
        ["fp16", "57.0", "413", "72.7", "1,734", "891"],
        ["int8", "200", "10.3", "8.30", "1.24 ×", "100"],
        ["int8", "single-stream, pixels to logits", "76.4", "141", "9.00", "energy counter"],
        ["computing alone", "9.41"],
        ["fp16", "2", "103"],
        ["SM clock, MHz (of 1,410)", "1,410", "1,155"],
        ["Slowed by", "nothing", "SW thermal slowdown"],
    ],
)
def test_every_kind_of_measurement_has_its_row(pages, row):
    assert any(found[: len(row)] == row for found in Page(pages["large"]).rows)


def test_cuda_events_are_not_said_to_be_free_of_the_host(pages):
    words = " ".join(pages["large"].split())
    assert "CUDA events span what the GPU does, and the gaps in which it waits for the host" in words
    assert "GPU alone" not in words


def test_every_table_has_a_caption_of_its_own(pages):
    for source in pages.values():
        captions = re.findall(r"<caption><span>(.*?)</span></caption>", source)
        assert len(captions) == source.count("<table>")
        assert len(set(captions)) == len(captions)
