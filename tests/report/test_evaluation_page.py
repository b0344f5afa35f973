"""An evaluation as a page."""

from __future__ import annotations

import re

import pytest
from evaluations import CAUTION, LONG, evaluation, result
from pages import Page
from PIL import Image

from gi_edge.report.evaluation_page import page_from_evaluation

RESULTS = {
    "usual": result(evaluation(pixel_free=0.875)),
    "few": result(evaluation(counts=(40, 30, 3), groups=12)),
    "alone": result(evaluation(groups=None), split_kind="frame", split_caution="Frame-level split: near-copies."),
    "perfect": result(evaluation(skill=60.0)),
    "many": result(evaluation(LONG, 900, groups=43, noun="near-duplicate cluster")),
}


@pytest.fixture(scope="module")
def pages():
    sheet = Image.new("RGB", (300, 200))
    return {
        name: page_from_evaluation(found, sheet=sheet if name == "usual" else None) for name, found in RESULTS.items()
    }


@pytest.mark.parametrize("case", RESULTS)
def test_every_page_is_well_formed_and_self_contained(pages, case):
    source = pages[case]
    page = Page(source)
    assert (page.faults, page.open) == ([], [])
    addresses = set(re.findall(r"https?://[^\"'\s<)]+", source))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"<(script|link|iframe|object|embed)\b|@import|@font-face|url\((?!#)", source)
    ids = re.findall(r'\bid="([^"]+)"', source)
    assert len(ids) == len(set(ids))
    assert source.count("<svg") == 3


def test_equal_results_give_equal_bytes(pages):
    assert page_from_evaluation(RESULTS["few"].model_copy(deep=True), sheet=None) == pages["few"]


def test_the_sentence_comes_first_then_the_caution(pages):
    page = Page(pages["usual"])
    places = [
        page.text.index(words)
        for words in (
            "Macro-F1 0.",
            "Copying the label of the nearest-numbered",
            CAUTION,
            "How good is it, all classes",
        )
    ]
    assert places == sorted(places)
    assert re.search(r'<h1 class="verdict (pass|unmeasured)">Macro-F1 0\.\d{3} \(95\u00a0% interval', pages["usual"])


@pytest.mark.parametrize(("case", "outcome"), [("usual", "pass"), ("few", "unmeasured"), ("alone", "unmeasured")])
def test_the_colour_of_the_sentence(pages, case, outcome):
    assert f'<h1 class="verdict {outcome}">' in pages[case]


def test_tables_hold_the_scores(pages):
    scored = RESULTS["usual"].evaluation
    rows = Page(pages["usual"]).rows
    f1, item = scored.overall.macro_f1, scored.per_class[0]
    assert [
        "Macro-F1",
        f"{f1.value:.3f}",
        f"{f1.interval.low:.3f} to {f1.interval.high:.3f}",
        f"{scored.baselines.majority_macro_f1:.3f}",
        "–",
    ] in rows
    scores = (item.sensitivity, item.specificity, item.precision, item.f1, item.auroc, item.average_precision)
    assert [
        item.label,
        str(item.support),
        str(item.groups),
        *(f"{one.value:.3f} | {one.interval.low:.3f} to {one.interval.high:.3f}" for one in scores),
    ] in rows


def test_undecided_scores_say_so_and_why(pages):
    page = Page(pages["few"])
    (row,) = [row for row in page.rows if row[0] == "Colon polyps"]
    assert row[3].endswith(" | too few to decide")
    assert "3 groups hold Colon polyps; at least 5 are needed." in page.text


def test_without_groups_no_column_of_them(pages):
    page = Page(pages["alone"])
    assert "240 frames, no video or patient known" in page.text
    assert ["Class", "Frames", "Sensitivity", "Specificity", "Precision", "F1", "AUROC", "AP"] in page.rows
    assert "had other frames of the same kind been drawn" in page.text


def test_mistakes_are_shown_or_said(pages):
    (image,) = Page(pages["usual"]).images
    assert (image["width"], image["height"]) == ("300", "200")
    assert image["src"].startswith("data:image/jpeg;base64,")
    wrong = sum(map(sum, RESULTS["usual"].evaluation.confusion)) - sum(
        row[i] for i, row in enumerate(RESULTS["usual"].evaluation.confusion)
    )
    assert f"Of {wrong} wrong answers the surest first" in Page(pages["usual"]).text
    assert "no picture of them was made" in Page(pages["few"]).text
    assert "No answer is wrong on these frames." in Page(pages["perfect"]).text


def test_names_are_text_and_not_markup(pages):
    assert "Ulcer &lt;3 mm &amp; [b]flat[/b]" in pages["usual"]
    assert "Polyps &amp; more" in pages["usual"]
    assert "<3" not in pages["usual"]


def test_file_and_model_names_are_text_too():
    scored = evaluation().model_copy(update={"model": "<b>polyps</b>"})
    assert "<b>" not in page_from_evaluation(result(scored, runtime="<b>onnx</b>"))


def test_licences_facts_and_terms_are_there(pages):
    text = Page(pages["many"]).text
    for words in (
        "Commercial use is not permitted by the licence of the backbone (CC BY-NC 4.0)",
        "Polyps & more, licence CC BY 4.0",
        "convnextv2_tiny, licence CC BY-NC 4.0",
        "bundle polyps, fp16",
        "ab" * 32,
        "900 frames of 43 near-duplicate clusters",
        "had other clusters of the same kind been drawn",
        "Expected calibration error",
    ):
        assert words in text
    assert all(label in text for label in LONG)
