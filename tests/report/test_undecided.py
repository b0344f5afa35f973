"""A verdict that is open is said first, with its reason and what would decide it, in every rendering."""

from __future__ import annotations

import io
import re

import pytest
from pages import Page
from rich.console import Console

from gi_edge.report.check_rows import check_rows
from gi_edge.report.html import page_from_result
from gi_edge.report.markdown import markdown_from_result
from gi_edge.report.notes import notes_from_bundle, parity_notes
from gi_edge.report.standing import sentence_from_result, standing_from_model, verdict_from_result
from gi_edge.report.tables import table_from_result

SHORT = "too little data to decide on macro-F1"
REASON = f"{SHORT}: 1 of 400 frames changed"


@pytest.fixture(scope="module")
def half(make):
    """An fp16 engine that too few frames were compared for, and a class of 24 frames that is told only."""
    few = make.macro_check().model_copy(
        update={"name": "sensitivity", "label": "Colon polyps", "n": 24, "needed": False, "value": 0.0, "low": None}
    )
    return make.model("fp16", checks=(make.macro_check(), few))


@pytest.fixture(scope="module")
def result(make, half):
    return make.result(make.bundle(make.model(), half))


def test_the_sentence_says_what_could_not_be_judged_and_why(make, half, result):
    assert verdict_from_result(result) == "undecided"
    assert sentence_from_result(result) == f"1 of 2 model files could not be judged: gastrovision fp16 ({SHORT})."
    failed = make.result(make.bundle(half, make.model("fp16", measured=make.parity(flips=41))))
    assert verdict_from_result(failed) == "fail"


def test_where_the_machine_widens_the_open_verdict_is_that_of_the_export(make, half):
    widened = make.model("fp16", proves_precision=False, checks=(make.macro_check(),))
    assert standing_from_model(half).words == "undecided"
    assert standing_from_model(widened).words == "undecided at export"
    result = make.result(make.bundle(make.model(), widened))
    assert f"gastrovision fp16 (at export: {SHORT})" in sentence_from_result(result)


def test_speed_only_judges_nothing_and_tells_the_export_s_verdict(make):
    model = make.model("fp16", is_speed_only=True, checks=(make.macro_check(),))
    result = make.result(make.bundle(make.model(is_speed_only=True), model))
    assert verdict_from_result(result) == "unmeasured"
    assert sentence_from_result(result).endswith("the verdict at export was undecided and pass.")


def test_only_the_first_reason_stands_in_the_sentence(make):
    checks = tuple(make.macro_check().model_copy(update={"reason": f"reason {i}"}) for i in range(3))
    model = make.model("fp16", checks=checks)
    assert sentence_from_result(make.result(make.bundle(model))) == (
        "The model file could not be judged: gastrovision fp16 (reason 0; and 2 more)."
    )
    assert notes_from_bundle(make.bundle(model))[0] == "fp16 is undecided here: reason 0; reason 1; reason 2."


def test_notes_name_the_classes_that_are_not_judged_and_what_the_numbers_suggest(make, half):
    notes = parity_notes(make.bundle(half))
    assert notes[0] == (
        "fp16: too few frames to judge on their own: Colon polyps (24); their changes count in macro-F1."
    )
    assert notes[1].startswith("fp16: not part of the verdict: 2 of 400 frames are so near a tie that ")
    assert notes[1].endswith("rounding would change about 0.045\u00a0% of unseen frames.")


def test_frames_from_the_bundle_are_said_to_be_some_only(make):
    model = make.model()
    packed = model.model_copy(update={"parity": model.parity.model_copy(update={"frames": "samples"})})
    (note,) = parity_notes(make.bundle(packed))
    assert note == "fp32: compared on the 400 test frames packed in the bundle, not on all."


def test_check_rows_are_in_points_with_bound_and_margin(make, half):
    macro, polyps = check_rows(make.bundle(half))
    assert (macro.label, macro.score, macro.n) == ("fp16", "Macro-F1", "400")
    assert (macro.difference, macro.interval) == ("-0.10", "-0.30 to +0.00")
    assert (macro.bound, macro.margin, macro.outcome) == ("1.42", "0.5", "undecided")
    assert (polyps.score, polyps.interval, polyps.outcome) == ("Sensitivity of Colon polyps", "–", "too few frames")


@pytest.mark.parametrize(("value", "shown"), [(-1e-7, "+0.00"), (1e-7, "+0.00"), (-6e-5, "-0.01"), (0.05, "+5.00")])
def test_what_rounds_to_nothing_has_no_minus(make, value, shown):
    check = make.macro_check().model_copy(update={"value": value})
    (row,) = check_rows(make.bundle(make.model("fp16", checks=(check,))))
    assert row.difference == shown


def test_page_markdown_and_console_say_it_first(result):
    page = page_from_result(result)
    heading = re.search(r'<h1 class="verdict (\w+)">(.*?)</h1>', page)
    assert heading.groups() == ("undecided", f"1 of 2 model files could not be judged: gastrovision fp16 ({SHORT}).")
    assert f"fp16 is undecided here: {REASON}." in Page(page).text
    cells = Page(page).cells
    assert "undecided" in cells
    assert cells[cells.index("Sensitivity of Colon polyps") + 6] == "too few frames"
    assert '<span class="status ">undecided</span>' in page
    text = markdown_from_result(result)
    assert text.splitlines()[2].startswith("**1 of 2 model files could not be judged: ")
    assert "| gastrovision | fp16 | Macro-F1 | undecided | 400 | -0.10 | -0.30 to +0.00 | 1.42 | 0.5 |" in text
    console = Console(width=100, file=io.StringIO())
    console.print(table_from_result(result))
    shown = console.file.getvalue()
    assert shown.startswith("1 of 2 model files could not be judged: ")
    assert "undecided" in shown
